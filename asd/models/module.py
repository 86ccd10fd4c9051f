"""What every LightningModule of ours shares: the figures of an epoch, and the end of a training."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Schedule = Callable[..., torch.optim.lr_scheduler.LRScheduler]


class TrainingModule(pl.LightningModule):
    """Sums the figures of an epoch on the device, and stops after the last step.

    Args:
        n_steps: Length of the training.
        optimizer: Weights to optimizer.
        schedule: Optimizer to learning-rate schedule, stepped after every step; None: constant.

    Attributes:
        frozen_names: Names of the weights that do not learn.
        part_names: Names of the parts that fine-tuning can freeze.
    """

    def __init__(self, n_steps: int, *, optimizer: Optimizer, schedule: Schedule | None = None) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.optimizer = optimizer
        self.schedule = schedule
        self.frozen_names: list[str] = []
        self.part_names: list[str] = []
        self.pieces_per_step = 0
        self.sums: dict[str, Tensor] = {}

    def configure_optimizers(self) -> Any:
        """The optimizer of what learns; the schedule ends at the last step."""
        optimizer = self.optimizer([weight for weight in self.parameters() if weight.requires_grad])
        if self.schedule is None:
            return optimizer
        scheduler = self.schedule(optimizer, **length_argument(self.schedule, self.n_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @torch.no_grad()
    def update(self, figures: dict[str, Tensor]) -> None:
        """Adds a step to the epoch's sums without waiting for the device, and ends the training after the last.

        Args:
            figures: (batch,) each, the `loss` among them.
        """
        for name, values in (figures | {"count": torch.ones_like(figures["loss"])}).items():
            total = values.sum()
            self.sums[name] = self.sums[name].to(total.device) + total if name in self.sums else total
        # The last batch of an epoch may be a smaller one.
        self.pieces_per_step = max(self.pieces_per_step, len(figures["loss"]) * self.n_ranks)
        # Not Lightning's max_steps, under which a resumed run ends its last epoch a second time.
        self.trainer.should_stop = self.trainer.should_stop or self.global_step + 1 >= self.n_steps

    def compute(self, *, of_all_ranks: bool = True) -> dict[str, float]:
        """The mean of each figure over the examples of the epoch so far, and the learning rate.

        Args:
            of_all_ranks: Of all processes that train together, which must then all ask; else of this one.
        """
        found = {name: float(value) for name, value in (self.total() if of_all_ranks else self.sums).items()}
        n = found.pop("count")
        return {name: value / n for name, value in found.items()} | {"lr": self.last_lr()}

    def reset(self) -> None:
        """Starts new sums."""
        self.sums = {}

    def total(self) -> dict[str, Tensor]:
        """The epoch's sums over all processes that train together."""
        if self.n_ranks == 1:
            return self.sums
        return {name: self.trainer.strategy.reduce(value.clone(), reduce_op="sum") for name, value in self.sums.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the sums of an epoch that is under way."""
        checkpoint["epoch_sums"] = {name: value.cpu() for name, value in self.total().items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with them; of several processes the first."""
        self.sums = dict(checkpoint["epoch_sums"]) if self.global_rank == 0 else {}

    @property
    def n_ranks(self) -> int:
        """How many processes train together."""
        return self.trainer.world_size if self._trainer is not None else 1

    def last_lr(self) -> float:
        """The learning rate as it is now."""
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])


def length_argument(schedule: Schedule, n_steps: int) -> dict[str, int]:
    """The argument by which torch's schedules are told the length of a training, unless it is set already."""
    taken = inspect.signature(schedule).parameters
    given = getattr(schedule, "keywords", {})
    names = [name for name in ("T_max", "total_steps", "total_iters") if name in taken and name not in given]
    return {names[0]: n_steps} if names else {}
