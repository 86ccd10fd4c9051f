"""A loss that is not a number ends the training, and the clips of its batch are named."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

CHECK_EVERY = 50  # steps: looking at the loss makes the host wait for the device
NAMED = 12


class NonFiniteError(ValueError):
    """The loss, or a weight, is no longer a finite number."""


class FiniteLoss(pl.Callback):
    """Watches the loss on the device, without waiting for it at every step.

    Args:
        clips_of: The names of the clips of a step.
    """

    def __init__(self, clips_of: Callable[[int], Sequence[str]]) -> None:
        self.clips_of = clips_of

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing bad yet."""
        self.first_bad_step = torch.full((), -1, device=pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remembers the first step whose loss is not finite."""
        loss: Tensor = outputs["loss"]
        fine = torch.isfinite(loss) | (self.first_bad_step >= 0)
        self.first_bad_step = torch.where(fine, self.first_bad_step, trainer.global_step - 1)
        if trainer.global_step % CHECK_EVERY == 0:
            self.check(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before the epoch's metrics are recorded."""
        self.check(pl_module)

    def check(self, module: pl.LightningModule) -> None:
        """Makes sure that what would be kept is worth keeping.

        Raises:
            NonFiniteError: The loss of a step, or a weight, is NaN or infinite.
        """
        step = int(self.first_bad_step)
        if step >= 0:
            raise NonFiniteError(f"the loss of step {step} is not finite. {self.about(step)}")
        names, weights = zip(*module.named_parameters(), strict=True)
        largest = torch._foreach_norm([weight.detach() for weight in weights], ord=float("inf"))
        bad = [name for name, value in zip(names, torch.stack(largest).tolist(), strict=True) if not isfinite(value)]
        if bad:
            last = module.trainer.global_step - 1
            raise NonFiniteError(f"step {last} left {bad[0]} with values that are not finite. {self.about(last)}")

    def about(self, step: int) -> str:
        """What was kept, what to try, and which clips were in the batch."""
        clips = list(dict.fromkeys(self.clips_of(step)))
        more = f"\n  … and {len(clips) - NAMED} more" if len(clips) > NAMED else ""
        return (
            "The last good checkpoint is kept. Try another optimizer.lr or trainer.precision=32-true under another "
            "name, or look at the clips of that step:\n  " + "\n  ".join(clips[:NAMED]) + more
        )
