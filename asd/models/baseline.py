"""The LightningModule of the baselines: a network and what it learns, with Adam. No maths of its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd.data.logmel_datamodule import WindowBatch
from asd.models.learner import Learner


def reconstruction_losses(network: nn.Module, batch: WindowBatch) -> dict[str, Tensor]:
    """The mean squared error of each window, `loss` (batch,), in dB²."""
    windows = batch.windows.flatten(1)
    return {"loss": (network(windows) - windows).square().mean(dim=1)}


def section_losses(network: nn.Module, batch: WindowBatch) -> dict[str, Tensor]:
    """The cross-entropy of each window's section, `loss` (batch,), and whether it was right, `accuracy` (batch,)."""
    logits = network(batch.windows)
    losses = F.cross_entropy(logits, batch.section, reduction="none")
    return {"loss": losses, "accuracy": (logits.argmax(dim=1) == batch.section).float()}


class Baseline(Learner):
    """Trains a network with Adam at a constant learning rate.

    Args:
        network: Of the baseline.
        objective: Network and batch to figures of each window, the `loss` among them.
        lr: Learning rate.
        beta1: Of Adam.
        beta2: Of Adam.
        epsilon: Of Adam.
        n_steps: Length of the training.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Callable[[nn.Module, WindowBatch], dict[str, Tensor]],
        *,
        lr: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        n_steps: int,
    ) -> None:
        super().__init__(n_steps)
        self.network = network
        self.objective = objective
        self.adam: dict[str, Any] = {"lr": lr, "betas": (beta1, beta2), "eps": epsilon}

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """The mean loss of a batch."""
        figures = self.objective(self.network, batch)
        self.count(figures)
        return figures["loss"].mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over all weights."""
        return torch.optim.Adam(self.network.parameters(), **self.adam)
