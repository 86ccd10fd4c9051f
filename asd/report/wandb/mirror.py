"""A run on W&B: opened under our identity, fed under known keys, closed. Here alone W&B's runs are known."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from asd.report.wandb.entries import Entry
from asd.report.wandb.keys import find
from asd.system.progress import say

Mode = Literal["online", "offline", "disabled"]
SETTINGS = {
    "console": "off",
    "silent": True,
    "init_timeout": 30.0,  # seconds that the start waits for an answer
    "finish_timeout": 300.0,  # seconds that the end waits for what is still to be sent
    "finish_timeout_raises": True,
}


class Mirror:
    """One run on W&B.

    Args:
        entry: Who it is.
        logger: project, entity and mode of the configuration.
        resume: Whether to go on behind what W&B has of it; else it begins anew there, under the same id.

    Attributes:
        next_step: The first step that W&B does not have yet.
    """

    def __init__(self, entry: Entry, logger: Mapping[str, Any], *, resume: bool) -> None:
        import wandb

        mode = choose_mode(logger["mode"])
        if mode == "offline":
            remove_offline(entry)
        self.run = patiently(
            wandb.init,
            project=logger["project"],
            entity=logger["entity"],
            group=entry.group,
            job_type=entry.job_type,
            name=entry.name,
            id=entry.id,
            config=entry.config,
            dir=made(entry.folder),
            mode=mode,
            resume="allow" if resume else None,
            reinit="create_new",  # else a second run in this process would end up in the first
            settings=wandb.Settings(**settings_known_to(wandb.Settings)),
        )
        self.next_step = int(getattr(self.run, "starting_step", 0))  # not `step`, which is 0 until something is logged
        say(f"W&B: {entry.name} at {self.run.url if mode == 'online' else entry.folder / 'wandb'}")

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Adds a line to the run's history; one whose step is there already is left out."""
        if step is not None:
            if step < self.next_step:
                return
            self.next_step = step + 1
        self.run.log(checked(values), step=step)

    def summarise(self, figures: Mapping[str, float]) -> None:
        """Sets the figures of the run."""
        self.run.summary.update(checked(figures))

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.finish(ok=kind is None)

    def finish(self, *, ok: bool) -> None:
        """Ends the run."""
        self.run.finish(exit_code=0 if ok else 1)


def patiently(init: Callable[..., Any], **settings: Any) -> Any:
    """Opens a run; W&B frees an id a moment after the run that had it ended."""
    for pause in (0.1, 0.5, 2.0):
        try:
            return init(**settings)
        except Exception as error:
            if "is in use" not in str(error):
                raise
            time.sleep(pause)
    return init(**settings)


def settings_known_to(kind: Any) -> dict[str, Any]:
    """Our settings, as far as this version of W&B knows them and the environment does not say otherwise."""
    return {
        name: value
        for name, value in SETTINGS.items()
        if name in kind.model_fields and f"WANDB_{name.upper()}" not in os.environ
    }


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values, whose keys must stand in the table of keys."""
    for key in values:
        find(key)
    return dict(values)


def made(folder: Path) -> str:
    """A folder that is there (where it is not, W&B quietly uses another), for a process in whatever directory."""
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder.absolute())


def remove_offline(entry: Entry) -> None:
    """Removes earlier offline copies of a run: the one being made will hold the whole of it."""
    for folder in (entry.folder / "wandb").glob(f"offline-run-*-{entry.id}"):
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
