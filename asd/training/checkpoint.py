"""When checkpoints are kept, and how they are written: whole, the newest and the one before."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from lightning_fabric.plugins import TorchCheckpointIO

from asd.runs.checkpoint import FORMAT, with_present_names
from asd.runs.folder import RunFolder
from asd.system.files import replacing
from asd.system.interruption import Interruption


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes, renames: a full disk or a kill leaves the earlier file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves `checkpoint` at `path`; the same content gives the same bytes."""
        with replacing(Path(path)) as temporary, open(temporary, "wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch hides why the file could not be written
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Loads a checkpoint to go on from."""
        return with_present_names(super().load_checkpoint(path, *args, **kwargs))


class KeepLast(pl.callbacks.Checkpoint):
    """Keeps last.ckpt, and the one before as previous.ckpt, so that a run goes on from there to the bit.

    A checkpoint is kept when one is due, at the end, and when the process is asked to end. It always reads like the
    start of its epoch — Lightning's own account of half an epoch differs between its releases — while the number of
    steps done says where in the epoch it is. Lightning calls it after every other callback, so that a training that
    one of them stops early is kept as finished.

    Args:
        run: The folder of the run.
        identity: Plain values that let the checkpoint stand alone: configuration, sections, frozen names.
        every_n_minutes: After how long one is due; None: never by the clock.
        every_n_steps: After how many steps one is due; None: never by their number.
        interruption: Whether the process was asked to end.
        checks: Must not raise for a checkpoint to be kept.
    """

    def __init__(
        self,
        run: RunFolder,
        identity: Mapping[str, Any],
        *,
        every_n_minutes: float | None,
        every_n_steps: int | None,
        interruption: Interruption,
        checks: Sequence[Callable[[pl.LightningModule], None]],
    ) -> None:
        self.run = run
        # Strings of its own: keys that it shared with the optimizer's would be written once by a run that began here,
        # and twice by one that goes on, whose optimizer has the strings of a checkpoint.
        self.identity: dict[str, Any] = yaml.safe_load(yaml.safe_dump(dict(identity)))
        self.every_n_minutes = every_n_minutes
        self.every_n_steps = every_n_steps
        self.interruption = interruption
        self.checks = checks

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock; from now on a signal waits for the end of a step."""
        self.kept_at = time.monotonic()
        self.interruption.patient = True
        if self.interruption.is_listening:
            self.interruption.listen()  # again: Lightning has put its own handler before ours

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Within an epoch; at its end the record of the epoch comes first."""
        if trainer.global_step % trainer.num_training_batches and not trainer.should_stop:
            self.keep_up(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After an epoch."""
        self.keep_up(trainer)

    def keep_up(self, trainer: pl.Trainer) -> None:
        """Saves if it is time.

        Raises:
            SystemExit: The process was asked to end.
        """
        asked, is_last = self.interruption.received is not None, trainer.should_stop
        if agreed(trainer, asked or is_last or self.is_due(trainer.global_step)):
            self.save(trainer)
        if agreed(trainer, asked) and not is_last:
            raise SystemExit(self.interruption.exit_code if asked else 143)

    def is_due(self, step: int) -> bool:
        """Whether enough steps or minutes went by."""
        by_steps = self.every_n_steps is not None and step % self.every_n_steps == 0
        passed = time.monotonic() - self.kept_at
        return by_steps or (self.every_n_minutes is not None and passed >= 60 * self.every_n_minutes)

    def save(self, trainer: pl.Trainer) -> None:
        """Keeps the state as it is now."""
        for check in self.checks:
            check(trainer.lightning_module)
        if trainer.is_global_zero and self.run.checkpoint.exists():
            os.replace(self.run.checkpoint, self.run.previous_checkpoint)
        trainer.save_checkpoint(self.run.checkpoint)
        self.kept_at = time.monotonic()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds what a reader needs beside the weights, and makes Lightning begin the epoch anew."""
        checkpoint["asd"] = {"format": FORMAT, **self.identity, "is_finished": trainer.should_stop}
        checkpoint["epoch"] = trainer.global_step // int(trainer.num_training_batches)
        begin_epoch(checkpoint["loops"]["fit_loop"], checkpoint["epoch"])


def keep_finished(
    run: RunFolder, weights: Mapping[str, Any], identity: Mapping[str, Any], *, epoch: int = 0, step: int = 0
) -> None:
    """Keeps a network that learns no more: as it starts, for a training of no steps, or as another run trained it.

    Args:
        run: The folder of the run.
        weights: Of the network, by name.
        identity: As of `KeepLast`.
        epoch: Epochs that were completed.
        step: Steps that were done.
    """
    about = {"format": FORMAT, **identity, "is_finished": True}
    checkpoint = {"epoch": epoch, "global_step": step, "state_dict": dict(weights), "asd": about}
    AtomicCheckpointIO().save_checkpoint(checkpoint, run.checkpoint)


def agreed(trainer: pl.Trainer, decision: bool) -> bool:
    """Whether any of the processes that train together wants it; all must save together or none."""
    return trainer.strategy.reduce_boolean_decision(decision, all=False) if trainer.world_size > 1 else decision


def begin_epoch(loop: dict[str, Any], epoch: int) -> None:
    """Makes Lightning's account of a fit that of the moment before an epoch starts.

    Args:
        loop: The state of its fit loop.
        epoch: Number of epochs that were completed.
    """
    for counts in loop["epoch_progress"].values():
        counts.update(dict.fromkeys(counts, epoch))
    progress = loop["epoch_loop.batch_progress"]
    progress["is_last_batch"] = False
    for counts in (progress["total"], progress["current"]):
        counts.update(dict.fromkeys(counts, 0))
