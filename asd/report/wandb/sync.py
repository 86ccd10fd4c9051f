"""Rebuilds the W&B runs of grids from what lies on disk: the record is the source, W&B its mirror."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml

from asd.config import CONF
from asd.report.wandb.entries import training_entry
from asd.report.wandb.evaluation import mirror_evaluation, mirror_grid
from asd.report.wandb.mirror import Mirror
from asd.report.wandb.training import log_line
from asd.runs.folder import OUTPUTS, RunFolder, find_runs
from asd.runs.lock import holder_of
from asd.runs.manifest import is_done, read_manifest
from asd.runs.record import read_record
from asd.system.progress import say, track

DEFAULTS = CONF / "logger" / "wandb.yaml"


@dataclass(frozen=True)
class Job:
    """One W&B run to make: what people call it, and how."""

    name: str
    make: Callable[[], None]


@dataclass(frozen=True)
class Failure:
    """A run that could not be made, and why."""

    name: str
    why: str


def sync(names: list[str], settings: Mapping[str, Any], *, dry_run: bool, progress: bool = True) -> list[Failure]:
    """Makes the W&B runs of grids one by one; a broken one does not keep the others from being made.

    Args:
        names: Of the grids: folders of outputs/.
        settings: What to take instead of each run's own `logger` settings: project, entity, mode, clips_mb.
        dry_run: Only say what would be made.
        progress: Whether to show how far it has come.

    Returns:
        What could not be made.
    """
    jobs = [job for name in names for job in jobs_of(name, settings)]
    if dry_run:
        for job in jobs:
            print(job.name)
        return []
    failures = []
    for job in track(jobs, "sending to W&B", unit="run", show=progress):
        try:
            job.make()
        except Exception as error:  # whatever is wrong with it, the next one may be whole
            why = " ".join(str(error).split())[:300]
            failures.append(Failure(job.name, f"{type(error).__name__}: {why}"))
    return failures


def jobs_of(name: str, settings: Mapping[str, Any]) -> Iterator[Job]:
    """The trainings, the evaluations and the table of a grid.

    Raises:
        ValueError: There is no such grid.
    """
    runs = find_runs(name)
    if not runs:
        raise ValueError(f"{OUTPUTS / name}: no runs there. Give a folder that train.py made, such as outputs/main")
    for run in runs:
        if holder_of(run):
            say(f"{run.path} is being worked on: left out")
            continue
        yield Job(f"{run.path}", partial(send_training, run, settings))
        for folder in sorted(run.path.glob("scores/*/manifest.json")):
            scorer = folder.parent.name
            yield Job(f"{folder.parent}", partial(send_evaluation, run, scorer, settings))
    if (OUTPUTS / name / "results" / "table2.csv").is_file():
        yield Job(f"{OUTPUTS / name / 'results'}", partial(send_grid, name, runs, settings))


def send_training(run: RunFolder, settings: Mapping[str, Any]) -> None:
    """A training from its metrics.jsonl."""
    config, lines = run.read_config(), read_record(run)
    if not lines:
        raise ValueError(f"{run.metrics} holds no epoch yet")
    mirror = Mirror(training_entry(run, config), logger_settings(config, settings), resume=False)
    for line in lines:
        log_line(mirror, line)
    mirror.finish(ok=is_done(run))


def send_evaluation(run: RunFolder, scorer: str, settings: Mapping[str, Any]) -> None:
    """An evaluation from its scores.

    Raises:
        ValueError: The files are not those that evaluate.py wrote.
    """
    manifest = read_manifest(run.scores(scorer) / "manifest.json")
    if manifest is None:
        raise ValueError(f"{run.scores(scorer)}: files are missing or changed since; evaluate.py makes them again")
    config = run.read_config()
    mirror_evaluation(run, {"name": scorer, **manifest["scorer"]}, logger_settings(config, settings))


def send_grid(name: str, runs: list[RunFolder], settings: Mapping[str, Any]) -> None:
    """The table of a grid."""
    mirror_grid(name, logger_settings(runs[0].read_config(), settings))


def logger_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The `logger` settings of a run: conf/logger/wandb.yaml, over that its own, over both what was asked for."""
    defaults = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["wandb"]
    own = config["logger"].get("wandb") or {}
    found = {**defaults, **own, **{key: value for key, value in settings.items() if value is not None}}
    return {key: value for key, value in found.items() if key != "_target_"}
