"""What train.py, finetune.py and evaluate.py can be told: every key with its type and range.

What belongs to one method alone stands in that method's file (asd/methods), as a subclass of `RunConfig`.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Le, MinLen
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from asd.config.components import (
    Component,
    Count,
    NamedComponent,
    NeighbourSettings,
    Seed,
    Settings,
    UserPath,
    Word,
    one_of,
)
from asd.config.messages import Says

OUTPUTS = Path("outputs")
ALL_MACHINES = "all"  # what stands in the place of the machine where one network is trained for all

Machine = Annotated[Word, Says("the name of one machine; several are a sweep, -m machine=fan,pump")]
Length = Annotated[int, Ge(1)] | Literal[-1]
OnBadClip = Literal["error", "skip"]
Callback = Annotated[Component, Says("a component: _target_ and its arguments")]
Trust = Annotated[list[Word], Says("a list of names of packages, such as [mylab]")]


class SimulateConfig(Settings):
    """Sizes of a simulated factory, made on first use."""

    sections: Annotated[int, Ge(1), Le(100)] = Field(description="sections of a machine")
    source: Annotated[int, Ge(1), Le(10_000)] = Field(description="training clips of a section in the source domain")
    target: Annotated[int, Ge(1), Le(10_000)] = Field(description="training clips of a section in the target domain")
    test: Annotated[int, Ge(1), Le(5_000)] = Field(
        description="normal, and as many anomalous, test clips per section and domain"
    )
    seed: Seed = Field(description="other seeds are other factories")


Edition = Annotated[
    Literal["2020", "2021", "2022", "2023", "2024", "2025", "2026", "own"],
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
]
DCASE_READER = Component.model_validate({"_target_": "asd.data.readers.dcase.DcaseReader"})


class DataConfig(Settings):
    """Where clips come from."""

    name: Word = Field(description="of the data set")
    root: Annotated[UserPath, Says("the path of a folder")] = Field(description="folder of the recordings")
    table: UserPath | None = Field(None, description="a table of recordings (CSV), for data=table")
    edition: Edition | None = Field(None, description="of DCASE Task 2, or own; null: what the files look like")
    reader: Component = Field(DCASE_READER, description="what makes clips of the files: a class, with its options")
    sample_rate: Literal["error", "resample"] = Field("error", description="what to do with another sampling rate")
    channel: Literal["error", "mean"] | Annotated[int, Ge(0)] = Field(
        "error", description="of recordings with several: a number from 0, their mean, or refuse them"
    )
    cache: UserPath = Field(description="folder for decoded recordings")
    bank: Literal["auto", "mmap", "ram", "device"] = Field(description="where decoded clips lie while training")
    workers: Annotated[int, Ge(0), Le(256)] = Field(description="processes that read ahead")
    on_bad_clip: OnBadClip = Field(description="skip: leave unusable clips out and list them")
    simulate: SimulateConfig | None = Field(None, description="the simulated factory's sizes; null: real recordings")
    fingerprint: str | None = Field(None, description="identity of the recordings; set by the framework")


class TrainerConfig(Settings):
    """Arguments of Lightning's Trainer.

    Left out is what the framework sets itself, and what belongs to things that it does not have (sharded models).
    """

    max_epochs: Length = Field(description="length of the training; -1: not given")
    max_steps: Annotated[int, Ge(0)] | Literal[-1] = Field(
        description="length in steps, instead of epochs; 0: the network stays as it starts; -1: not given"
    )
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = Field(description="what computes")
    devices: Count | Literal[-1, "auto"] | Annotated[list[Annotated[int, Ge(0)]], MinLen(1)] = Field(
        description="how many devices train one run, or which"
    )
    precision: Literal[
        "auto", "32-true", "32", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true", "64", 32, 64
    ] = Field(description="auto: as measured for the network (conf/speed)")
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false"] = Field(
        "auto", description="how several devices train together"
    )
    num_nodes: Count = Field(1, description="machines that train one run")
    benchmark: bool | None = Field(None, description="let cuDNN look for the quickest algorithms")
    detect_anomaly: bool = Field(False, description="look for the operation that made a NaN; slow")
    deterministic: bool | Literal["warn"] | None = Field(None, description="refuse operations that do not repeat")
    gradient_clip_algorithm: Literal["norm", "value"] | None = Field(None, description="what is clipped")
    gradient_clip_val: Annotated[float, Ge(1e-12)] | None = Field(None, description="bound of the gradients")
    inference_mode: bool = Field(True, description="Lightning's inference mode")
    log_every_n_steps: Count | None = Field(None, description="for loggers of Lightning's")
    profiler: Literal["simple", "advanced", "pytorch"] | None = Field(None, description="Lightning's profiler")

    @model_validator(mode="after")
    def check(self) -> Self:
        """Arguments that do not go together."""
        problems = []
        if self.max_epochs < 0 and self.max_steps < 0:
            problems.append(
                "trainer.max_epochs=-1 and trainer.max_steps=-1: a training needs a length; "
                "give one of them, at least 1 (trainer.max_steps=0 trains nothing)"
            )
        if self.accelerator == "cpu" and str(self.precision).startswith("16"):
            problems.append(
                f"trainer.precision={self.precision} needs a GPU: give 32-true, or another trainer.accelerator"
            )
        if self.accelerator == "cpu" and (isinstance(self.devices, list) or self.devices == -1):
            problems.append(
                f"trainer.devices={self.devices} names GPUs: with trainer.accelerator=cpu give a number of processes"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self


class SaveConfig(Settings):
    """When checkpoints are kept, besides the one at the end and the one when interrupted."""

    every_n_minutes: Annotated[float, Ge(0.0)] | None = Field(description="null: not by the clock")
    every_n_steps: Count | None = Field(description="null: not by the number of steps")


FREEZE_STRATEGIES = ("until_last_block", "backbone", "arcface")  # models/freezing says what they are


class FreezeConfig(Settings):
    """What does not learn in phase 2."""

    parts: list[Word] = Field(description=f"strategies ({', '.join(FREEZE_STRATEGIES)}) and names of parts")


class DeviceSpeed(Settings):
    """For which networks a way of computing pays on a device.

    Attributes:
        compile: Names of networks that are compiled.
        bf16: Names of networks that are trained in bf16, where the device multiplies it.
    """

    compile: list[Word]
    bf16: list[Word]


class SpeedConfig(Settings):
    """What compile=auto and trainer.precision=auto stand for, as measured."""

    from_steps: Count = Field(description="shorter runs are computed plainly")
    cpu: DeviceSpeed
    cuda: DeviceSpeed


def _empty_if_none(value: Any) -> Any:
    return {} if value is None else value


Components = Annotated[
    dict[str, Callback | None],
    BeforeValidator(_empty_if_none),
    Says("a mapping of names to components, each with _target_"),
]


class RunConfig(Settings):
    """What every training has, whatever its method; each method adds its own keys."""

    model_config = ConfigDict(extra="forbid")

    PHASES: ClassVar[tuple[str, ...]] = ("train",)
    SCOPES: ClassVar[tuple[str, ...]] = ("machine",)

    name: Word = Field(description="of the grid: outputs/<name>/")
    machine: Machine = Field(description="the machine to train on; all: with scope=all, their common network alone")
    scope: Literal["machine", "all"] = Field(
        "machine", description="what a network is trained on: its machine, or all machines of data.root (docs/data.md)"
    )
    seed: Seed = Field(description="same seed, same bytes on the CPU")
    overwrite: bool = Field(description="train a finished run again")
    phase: Literal["train", "finetune"] = Field(description="set by the script")
    method: Component = Field(description="how data, network and scorer make a run")
    data: DataConfig
    trainer: TrainerConfig
    callbacks: Components = Field({}, description="Lightning callbacks, by any name")
    logger: Components = Field({}, description="Lightning loggers, by any name, beside the record that is always kept")
    save: SaveConfig
    freeze: FreezeConfig | None = Field(None, description="finetune.py: what does not learn")
    checkpoint: UserPath | None = Field(None, description="finetune.py: of phase 1; null: the run at the same address")
    objective: Word = Field("loss", description="the figure that train.py returns to a sweeper (docs/clusters.md)")
    allocator: Literal["keep", "system"] = Field(description="keep freed memory for the next step, on the CPU")
    progress: bool = Field(description="bars in a terminal, now and then a line elsewhere")
    quiet: bool = Field(description="neither progress nor remarks, only mistakes")
    code: dict[str, str] = Field({}, description="version or hash of code from outside; set by the framework")

    @model_validator(mode="after")
    def check_scope(self) -> Self:
        """The name of what all machines share is no machine's."""
        if self.machine == ALL_MACHINES and self.scope != "all":
            raise ValueError(
                f"machine={ALL_MACHINES} is the network of all machines: give scope=all with it. A machine that is "
                "called so needs another name: rename its folder, or its cells in the column machine"
            )
        return self

    @property
    def system(self) -> str:
        """What the run's folder is called, without seed and phase."""
        raise NotImplementedError

    @property
    def shared(self) -> Self | None:
        """The run of the network that this run takes, with scope=all; None where it trains its own."""
        if self.scope == "machine" or self.machine == ALL_MACHINES:
            return None
        return self.with_values(machine=ALL_MACHINES, overwrite=False)

    @property
    def phase_folder(self) -> str:
        """The last part of a run's address: train, or finetune-<what is frozen>."""
        if self.phase == "train" or self.freeze is None:
            return self.phase
        return "finetune-" + ("+".join(self.freeze.parts) or "none")

    def folder(self, phase: str | None = None) -> Path:
        """The folder that this configuration always means; `phase` names another phase of the same run."""
        return OUTPUTS / self.name / self.machine / f"{self.system}-s{self.seed}" / (phase or self.phase_folder)

    def with_values(self, **values: Any) -> Self:
        """The same configuration with other values; groups are given whole."""
        return self.model_copy(update=values)


