"""The mirror of a training, fed while it runs."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from asd.config.schema import RunConfig
from asd.report.wandb.entries import training_entry
from asd.report.wandb.keys import curve
from asd.report.wandb.mirror import Mirror, without_stopping
from asd.runs.folder import RunFolder
from asd.runs.record import read_record


class WandbMirror(Logger):
    """Repeats the lines of metrics.jsonl on W&B. Whatever goes wrong there, the training goes on.

    Args:
        run: The folder of the run.
        config: Its configuration.
        project: On W&B.
        entity: User or team; None: the account's own.
        mode: auto, online or offline.
        clips_mb: Of an evaluation; nothing to a training.
    """

    def __init__(
        self,
        run: RunFolder,
        config: RunConfig,
        *,
        project: str = "asd",
        entity: str | None = None,
        mode: str = "auto",
        clips_mb: float = 0.0,
    ) -> None:
        super().__init__()
        self.run = run
        self.config = config.plain()
        self.settings = {"project": project, "entity": entity, "mode": mode}
        self.mirror: Mirror | None = None
        self.gave_up = False

    @property
    def name(self) -> str:
        """What Lightning calls it."""
        return "wandb"

    @property
    def version(self) -> str:
        """The run's id on W&B."""
        return training_entry(self.run, self.config).id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs the line of an epoch, and before the first one what an interrupted run had recorded."""
        assert step is not None
        self.careful(lambda: log_line(self.opened(before=step), {**metrics, "step": step}))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: the configuration is there from the start."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the run on W&B."""
        mirror, self.mirror = self.mirror, None
        if mirror and self.gave_up:
            with suppress(Exception):  # said already
                mirror.finish(ok=False)
        elif mirror:
            self.careful(lambda: mirror.finish(ok=status == "success"))

    def opened(self, before: int) -> Mirror:
        """The open mirror, at its first use with the lines before a step."""
        if self.mirror is None:
            lines = [line for line in read_record(self.run) if line["step"] < before]
            self.mirror = Mirror(training_entry(self.run, self.config), self.settings, resume=bool(lines))
            for line in lines:
                log_line(self.mirror, line)
        return self.mirror

    def careful(self, action: Callable[[], Any]) -> None:
        """Does something on W&B, unless it failed before."""
        if not self.gave_up:
            remedy = f"{self.run.metrics} has everything: asd wandb sync outputs/{self.config['name']} sends it later"
            self.gave_up = not without_stopping(action, remedy)


def log_line(mirror: Mirror, line: Mapping[str, Any]) -> None:
    """Logs a line of metrics.jsonl at its step."""
    mirror.log({curve(name): value for name, value in line.items() if name != "step"}, step=line["step"])
