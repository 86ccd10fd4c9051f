"""Runs on W&B: who is who, opened under our identity through Lightning's WandbLogger, fed under known keys."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.loggers import WandbLogger

from asd.report.wandb.keys import curve, find
from asd.runs.folder import OUTPUTS, RunFolder
from asd.runs.manifest import essential
from asd.runs.recorded import RecordedConfig
from asd.system.progress import say

Mode = Literal["online", "offline", "disabled"]
SETTINGS = {
    "console": "off",
    "silent": True,
    "init_timeout": 30.0,  # seconds that the start waits for an answer
    "finish_timeout": 300.0,  # seconds that the end waits for what is still to be sent
    "finish_timeout_raises": True,
}


@dataclass(frozen=True)
class Destination:
    """Where runs go.

    Attributes:
        project: On W&B.
        entity: User or team; None: the account's own.
        mode: auto, online or offline.
        clips_mb: Megabytes of the worst errors to hear, for each evaluation.
    """

    project: str = "asd"
    entity: str | None = None
    mode: str = "auto"
    clips_mb: float = 0.0


@dataclass(frozen=True)
class Identity:
    """Who a run on W&B is.

    Attributes:
        id: The same whenever the same thing is logged again, on whatever machine.
        name: What people see.
        group: The grid.
        job_type: train, finetune, evaluate or ensemble.
        folder: W&B's own files are below it, in `wandb/`.
        facts: What W&B calls its config: plain values, with the axes of the grid as keys of their own.
    """

    id: str
    name: str
    group: str
    job_type: str
    folder: Path
    facts: dict[str, Any]


def training_identity(run: RunFolder, config: RecordedConfig) -> Identity:
    """A training; its id is its address and what makes it what it is."""
    id_ = short_hash(run.path.as_posix(), essential(config.values))
    name, facts = f"{run.machine}/{run.system}", {**config.values, **axes(run, config)}
    return Identity(id_, name, config.name, config.phase, run.path, facts)


def evaluation_identity(run: RunFolder, scorer: Mapping[str, Any]) -> Identity:
    """The scores that a scorer gave a run; `scorer` holds its name and settings."""
    config, folder = RecordedConfig.read(run), run.scores(scorer["name"])
    id_ = short_hash(folder.as_posix(), essential(config.values))
    name = f"{run.machine}/{run.system}" + ("" if scorer["name"] == "cosine" else f" ({scorer['name']})")
    facts = {**config.values, **axes(run, config), "scorer": dict(scorer)}
    return Identity(id_, name, config.name, "evaluate", folder, facts)


def grid_identity(name: str) -> Identity:
    """The table of a grid."""
    folder = OUTPUTS / name / "results"
    return Identity(short_hash(folder.as_posix(), {}), f"{name}: all systems", name, "ensemble", folder, {"name": name})


def axes(run: RunFolder, config: RecordedConfig) -> dict[str, str]:
    """What tells the runs of a grid apart, as single words to group and filter by."""
    names = {"backbone_name": config.backbone.word, "input_name": config.input.word}
    return {"system": run.system, **names, "phase_name": run.phase}


def short_hash(address: str, facts: Mapping[str, Any]) -> str:
    """A short hash of an address and plain values."""
    text = json.dumps([address, facts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class WandbRun:
    """One run on W&B.

    Args:
        who: Its identity.
        destination: Where it goes.
        resume: Whether to go on behind the epochs that W&B has of it; else it begins anew there, under the same id.
    """

    def __init__(self, who: Identity, destination: Destination, *, resume: bool) -> None:
        import wandb

        mode = choose_mode(destination.mode)
        if mode == "offline":
            remove_offline(who)
        who.folder.mkdir(parents=True, exist_ok=True)  # where it is missing, W&B silently uses another
        self.run = retry_while_in_use(
            wandb.init,
            project=destination.project,
            entity=destination.entity,
            group=who.group,
            job_type=who.job_type,
            name=who.name,
            id=who.id,
            config=who.facts,
            dir=str(who.folder.absolute()),
            mode=mode,
            resume="allow" if resume else None,
            reinit="create_new",  # else a second run in this process would end up in the first
            settings=wandb.Settings(**known_settings(wandb.Settings)),
        )
        self.logger = WandbLogger(experiment=self.run)
        self.run.define_metric("trainer/global_step")
        self.run.define_metric("*", step_metric="trainer/global_step")
        self.n_known = int(getattr(self.run, "starting_step", 0))  # epochs that W&B has already
        self.n_epochs = 0
        say(f"W&B: {who.name} {self.place(who, mode)}")

    def place(self, who: Identity, mode: Mode) -> str:
        """Where to find what is sent, in words."""
        if mode == "disabled":
            return "is not recorded (WANDB_MODE=disabled)"
        return f"at {self.run.url if mode == 'online' else who.folder / 'wandb'}"

    def log_epoch(self, line: Mapping[str, Any]) -> None:
        """Sends the next line of metrics.jsonl, unless W&B has it already."""
        self.n_epochs += 1
        if self.n_epochs > self.n_known:
            values = {curve(name): value for name, value in line.items() if name != "step"}
            self.logger.log_metrics(checked(values), step=line["step"])

    def log(self, values: Mapping[str, Any]) -> None:
        """Sends figures, tables and images."""
        self.logger.log_metrics(checked(values))

    def summarise(self, figures: Mapping[str, float]) -> None:
        """Sets the figures of the run."""
        self.run.summary.update(checked(figures))

    def finish(self, *, ok: bool) -> None:
        """Ends the run."""
        self.run.finish(exit_code=0 if ok else 1)


@contextmanager
def new_run(who: Identity, destination: Destination) -> Iterator[WandbRun]:
    """A run that is made anew and ended."""
    run = WandbRun(who, destination, resume=False)
    try:
        yield run
    except BaseException:
        run.finish(ok=False)
        raise
    run.finish(ok=True)


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values, whose keys must be in the table of keys."""
    for key in values:
        find(key)
    return dict(values)


