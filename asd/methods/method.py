"""The contract of a method: how data, network and scorer make a run.

A method of your own is a subclass, with a subclass of `RunConfig` for its keys, named by `method._target_`
(docs/extend.md). Its file must import without torch where mistakes are to be answered in a second: what is heavy is
imported where it is needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from asd.config.components import Component, NamedComponent
from asd.config.instantiate import find_code, instantiate
from asd.config.schema import EvaluateConfig, RunConfig
from asd.config.trust import require_trusted
from asd.config.upgrade import upgrade
from asd.data.clips import ClipTable
from asd.data.decoding import Decoding
from asd.runs.folder import RunFolder
from asd.system.printable import one_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from asd.data.datamodule import StepDataModule
    from asd.data.waveforms import WaveformBank
    from asd.models.module import TrainingModule
    from asd.scoring.scorer import Scorer

STRIDES = ("stride", "hop")  # settings of a scorer that say which pieces of a clip it sees

AnyConfig = TypeVar("AnyConfig", bound=RunConfig)


class Extractor(Protocol):
    """A trained network as what turns clips into the features of their pieces, which a scorer compares."""

    @property
    def precision(self) -> torch.dtype:
        """What it computes in."""

    def extract(self, bank: WaveformBank) -> Iterator[Tensor]:
        """The features of each clip's pieces, (pieces, dim) on the CPU, in the order of the bank.

        On the CPU a clip gives the same bytes, whatever is beside it: `asd.scoring.deterministic.compute_each`.
        """

    def seconds(self, n_samples: int) -> NDArray[np.float64]:
        """When the pieces of a clip of so many samples begin, in seconds (pieces,)."""


@dataclass(frozen=True)
class ScorerChoice:
    """How a run is scored.

    Attributes:
        name: Of the folder under the run's scores/.
        component: The scorer; its arguments but for `stride`.
        arguments: What two scorers of one name must agree in, as the manifest of the scores keeps it.
        stride: From one piece of a clip to the next.
        bands: Frequency bands of the network's last feature map that the scorer sees instead of embeddings; None:
            embeddings.
        keeps_references: Whether the training pieces are kept, with which any recording can be scored.
    """

    name: str
    component: Component
    arguments: dict[str, Any]
    stride: int
    keeps_references: bool
    bands: int | None = None

    def references(self, run: RunFolder) -> Path:
        """Where the training pieces of a run are: in a file of the scorer's own where it sees other features."""
        return run.references if self.bands is None else run.scores(self.name) / "references.npz"

    def build(self) -> Scorer:
        """A scorer that has learned nothing yet."""
        from asd.scoring.scorer import Scorer

        code = find_code(self.component, "scorer")
        if isinstance(code, type) and not issubclass(code, Scorer):
            raise ValueError(f"scorer._target_={self.component.target}: not a Scorer (asd/scoring/scorer.py)")
        scorer: Scorer = instantiate(self.component, "scorer")
        return scorer


class Method(ABC, Generic[AnyConfig]):
    """A way to make a detector from normal sound.

    Args:
        config: Of a run, typed.

    Attributes:
        Config: The keys of the method: RunConfig and its own.
        TITLE: Of the published system that it repeats; empty where it repeats none.
        TECHNIQUE: What the challenge's meta files call it, such as CNN; empty where they have no word for it.
        NEEDS_SECTION: Whether a score depends on the section of the clip.
        SCORER: Whole name of the scorer of its runs, unless they name another.
        KEEPS_REFERENCES: Whether its scorers compare with the training pieces, which are then kept with the run.
    """

    Config: ClassVar[type[RunConfig]] = RunConfig
    TITLE: ClassVar[str] = ""
    TECHNIQUE: ClassVar[str] = ""
    NEEDS_SECTION: ClassVar[bool] = True
    SCORER: ClassVar[str] = "asd.scoring.cosine.CosineNeighbours"
    KEEPS_REFERENCES: ClassVar[bool] = True

    def __init__(self, config: AnyConfig) -> None:
        self.config = config

    @property
    def in_ensembles(self) -> bool:
        """Whether the run is a member of submissions."""
        return True

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """That its recordings must have, in Hz."""

    @property
    @abstractmethod
    def min_samples(self) -> int:
        """Samples of the shortest clip that it can use."""

    @property
    def decoding(self) -> Decoding:
        """How recordings become waveforms."""
        data = self.config.data
        return Decoding(self.sample_rate, self.min_samples, data.channel, resample=data.sample_rate == "resample")

    @property
    def components(self) -> list[Component]:
        """The parts that are made from the configuration; code from outside among them is part of the identity."""
        config = self.config
        found = [value for value in vars(config).values() if isinstance(value, Component)]
        callbacks = [part for part in config.callbacks.values() if part is not None]
        return [*found, config.data.reader, *callbacks]

    def check(self, table: ClipTable) -> None:
        """Looks whether the method can learn from these clips, before they are decoded.

        Raises:
            ValueError: It cannot; the message says what can be done.
        """

    def check_parts(self) -> None:
        """Makes network and input once, so that mistakes in their settings are answered before clips are decoded.

        Raises:
            ValueError: One cannot be made.
        """

    def resolved(self, *, begun: AnyConfig | None, n_steps: int) -> AnyConfig:
        """The configuration with what `auto` stands for on this machine.

        Args:
            begun: The configuration of the run, where it has begun: it goes on as it began.
            n_steps: Length of the training.
        """
        trainer = self.config.trainer
        if trainer.precision != "auto":
            return self.config
        return self.config.with_values(trainer=trainer.model_copy(update={"precision": "32-true"}))

    def ready(self, *, is_begun: bool, asked: AnyConfig) -> AnyConfig:
        """The resolved configuration of a run that is about to train, as this machine is able to do it.

        Args:
            is_begun: Whether the run goes on.
            asked: The configuration before it was resolved.
        """
        return self.config

    @abstractmethod
    def n_steps_per_epoch(self, table: ClipTable) -> int:
        """Steps of an epoch, as far as it can be said before clips are decoded."""

    def classify(self, table: ClipTable, bank: WaveformBank) -> ClipTable:
        """The clips with what the network is to tell training clips apart by; sections need no more than they say.

        Args:
            table: The clips that can be used.
            bank: Their waveforms.
        """
        return table

    @abstractmethod
    def datamodule(self, table: ClipTable, bank: WaveformBank) -> StepDataModule:
        """The training data."""

    @abstractmethod
    def module(self, table: ClipTable, n_steps: int, phase1: Mapping[str, Any] | None) -> TrainingModule:
        """The network at its start, random or that of a checkpoint of phase 1, and what it learns."""

    def scorer(self, evaluation: EvaluateConfig) -> ScorerChoice:
        """How evaluate.py scores a run of this method: with the scorer that it is told."""
        component: NamedComponent = evaluation.scorer
        arguments = component.arguments
        if component.target != self.SCORER:
            arguments = {"_target_": component.target, **arguments}
        return self.choose(component.word, arguments)

    def choose(self, name: str, arguments: dict[str, Any]) -> ScorerChoice:
        """The scorer of a name and its arguments, as the manifest of its scores keeps them."""
        target = arguments.get("_target_", self.SCORER)
        built = {key: value for key, value in arguments.items() if key not in ("_target_", *STRIDES)}
        stride = next((int(arguments[key]) for key in STRIDES if key in arguments), 1)
        component = Component.of({"_target_": target, **built})
        return ScorerChoice(name, component, arguments, stride, self.KEEPS_REFERENCES, built.get("bands"))

    @abstractmethod
    def extractor(
        self, checkpoint: Mapping[str, Any], choice: ScorerChoice, device: torch.device, precision: str | int
    ) -> Extractor:
        """The trained network of a checkpoint.

        Args:
            checkpoint: As `runs/checkpoint` loads it.
            choice: The scorer: its stride, and whether it sees frequency bands.
            device: Where to compute.
            precision: 32, bf16 or auto.
        """


