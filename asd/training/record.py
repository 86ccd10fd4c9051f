"""The record of a run: one fsynced line per epoch, always kept, which loggers of any kind mirror."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from asd.models.module import TrainingModule
from asd.runs.folder import RunFolder
from asd.runs.record import read_record, to_csv
from asd.runs.status import write_status
from asd.system.files import append_line, write_text


class RecordLogger(Logger):
    """Takes what callbacks such as LearningRateMonitor log, for the next line of the record."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: dict[str, float] = {}

    @property
    def name(self) -> str:
        """What Lightning calls it."""
        return "record"

    @property
    def version(self) -> str:
        """There is one."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keeps the latest value of each figure until the end of the epoch."""
        self.latest |= {name: float(value) for name, value in metrics.items()}

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: config.yaml has them."""

    def take(self) -> dict[str, float]:
        """The figures since the last call."""
        found, self.latest = self.latest, {}
        return found


class EpochRecord(pl.Callback):
    """Appends the epoch's figures to metrics.jsonl and metrics.csv, and updates the run's status.

    The same figures go to every other logger, and to Lightning's callbacks, such as EarlyStopping(monitor="loss").

    Args:
        run: The folder of the run.
        logger: What else callbacks logged.
    """

    def __init__(self, run: RunFolder, logger: RecordLogger) -> None:
        self.run = run
        self.logger = logger

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
        assert isinstance(pl_module, TrainingModule)
        figures = pl_module.compute()  # waits for a GPU that is still at work: before the clock is read
        pl_module.reset()
        seconds = time.monotonic() - self.started
        pieces = (trainer.global_step - self.first_step) * pl_module.pieces_per_step
        line = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **figures,
            **self.logger.take(),
            "pieces_per_second": round(pieces / seconds, 2),
            "seconds": round(seconds, 3),
        }
        pl_module.log_dict(figures, logger=False)
        for logger in trainer.loggers:
            if logger is not self.logger:
                logger.log_metrics({k: v for k, v in line.items() if k != "step"}, step=trainer.global_step)
        if trainer.is_global_zero:
            self.append(line)
            write_status(self.run, "running", epoch=line["epoch"], step=line["step"], n_steps=pl_module.n_steps)

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line, safe on the disk when this returns."""
        append_line(self.run.metrics, json.dumps(line, allow_nan=False))
        write_text(self.run.path / "metrics.csv", to_csv(read_record(self.run)))
