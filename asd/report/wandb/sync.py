"""Makes the W&B runs of grids from files on disk: the record is the source, W&B its mirror."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from asd.report.scored import ScoredRun, Scoring
from asd.report.wandb.evaluation import mirror_evaluation, mirror_grid
from asd.report.wandb.runs import Destination, WandbRun, training_identity
from asd.runs.folder import OUTPUTS, RunFolder, runs_below
from asd.runs.lock import holder_of
from asd.runs.manifest import is_done, read_manifest, scorer_settings
from asd.runs.record import read_record
from asd.runs.recorded import RecordedConfig
from asd.system.progress import say, track


def sync(names: Sequence[str], asked: Mapping[str, Any], *, dry_run: bool) -> dict[str, str]:
    """Makes the W&B runs of grids one by one; a broken one does not keep the others from being made.

    Args:
        names: Of the grids: folders of outputs/.
        asked: What to take instead of each run's own: fields of `Destination`.
        dry_run: Only say what would be made.

    Returns:
        What could not be made, and why.
    """
    todo = {str(folder): make for name in names for folder, make in find_mirrors(name, asked)}
    if dry_run:
        print("\n".join(todo))
        return {}
    failures = {}
    for folder, make in track(list(todo.items()), "sending to W&B", unit="run"):
        try:
            make()
        except Exception as error:  # whatever is wrong with it, the next one may be whole
            failures[folder] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return failures


def find_mirrors(name: str, asked: Mapping[str, Any]) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The trainings, the evaluations and the table of a grid: the folder of each, and what makes its mirror.

    Raises:
        ValueError: There is no such grid.
    """
    runs = runs_below(OUTPUTS / name, shared=True)
    if not runs:
        raise ValueError(f"{OUTPUTS / name}: no runs there. Give a folder that train.py made, such as outputs/main")
    for run in runs:
        if holder_of(run):
            say(f"{run.path} is being worked on: left out")
            continue
        yield run.path, partial(send_training, run, asked)
        for manifest in sorted(run.path.glob("scores/*/manifest.json")):
            yield manifest.parent, partial(send_evaluation, run, manifest.parent.name, asked)
    results = OUTPUTS / name / "results"
    if (results / "results.json").is_file():
        yield results, lambda: mirror_grid(name, destination_of(RecordedConfig.read(runs[0]), asked))


def send_training(run: RunFolder, asked: Mapping[str, Any]) -> None:
    """A training from its metrics.jsonl."""
    config, lines = RecordedConfig.read(run), read_record(run)
    if not lines and config.trainer.max_steps != 0:  # a training of no steps has none
        raise ValueError(f"{run.metrics} holds no epoch yet")
    mirror = WandbRun(training_identity(run, config), destination_of(config, asked), resume=False)
    for line in lines:
        mirror.log_epoch(line)
    mirror.finish(ok=is_done(run))


def send_evaluation(run: RunFolder, scorer: str, asked: Mapping[str, Any]) -> None:
    """An evaluation from its scores.

    Raises:
        ValueError: The files are not those that evaluate.py wrote.
    """
    folder, config = run.scores(scorer), RecordedConfig.read(run)
    manifest = read_manifest(folder / "manifest.json")
    if manifest is None:
        raise ValueError(f"{folder}: files are missing or changed since; evaluate.py makes them again")
    scoring = Scoring(scorer, scorer_settings(manifest, folder / "manifest.json"))
    mirror_evaluation(ScoredRun(run, config, folder, scoring), destination_of(config, asked))


def destination_of(config: RecordedConfig, asked: Mapping[str, Any]) -> Destination:
    """Where a run goes: as its own configuration says, and above that what was asked for."""
    own = {key: value for key, value in (config.logger.get("wandb") or {}).items() if key != "_target_"}
    return replace(Destination(**own), **{key: value for key, value in asked.items() if value is not None})
