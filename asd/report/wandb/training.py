"""The mirror of a training, fed while it runs."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from asd.report.wandb.runs import Destination, Identity, WandbRun, training_identity, without_stopping
from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from asd.runs.recorded import RecordedConfig


class WandbMirror(Logger):
    """Repeats the lines of metrics.jsonl on W&B. Whatever goes wrong there, the training goes on.

    Args:
        save_dir: The folder of the run, with its configuration.
        project: On W&B.
        entity: User or team; None: the account's own.
        mode: auto, online or offline.
        clips_mb: Of an evaluation; nothing to a training.
    """

    def __init__(
        self,
        save_dir: str,
        *,
        project: str = "asd",
        entity: str | None = None,
        mode: str = "auto",
        clips_mb: float = 0.0,
    ) -> None:
        super().__init__()
        self.folder = RunFolder(Path(save_dir))
        self.destination = Destination(project, entity, mode, clips_mb)
        self.mirror: WandbRun | None = None
        self.has_failed = False

    @cached_property
    def who(self) -> Identity:
        """The run's identity on W&B."""
        return training_identity(self.folder, RecordedConfig.read(self.folder))

    @property
    def name(self) -> str:
        """What Lightning calls it."""
        return "wandb"

    @property
    def version(self) -> str:
        """The run's id on W&B."""
        return self.who.id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs the line of an epoch, and before the first one what an interrupted run had recorded."""
        assert step is not None
        self.guard(lambda: self.open(before=step).log_epoch({**metrics, "step": step}))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: the configuration is there from the start."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the run on W&B."""
        mirror, self.mirror = self.mirror, None
        if mirror and self.has_failed:
            with suppress(Exception):  # said already
                mirror.finish(ok=False)
        elif mirror:
            self.guard(lambda: mirror.finish(ok=status == "success"))

    def open(self, before: int) -> WandbRun:
        """The open mirror; at its first use it gets the lines before a step."""
        if self.mirror is None:
            lines = [line for line in read_record(self.folder) if line["step"] < before]
            self.mirror = WandbRun(self.who, self.destination, resume=bool(lines))
            for line in lines:
                self.mirror.log_epoch(line)
        return self.mirror

    def guard(self, action: Callable[[], Any]) -> None:
        """Does something on W&B, unless it failed before."""
        if not self.has_failed:
            remedy = f"{self.folder.metrics} has everything: asd wandb sync outputs/{self.who.group} sends it later"
            self.has_failed = not without_stopping(action, remedy)
