"""Methods that train nothing: a clip becomes one vector, which a scorer compares with those of the training clips."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from asd.config.components import NamedComponent
from asd.config.schema import EvaluateConfig, RunConfig
from asd.data.clips import ClipTable
from asd.methods.method import STRIDES, Method, ScorerChoice

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from asd.data.datamodule import StepDataModule
    from asd.data.waveforms import WaveformBank
    from asd.models.module import TrainingModule

Vector = Callable[[NDArray[np.floating]], NDArray[np.float64]]


class ClipVectorConfig(RunConfig):
    """Keys that these methods share."""

    sampling: Literal["none"] = Field(description="no step takes clips")
    scorer: NamedComponent = Field(description="what compares the vectors; its name is part of the run's folder")
    in_ensembles: bool = Field(
        False, description="whether the run is a member of submissions, which then take ensemble=zscore"
    )

    @model_validator(mode="after")
    def check_length(self) -> Self:
        """There is no training to have a length."""
        if self.trainer.max_steps != 0 or self.trainer.max_epochs != -1:
            raise ValueError(
                f"trainer.max_epochs={self.trainer.max_epochs}, trainer.max_steps={self.trainer.max_steps}: "
                "this method trains nothing; leave both out"
            )
        return self


AnyClipVectorConfig = TypeVar("AnyClipVectorConfig", bound=ClipVectorConfig)


class ClipVectorMethod(Method[AnyClipVectorConfig]):
    """A vector of each clip and a scorer, which is the run's own: evaluate.py has none to choose."""

    @property
    def in_ensembles(self) -> bool:
        """As configured."""
        return self.config.in_ensembles

    @abstractmethod
    def vector(self) -> Vector:
        """The function from the waveform of a clip, (samples,) in [−1, 1), to its vector (dim,)."""

    def check_parts(self) -> None:
        """The scorer, and the vector of a second of silence, which tells mistakes of the input."""
        self.own_scorer().build()
        self.vector()(np.zeros(self.sample_rate + self.min_samples))

    def n_steps_per_epoch(self, table: ClipTable) -> int:
        """None."""
        return 0

    def datamodule(self, table: ClipTable, bank: WaveformBank) -> StepDataModule:
        """Raises ValueError: there is no step that it could serve."""
        raise ValueError(f"{type(self).__name__} trains nothing")

    def module(self, table: ClipTable, n_steps: int, phase1: Mapping[str, Any] | None) -> TrainingModule:
        """A module without weights."""
        import torch

        from asd.models.module import TrainingModule

        return TrainingModule(n_steps, optimizer=torch.optim.SGD)

    def scorer(self, evaluation: EvaluateConfig) -> ScorerChoice:
        """The run's own."""
        return self.own_scorer()

    def own_scorer(self) -> ScorerChoice:
        """The scorer of the configuration; a stride means nothing where a clip is one piece."""
        config = self.config
        own = {key: value for key, value in config.scorer.arguments.items() if key not in STRIDES}
        return self.choose(config.scorer.word, {"_target_": config.scorer.target, **own})

    def extractor(
        self, checkpoint: Mapping[str, Any], choice: ScorerChoice, device: torch.device, precision: str | int
    ) -> ClipVectors:
        """The vectors, on the CPU."""
        return ClipVectors(self.vector())


@dataclass(frozen=True)
class ClipVectors:
    """Clips as one piece each.

    Attributes:
        vector: Waveform (samples,) to (dim,).
    """

    vector: Vector

    @property
    def precision(self) -> torch.dtype:
        """That of what is kept."""
        import torch

        return torch.float32

    def extract(self, bank: WaveformBank) -> Iterator[Tensor]:
        """The vector of each clip, (1, dim) float32."""
        import torch

        from asd.scoring.deterministic import compute_each

        def of_clip(clip: int) -> Tensor:
            return torch.from_numpy(self.vector(bank.waveform(clip)).astype(np.float32)).unsqueeze(0)

        return compute_each(of_clip, range(len(bank)), device=torch.device("cpu"))

    def seconds(self, n_samples: int) -> NDArray[np.float64]:
        """The one piece begins with the clip."""
        return np.zeros(1)
