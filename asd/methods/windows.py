"""What the organisers' two baselines share: log-mel windows of all training clips (docs/baselines.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import Field, model_validator

from asd.config.components import AdamSettings, LogMelSettings, UserPath, one_of
from asd.config.instantiate import instantiate
from asd.config.schema import BackboneComponent, RunConfig
from asd.data.clips import ClipTable
from asd.methods.method import Method

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from asd.data.logmel_datamodule import WindowDataModule
    from asd.data.waveforms import WaveformBank
    from asd.models.objective import Objective, ObjectiveModule


class WindowConfig(RunConfig):
    """Keys of conf/method/autoencoder.yaml and mobilenetv2.yaml."""

    sampling: Literal["windows"] = Field(description="all windows of all training clips, shuffled in each epoch")
    backbone: BackboneComponent
    input: LogMelSettings
    batch_size: Annotated[int, Ge(2), Le(65536)] = Field(description="windows of a step")
    hold_out: Annotated[float, Ge(0.0), Le(0.9)] = Field(description="share of the windows that is never trained on")
    optimizer: one_of(AdamSettings)  # type: ignore[valid-type]
    weights: UserPath | None = Field(None, description="a file of weights to start from (docs/baselines.md)")

    @model_validator(mode="after")
    def check_devices(self) -> Self:
        """An epoch's windows are counted for one process."""
        if self.trainer.devices not in (1, "auto") or self.trainer.num_nodes != 1:
            raise ValueError(
                f"trainer.devices={self.trainer.devices}: this method trains on one device, give trainer.devices=1"
            )
        return self

    @property
    def system(self) -> str:
        """Network and input."""
        return f"{self.backbone.name}-{self.input.name}"


AnyWindowConfig = TypeVar("AnyWindowConfig", bound=WindowConfig)


class WindowMethod(Method[AnyWindowConfig]):
    """A network on windows of log-mel energies, trained on one device as its organisers did."""

    KEEPS_REFERENCES: ClassVar[bool] = False

    @property
    def in_ensembles(self) -> bool:
        """Whether the run is a member of submissions: never, its scores have units of their own."""
        return False

    @property
    def sample_rate(self) -> int:
        """Of the input."""
        return self.config.input.sample_rate

    @property
    def min_samples(self) -> int:
        """Of the input."""
        return self.config.input.min_samples

    @property
    def objective(self) -> Objective:
        """What the network learns."""
        raise NotImplementedError

    def network(self, n_sections: int) -> nn.Module:
        """The network at Keras' start."""
        found: nn.Module = instantiate(
            self.config.backbone,
            "backbone",
            n_inputs=self.config.input.n_mels * self.config.input.n_frames,
            n_sections=n_sections,
        )
        return found

    def check_parts(self) -> None:
        """The network and the optimizer."""
        self.network(n_sections=2)
        instantiate(self.config.optimizer, "optimizer")

    def n_steps_per_epoch(self, table: ClipTable) -> int:
        """As many as clips: the number of windows is known only after decoding, and nothing depends on it before."""
        return max(1, int(table.is_train.sum()))

    def datamodule(self, table: ClipTable, bank: WaveformBank) -> WindowDataModule:
        """The log-mel energies of the training clips and the plan of the steps."""
        from asd.data.logmel_datamodule import AllWindows, LogMelBank, WindowDataModule
        from asd.features.logmel import n_columns

        config, settings = self.config, self.config.input
        plan = AllWindows(
            table,
            n_columns=np.array([n_columns(int(length), settings) for length in bank.lengths]),
            n_frames=settings.n_frames,
            frame_hop=settings.frame_hop,
            batch_size=config.batch_size,
            hold_out=config.hold_out,
            seed=config.seed,
        )
        logmels = LogMelBank.of_clips(bank, np.flatnonzero(table.is_train), settings, progress=config.progress)
        return WindowDataModule(logmels, plan, n_frames=settings.n_frames, workers=config.data.workers)

    def module(self, table: ClipTable, n_steps: int, phase1: Mapping[str, Any] | None) -> ObjectiveModule:
        """The network at its start, Keras' or that of a file of weights."""
        import torch

        from asd.models.keras import load_weights
        from asd.models.objective import ObjectiveModule

        torch.manual_seed(self.config.seed)
        network = self.network(len(table.sections))
        if self.config.weights:
            load_weights(network, Path(self.config.weights))
        optimizer = instantiate(self.config.optimizer, "optimizer")
        return ObjectiveModule(network, self.objective, optimizer=optimizer, n_steps=n_steps)

    def trained(self, checkpoint: Mapping[str, Any]) -> nn.Module:
        """The network of a checkpoint, in evaluation mode."""
        from asd.runs.checkpoint import load_part

        network = self.network(len(checkpoint["asd"]["sections"]))
        load_part(checkpoint, "network", network)
        return network.eval()


@dataclass(frozen=True)
class WindowExtractor:
    """A trained network as what turns each window of a clip into features.

    Attributes:
        network: In evaluation mode.
        settings: Of the input.
        hop: Columns from one window to the next.
        device: Where the network is.
        precision: What it computes in.
    """

    network: nn.Module
    settings: LogMelSettings
    hop: int
    device: torch.device
    precision: torch.dtype

    def extract(self, bank: WaveformBank) -> Iterator[Tensor]:
        """The features of each clip's windows, (windows, dim), on the CPU."""
        from asd.scoring.deterministic import MOST_CLIPS, compute_each

        of_clip = partial(self.extract_clip, bank)
        return compute_each(of_clip, range(len(bank)), device=self.device, at_most=MOST_CLIPS)

    def extract_clip(self, bank: WaveformBank, clip: int) -> Tensor:
        """The features of one clip's windows, (windows, dim), on the CPU."""
        import torch

        from asd.data.logmel_datamodule import clip_log_mel
        from asd.features.logmel import clip_windows

        columns = clip_log_mel(bank, clip, self.settings)
        with torch.inference_mode():
            return self.features(clip_windows(columns, self.settings.n_frames, self.hop))

    def features(self, windows: Tensor) -> Tensor:
        """(windows, n_frames, n_mels) to (windows, dim)."""
        raise NotImplementedError

    def seconds(self, n_samples: int) -> NDArray[np.float64]:
        """When the windows of a clip of so many samples begin, (windows,)."""
        n_columns = 1 + n_samples // self.settings.hop_length
        n_windows = (n_columns - self.settings.n_frames) // self.hop + 1
        return np.arange(n_windows) * self.hop * self.settings.hop_length / self.settings.sample_rate
