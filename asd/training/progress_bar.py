"""The progress of a training for people who look on: steps, epoch, loss, accuracy, pieces a second, time left."""

import time
from contextlib import ExitStack
from typing import Any

import pytorch_lightning as pl

from asd.models.module import TrainingModule
from asd.system.progress import progress

NOTE_EVERY = 0.5  # seconds; reading the loss makes a GPU wait


class TrainingBar(pl.Callback):
    """Shows the steps of a training in place of Lightning's bar, which knows an epoch only.

    Args:
        title: What is trained.
        show: Whether to.
    """

    def __init__(self, title: str, *, show: bool) -> None:
        self.title = title
        self.show = show
        self.open = ExitStack()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar where an interrupted run goes on."""
        assert isinstance(pl_module, TrainingModule)
        self.step = self.first = trainer.global_step
        self.started = self.noted = time.monotonic()
        show = self.show and trainer.is_global_zero
        bar = progress(self.title, pl_module.n_steps, unit="step", show=show, done=self.step)
        self.bar = self.open.enter_context(bar)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts the step; now and then reads the loss."""
        assert isinstance(pl_module, TrainingModule)
        now = time.monotonic()
        if self.show and (now - self.noted >= NOTE_EVERY or trainer.should_stop):
            self.noted = now
            self.bar.note(self.words(trainer, pl_module, now - self.started))
        self.bar.update(trainer.global_step - self.step)
        self.step = trainer.global_step

    def words(self, trainer: pl.Trainer, pl_module: TrainingModule, seconds: float) -> str:
        """The epoch, its loss and accuracy so far, and the speed since the start."""
        figures = pl_module.compute(of_all_ranks=False)
        speed = (trainer.global_step - self.first) * pl_module.pieces_per_step / seconds
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        accuracy = f", accuracy {figures['accuracy']:.1%}" if "accuracy" in figures else ""
        return f"{epoch}, loss {figures['loss']:.3f}{accuracy}, {speed:,.0f} pieces/s"

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Closes the bar."""
        self.open.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Closes the bar of a training that stops."""
        self.open.close()
