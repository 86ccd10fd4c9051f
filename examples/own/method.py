"""A method of one's own: the autoencoder, which has to remove noise that is added to its windows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge
from pydantic import Field

from asd.methods.autoencoder import AutoencoderMethod
from asd.methods.windows import WindowConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from asd.data.logmel_datamodule import WindowBatch
    from asd.models.objective import Objective


class DenoisingConfig(WindowConfig):
    """Keys of the method: those of all log-mel windows, and one more."""

    noise: Annotated[float, Ge(0.0)] = Field(description="deviation of the noise, in dB")


class DenoisingMethod(AutoencoderMethod):
    """Reconstruction of windows from noisy ones; scored as the autoencoder is."""

    Config = DenoisingConfig
    TITLE = ""

    @property
    def objective(self) -> Objective:
        """Reconstruction from noise."""
        assert isinstance(self.config, DenoisingConfig)
        return partial(denoising_losses, noise=self.config.noise)


def denoising_losses(network: nn.Module, batch: WindowBatch, noise: float) -> dict[str, Tensor]:
    """The mean squared error of each window, `loss` (batch,), in dB²; the same noise at the same step."""
    import torch

    windows = batch.windows.flatten(1)
    generator = torch.Generator().manual_seed(int(batch.clip.sum()))
    noisy = windows + noise * torch.randn(windows.shape, generator=generator)
    return {"loss": (network(noisy) - windows).square().mean(dim=1)}