def retry_while_in_use(init: Callable[..., Any], **settings: Any) -> Any:
    """Opens a run; W&B frees an id a moment after the run that had it ended."""
    for pause in (0.1, 0.5, 2.0):
        try:
            return init(**settings)
        except Exception as error:
            if "is in use" not in str(error):
                raise
            time.sleep(pause)
    return init(**settings)


def known_settings(kind: Any) -> dict[str, Any]:
    """Our settings, as far as this version of W&B knows them and the environment does not say otherwise."""
    return {
        name: value
        for name, value in SETTINGS.items()
        if name in kind.model_fields and f"WANDB_{name.upper()}" not in os.environ
    }


def remove_offline(who: Identity) -> None:
    """Removes earlier offline copies of a run: the one being made will hold the whole of it."""
    for folder in (who.folder / "wandb").glob(f"offline-run-*-{who.id}"):
        shutil.rmtree(folder, ignore_errors=True)  # its last lines may still be on their way


def choose_mode(asked: str) -> Mode:
    """Whether to send, to record on disk, or neither.

    Args:
        asked: online, offline, or auto: what WANDB_MODE says, else online where an account is known.
    """
    if asked == "online" or asked == "offline":
        return "online" if asked == "online" else "offline"
    environment = os.environ.get("WANDB_MODE", "")
    if environment:
        return {"online": "online", "disabled": "disabled"}.get(environment, "offline")  # type: ignore[return-value]
    return "online" if has_account() else "offline"


@cache
def has_account() -> bool:
    """Whether W&B knows who we are; asked, and the answer said, once in a process."""
    import wandb

    try:
        known = bool(wandb.login(prompt=False))
    except wandb.Error as error:
        say(f"W&B does not answer ({error}): recording offline")
        return False
    if not known:
        say("no W&B account is known (wandb login): recording offline")
    return known


def without_stopping(action: Callable[[], Any], remedy: str) -> bool:
    """Does what W&B may fail at; says what went wrong, once.

    Args:
        action: What to do.
        remedy: What can be done later.

    Returns:
        Whether it went well.
    """
    try:
        action()
    except Exception as error:  # whatever it is, it is no reason to stop
        said = " ".join(str(error).split())[:300]
        say(f"W&B failed ({type(error).__name__}: {said}): going on without it. {remedy}")
        return False
    return True
