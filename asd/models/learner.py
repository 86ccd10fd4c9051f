"""What every LightningModule of ours shares: the sums of an epoch, and the end of a training."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor


class Learner(pl.LightningModule):
    """Counts what an epoch brought, on the device, and stops after the last step.

    Args:
        n_steps: Length of the training.
    """

    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.pieces_per_step = 0
        self.sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def count(self, figures: dict[str, Tensor]) -> None:
        """Adds a step to the epoch's sums without waiting for the device, and tells whether it was the last.

        Args:
            figures: (batch,) each, the `loss` among them.
        """
        for name, values in (figures | {"count": torch.ones_like(figures["loss"])}).items():
            total = values.sum()
            self.sums[name] = self.sums[name].to(total.device) + total if name in self.sums else total
        # The last batch of an epoch may be a smaller one.
        self.pieces_per_step = max(self.pieces_per_step, len(figures["loss"]) * self.n_ranks)
        # Not Lightning's max_steps, under which a resumed run ends its last epoch a second time.
        self.trainer.should_stop = self.global_step + 1 >= self.n_steps

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the sums of an epoch that is under way."""
        checkpoint["epoch_sums"] = {name: value.cpu() for name, value in self.whole_sums().items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with them; of several processes the first."""
        self.sums = dict(checkpoint["epoch_sums"]) if self.global_rank == 0 else {}

    def end_epoch(self) -> dict[str, float]:
        """The figures of the whole epoch, of all processes; starts new sums."""
        sums, self.sums = self.whole_sums(), {}
        return self.means(sums)

    def epoch_metrics(self) -> dict[str, float]:
        """The figures of the epoch so far, of this process."""
        return self.means(self.sums)

    def means(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """The mean of each figure over the examples, and the learning rate."""
        found = {name: float(value) for name, value in sums.items()}
        n = found.pop("count")
        return {name: value / n for name, value in found.items()} | {"lr": self.last_lr()}

    def whole_sums(self) -> dict[str, Tensor]:
        """The epoch's sums over all processes that train together."""
        if self.n_ranks == 1:
            return self.sums
        return {name: self.trainer.strategy.reduce(value.clone(), reduce_op="sum") for name, value in self.sums.items()}

    @property
    def n_ranks(self) -> int:
        """How many processes train together."""
        return self.trainer.world_size if self._trainer is not None else 1

    def last_lr(self) -> float:
        """The learning rate as it stands now."""
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])
