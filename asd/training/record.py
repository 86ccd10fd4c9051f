"""The record of a run: one fsynced line per epoch, which loggers mirror."""

import json
import time
from typing import Any

import pytorch_lightning as pl

from asd.models.learner import Learner
from asd.runs.folder import RunFolder
from asd.runs.record import read_record, to_csv
from asd.runs.status import write_status
from asd.system.files import append_line, write_text


class EpochRecord(pl.Callback):
    """Appends the epoch's metrics to metrics.jsonl and beats the heart of the run's status.

    Args:
        run: The folder of the run.
        as_csv: Also keep the record as metrics.csv.
    """

    def __init__(self, run: RunFolder, *, as_csv: bool) -> None:
        self.run = run
        self.as_csv = as_csv

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drops lines of epochs that a resumed run is about to repeat."""
        if not trainer.is_global_zero:
            return
        kept = [line for line in read_record(self.run) if line["epoch"] < trainer.current_epoch]
        write_text(self.run.metrics, "".join(json.dumps(line) + "\n" for line in kept))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self.started = time.monotonic()
        self.first_step = trainer.global_step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the line."""
        assert isinstance(pl_module, Learner)
        seconds = time.monotonic() - self.started
        pieces = (trainer.global_step - self.first_step) * pl_module.pieces_per_step
        line = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **pl_module.end_epoch(),
            "pieces_per_second": round(pieces / seconds, 2),
            "seconds": round(seconds, 3),
        }
        if trainer.logger:
            trainer.logger.log_metrics({k: v for k, v in line.items() if k != "step"}, step=trainer.global_step)
        if trainer.is_global_zero:
            self.append(line)
            write_status(self.run, "running", epoch=line["epoch"], step=line["step"], n_steps=pl_module.n_steps)

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line, safe on the disk when this returns."""
        append_line(self.run.metrics, json.dumps(line, allow_nan=False))
        if self.as_csv:
            write_text(self.run.path / "metrics.csv", to_csv(read_record(self.run)))