class BackboneComponent(NamedComponent):
    """A network; its name is part of the run's address.

    Attributes:
        embedding_dim: Length of an embedding (Report 1: 128).
    """

    name: Word
    embedding_dim: Count | None = None


class EvaluateDataConfig(Settings):
    """Where the recordings are now."""

    root: UserPath | None = Field(description="only if the data moved since training")
    cache: UserPath = Field(description="folder for decoded recordings")
    on_bad_clip: OnBadClip | None = Field(description="null: as in training")


class LogOddsConfig(Settings):
    """How the MobileNetV2 baseline is scored (docs/baselines.md)."""

    formula: Literal["official_2021", "corrected_2022"] = Field(description="Table 2's has a parenthesis misplaced")
    hop: Count = Field(description="columns from one image of a clip to the next")


class EvaluateConfig(Settings):
    """What evaluate.py can be told."""

    name: Word = Field(description="of the grid: outputs/<name>/")
    machine: Word | Annotated[list[Word], MinLen(1)] | None = Field(
        description="one, a list such as [fan,pump], or null: all that have runs"
    )
    seed: Seed = Field(description="of the runs that the submissions choose among")
    phase: Word | None = Field(description="null: the only fine-tuning there is, else train")
    ensemble: Literal["mean", "zscore", "rank"] = Field(description="how a submission averages its members")
    log_odds: LogOddsConfig
    logmel_neighbour: bool = Field(description="also score nearest neighbour on mean log-mel")
    overwrite: bool = Field(description="score again what is scored")
    accelerator: Literal["auto", "cpu", "gpu"] = Field(description="what computes")
    precision: Literal["auto", 32, "bf16"] = Field(description="of embedding")
    scorer: one_of(NeighbourSettings, other=NamedComponent)  # type: ignore[valid-type]
    data: EvaluateDataConfig
    logger: Components = Field({}, description="W&B, where its results are to be mirrored")
    trust: Trust = Field([], description="packages whose code runs may name")
    progress: bool = Field(description="bars in a terminal, now and then a line elsewhere")
    quiet: bool = Field(description="neither progress nor remarks, only the table and mistakes")

    @property
    def machines(self) -> list[str] | None:
        """The machines asked for; None for all that have runs."""
        return [self.machine] if isinstance(self.machine, str) else self.machine


class MixupConfig(Settings):
    """Mixing of waveforms (Report 2.3)."""

    weight: Annotated[list[Annotated[float, Ge(0.0), Le(1.0)]], MinLen(2)] = Field(
        description="λ of the partner, uniform between the two"
    )
    probability: Annotated[float, Ge(0.0), Le(1.0)] = Field(description="of mixing a clip at all")

    @model_validator(mode="after")
    def check(self) -> Self:
        """The lower weight comes first."""
        if len(self.weight) != 2:
            raise ValueError(f"mixup.weight={self.weight} is not allowed: give a list of 2, each a number from 0 to 1")
        low, high = self.weight
        if low > high:
            raise ValueError(
                f"mixup.weight=[{low:g},{high:g}]: the first must not be above the second; give [{high:g},{low:g}]"
            )
        return self
