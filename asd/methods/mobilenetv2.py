"""The MobileNetV2 baseline of Table 2: how unlike their own section images of log-mel energies are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import model_validator

from asd.config.components import MOBILENETV2_WIDTHS
from asd.config.schema import EvaluateConfig
from asd.data.clips import ClipTable
from asd.methods.method import Extractor, ScorerChoice
from asd.methods.windows import WindowConfig, WindowExtractor, WindowMethod

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from asd.data.logmel_datamodule import WindowBatch
    from asd.models.objective import Objective

IMAGES_AT_ONCE = 64  # bounds the memory of an hour-long clip


class MobileNetV2Config(WindowConfig):
    """Keys of conf/method/mobilenetv2.yaml."""

    @model_validator(mode="after")
    def check_width(self) -> Self:
        """Said before a sweep starts, and without torch."""
        width = self.backbone.arguments.get("width")
        if width not in MOBILENETV2_WIDTHS:
            raise ValueError(f"backbone.width={width}: must be one of {', '.join(map(str, MOBILENETV2_WIDTHS))}")
        return self


class MobileNetV2Method(WindowMethod[MobileNetV2Config]):
    """Section classification of images."""

    Config = MobileNetV2Config
    TITLE: ClassVar[str] = "MobileNetV2 baseline"
    TECHNIQUE: ClassVar[str] = "CNN"
    SCORER: ClassVar[str] = "asd.scoring.window_scores.LogOdds"

    @property
    def objective(self) -> Objective:
        """Classification."""
        return section_losses

    def check(self, table: ClipTable) -> None:
        """There must be sections to tell apart."""
        if len(table.sections) < 2:
            raise ValueError(
                f"{table.machine}: one section with training clips; a classifier of sections needs at least 2. "
                "Give method=autoencoder, which needs no sections"
            )

    def scorer(self, evaluation: EvaluateConfig) -> ScorerChoice:
        """The mean log odds of a clip's images."""
        odds = evaluation.log_odds
        return self.choose(f"log_odds-{odds.formula}-hop{odds.hop}", odds.plain())

    def extractor(
        self, checkpoint: Mapping[str, Any], choice: ScorerChoice, device: torch.device, precision: str | int
    ) -> Extractor:
        """In float32, as the organisers'."""
        import torch

        network = self.trained(checkpoint).to(device)
        return SectionProbabilities(network, self.config.input, choice.stride, device, torch.float32)


def section_losses(network: nn.Module, batch: WindowBatch) -> dict[str, Tensor]:
    """The cross-entropy of each window's section, `loss` (batch,), and whether it was right, `accuracy` (batch,)."""
    from torch.nn import functional as F

    logits = network(batch.windows)
    losses = F.cross_entropy(logits, batch.section, reduction="none")
    return {"loss": losses, "accuracy": (logits.argmax(dim=1) == batch.section).float()}


@dataclass(frozen=True)
class SectionProbabilities(WindowExtractor):
    """The probability of each section, image by image."""

    def features(self, windows: Tensor) -> Tensor:
        """(images, n_frames, n_mels) to (images, sections), float32."""
        import torch

        parts = [self.network(part.to(self.device)).softmax(dim=1).cpu() for part in windows.split(IMAGES_AT_ONCE)]
        return torch.cat(parts)
