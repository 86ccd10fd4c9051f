"""The LightningModule of the baselines: a network and what it learns, with Adam. No maths of its own."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd.data.windows import WindowBatch


def reconstruction_losses(network: nn.Module, batch: WindowBatch) -> dict[str, Tensor]:
    """The mean squared error of each window, `loss` (batch,), in dB²."""
    windows = batch.windows.flatten(1)
    return {"loss": (network(windows) - windows).square().mean(dim=1)}


def section_losses(network: nn.Module, batch: WindowBatch) -> dict[str, Tensor]:
    """The cross-entropy of each window's section, `loss` (batch,), and whether it was right, `accuracy` (batch,)."""
    logits = network(batch.windows)
    losses = F.cross_entropy(logits, batch.section, reduction="none")
    return {"loss": losses, "accuracy": (logits.argmax(dim=1) == batch.section).float()}


class Baseline(pl.LightningModule):
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
        super().__init__()
        self.network = network
        self.objective = objective
        self.adam: dict[str, Any] = {"lr": lr, "betas": (beta1, beta2), "eps": epsilon}
        self.n_steps = n_steps
        self.pieces_per_step = 0
        self.sums: dict[str, Tensor] = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the sums of an epoch that is under way."""
        checkpoint["epoch_sums"] = {name: value.cpu() for name, value in self.sums.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with them."""
        self.sums = dict(checkpoint["epoch_sums"])

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """The mean loss of a batch."""
        figures = self.objective(self.network, batch)
        self.add(figures | {"count": torch.ones_like(figures["loss"])})
        self.pieces_per_step = max(self.pieces_per_step, len(batch.clip))  # the last batch is a smaller one
        # Not Lightning's max_steps, under which a resumed run ends its last epoch a second time.
        self.trainer.should_stop = self.global_step + 1 >= self.n_steps
        loss = figures["loss"].mean()
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    @torch.no_grad()
    def add(self, figures: dict[str, Tensor]) -> None:
        """Adds to the epoch's sums, on the device, so that no step waits for them."""
        for name, values in figures.items():
            total = values.sum()
            self.sums[name] = self.sums[name].to(total.device) + total if name in self.sums else total

    def end_epoch(self) -> dict[str, float]:
        """Of the epoch: the mean of each figure, and the learning rate; starts new sums."""
        sums = {name: float(value) for name, value in self.sums.items()}
        self.sums = {}
        count = sums.pop("count")
        return {name: value / count for name, value in sums.items()} | {"lr": self.adam["lr"]}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over all weights."""
        return torch.optim.Adam(self.network.parameters(), **self.adam)