def build_method(config: AnyConfig) -> Method[AnyConfig]:
    """The method that a typed configuration names.

    Raises:
        ValueError: It is none.
    """
    code = find_code(config.method, "method")
    if not (isinstance(code, type) and issubclass(code, Method)):
        raise ValueError(f"method._target_={config.method.target}: not a Method (asd/methods/method.py)")
    return code(config)


def read_run_config(values: Mapping[str, Any], source: Path, trust: Iterable[str] = ()) -> RunConfig:
    """The typed configuration of a run from elsewhere: what its files hold is data, and names only trusted code.

    Args:
        values: Plain values of its config.yaml or checkpoint.
        source: The file, for messages.
        trust: Packages that the user trusts.

    Raises:
        ValueError: It names other code, or does not hold a configuration of this version.
    """
    try:
        values = upgrade(values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: no configuration of a run ({one_line(error)})") from None
    for key, value in values.items():
        refuse_interpolations(value, f"{source}: {key}")
        for target in targets_in(value):
            if key not in ("callbacks", "logger", "optimizer", "schedule", "loss"):  # not made when a run is read
                require_trusted(target, f"{source}: {key}", trust)
    require_network(values.get("backbone"), f"{source}: backbone")
    method = values.get("method")
    if not isinstance(method, Mapping) or "_target_" not in method:
        raise ValueError(f"{source}: no configuration of a run: method is missing")
    code = find_code(Component.of(method), f"{source}: method")
    if not (isinstance(code, type) and issubclass(code, Method)):
        raise ValueError(f"{source}: method={method['_target_']} is not a Method")
    try:
        return code.Config.of(values)
    except ValueError as error:
        raise ValueError(f"{source} is not a configuration of this version:\n  {error}") from None


def require_network(value: Any, key: str) -> None:
    """Raises ValueError where a trusted class that a run names as its network is none: it is not made at all."""
    from torch import nn

    if not isinstance(value, Mapping) or "_target_" not in value:
        return  # the typed configuration says what is missing
    code = find_code(Component.of(value), key)
    if isinstance(code, type) and not issubclass(code, nn.Module):
        raise ValueError(f"{key}: {value['_target_']} is not a network (torch.nn.Module)")


def refuse_interpolations(value: Any, key: str) -> None:
    """Looks for what Hydra would resolve when it makes a part, and which may become a component: a run has none.

    Raises:
        ValueError: There is one.
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            refuse_interpolations(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for inner in value:
            refuse_interpolations(inner, key)
    elif isinstance(value, str) and "${" in value:
        raise ValueError(f"{key}={value}: the configuration of a run holds plain values, and no ${{…}}")


def targets_in(value: Any) -> Iterator[str]:
    """Every `_target_` within plain values."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield str(value["_target_"])
        for inner in value.values():
            yield from targets_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from targets_in(inner)


def config_of(run: RunFolder, trust: Iterable[str] = ()) -> RunConfig:
    """The typed configuration that a run was made with.

    Raises:
        ValueError: As of `read_run_config`.
    """
    return read_run_config(run.read_config(), run.config, trust)
