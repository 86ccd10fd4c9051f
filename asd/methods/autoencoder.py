"""The autoencoder baseline of Table 2: how badly windows of log-mel energies are reconstructed (docs/baselines.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from asd.config.schema import EvaluateConfig
from asd.methods.method import Extractor, ScorerChoice
from asd.methods.windows import WindowConfig, WindowExtractor, WindowMethod

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from asd.data.logmel_datamodule import WindowBatch
    from asd.models.objective import Objective


class AutoencoderMethod(WindowMethod[WindowConfig]):
    """Reconstruction of windows; knows no sections."""

    Config = WindowConfig
    TITLE: ClassVar[str] = "Autoencoder baseline"
    TECHNIQUE: ClassVar[str] = "AE"
    NEEDS_SECTION: ClassVar[bool] = False
    SCORER: ClassVar[str] = "asd.scoring.window_scores.FirstFeature"

    @property
    def objective(self) -> Objective:
        """Reconstruction."""
        return reconstruction_losses

    def scorer(self, evaluation: EvaluateConfig) -> ScorerChoice:
        """The mean squared error of a clip's windows."""
        return self.choose("mean_squared_error", {})

    def extractor(
        self, checkpoint: Mapping[str, Any], choice: ScorerChoice, device: torch.device, precision: str | int
    ) -> Extractor:
        """In float64, which costs little here and repeats on any device."""
        import torch

        network = self.trained(checkpoint).double().to(device)
        return ReconstructionErrors(network, self.config.input, choice.stride, device, torch.float64)


def reconstruction_losses(network: nn.Module, batch: WindowBatch) -> dict[str, Tensor]:
    """The mean squared error of each window, `loss` (batch,), in dB²."""
    windows = batch.windows.flatten(1)
    return {"loss": (network(windows) - windows).square().mean(dim=1)}


@dataclass(frozen=True)
class ReconstructionErrors(WindowExtractor):
    """The mean squared error of each window."""

    def features(self, windows: Tensor) -> Tensor:
        """(windows, n_frames, n_mels) to (windows, 1), float64, in dB²."""
        import torch

        from asd.scoring.window_scores import squared_errors

        flat = windows.flatten(1)
        made = self.network(flat.to(self.device, torch.float64)).cpu()
        return torch.from_numpy(squared_errors(flat.numpy(), made.numpy())).unsqueeze(1)
