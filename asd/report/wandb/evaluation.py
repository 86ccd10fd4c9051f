"""The mirror of an evaluation and of a grid's table, made from the files that evaluate.py leaves."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from asd.data.clips import file_of
from asd.report import plots
from asd.report.clips import clip_rows, listening_order, read_pieces, worst_errors
from asd.report.projection import project
from asd.report.results import read_results
from asd.report.scored import ScoredRun, Scoring, scored_runs
from asd.report.table import table_rows
from asd.report.wandb.runs import Destination, evaluation_identity, grid_identity, new_run, without_stopping
from asd.runs.folder import OUTPUTS, RunFolder
from asd.scoring.metrics import RULE_TEXT, MetricRow, machine_row, official_score
from asd.scoring.thresholds import sound_threshold
from asd.system.progress import say

MEGABYTE = 1_000_000
N_WORST = 10  # misses, and false alarms, of a section


def mirror_results(
    name: str,
    scoring_of: Callable[[RunFolder], Scoring],
    destination: Destination,
    *,
    machines: Sequence[str] | None,
    root: Path | str | None,
) -> None:
    """Sends what evaluate.py found to W&B; a failure is said once.

    Args:
        name: Of the grid.
        scoring_of: Which of a finished run's scores count.
        destination: Where they go.
        machines: Whose runs to send; None: all.
        root: Where the data are now; None: where they were at training time.
    """
    todo: list[Callable[[], None]] = [
        partial(mirror_evaluation, run, destination, root)
        for run in scored_runs(name, scoring_of)
        if machines is None or run.run.machine in machines
    ]
    todo.append(partial(mirror_grid, name, destination))
    remedy = f"The results are complete: asd wandb sync outputs/{name} sends them later"
    for work in todo:
        if not without_stopping(work, remedy):
            return


def mirror_evaluation(scored: ScoredRun, destination: Destination, root: Path | str | None = None) -> None:
    """Makes the W&B run of an evaluation anew.

    Args:
        scored: The run and its scores.
        destination: Where they go.
        root: Where the data are now; None: where they were at training time.
    """
    figures, scorer = headline(scored), {"name": scored.scoring.scorer, **scored.scoring.arguments}
    with new_run(evaluation_identity(scored.run, scorer), destination) as run:
        run.log(figures | sections(scored) | pictures(scored))
        if destination.clips_mb > 0:
            folder = Path(root) if root else scored.config.data.folder
            run.log(clips(scored, folder, destination.clips_mb * MEGABYTE))
        run.summarise(figures)


def headline(scored: ScoredRun) -> dict[str, float]:
    """The figures of a run, in percent; none where no label is known."""
    if not scored.rows:
        return {}
    auc, pauc = machine_row(scored.rows, scored.rule)
    figures = {"score/auc": auc, "score/pauc": pauc, "score/official": official_score(scored.rows)}
    for row in scored.rows:
        place = f"{row.section:02d}_{row.domain}"
        values = {f"auc/{place}": row.auc, f"pauc/{place}": row.pauc}
        figures |= {key: value for key, value in values.items() if value is not None}
    return {key: 100 * value for key, value in figures.items()}


def sections(scored: ScoredRun) -> dict[str, Any]:
    """The figures of every section and domain as fractions, and the rule that they follow."""
    columns = [*(one.name for one in fields(MetricRow)), "rule"]
    return {"results/sections": table(columns, [(*astuple(row), RULE_TEXT[scored.rule]) for row in scored.rows])}


def pictures(scored: ScoredRun) -> dict[str, Any]:
    """ROC curves, histograms and the map of embeddings, each where there is something to draw."""
    found = {}
    if scored.rows:
        found["results/roc"] = plots.roc_of_run(scored.table, scored.rows, scored.rule)
    if (scored.table.split == "test").any():
        training = scored.table.score[scored.table.is_train]
        found["results/histogram"] = plots.histograms(scored.table, sound_threshold(training).value)
    pieces = read_pieces(scored.scores)
    if pieces is not None and pieces.embedding is None:
        say(f"{scored.scores} was made before embeddings were kept: no projection (overwrite=true makes it)")
    elif pieces is not None and (shown := project(pieces.embedding)):  # type: ignore[arg-type]
        title = "main axes (PCA)"
        found["results/projection"] = plots.embedding_map(shown.pca, shown.rows, scored.table, title)
    return {key: image(plot) for key, plot in found.items()}


def clips(scored: ScoredRun, root: Path, budget: float) -> dict[str, Any]:
    """The worst errors with their sound and the nearest training clips, as many as a budget of bytes allows."""
    import wandb

    names = scored.table.clip
    threshold = sound_threshold(scored.table.score[scored.table.is_train])
    rows = clip_rows(scored.table, read_pieces(scored.scores), threshold)
    columns = ("verdict", "section", "domain", "score", "train percentile", "clip", "sound", "nearest training clips")
    lines = []
    for clip in listening_order(worst_errors(rows, N_WORST)):
        path = root / file_of(clip.path)[0]
        budget -= path.stat().st_size
        if budget < 0:
            break
        facts = (clip.verdict, f"{clip.section:02d}", clip.domain, clip.score, clip.train_percentile, clip.path)
        nearest = ", ".join(str(names[row]) for row in clip.nearest)
        lines.append((*facts, wandb.Audio(str(path)), nearest))  # of a part of a file the whole
    return {"results/clips": table(columns, lines)}


def mirror_grid(name: str, destination: Destination) -> None:
    """Makes the W&B run of a grid's table anew: all systems, beside the report's rows where the data are the same."""
    results = read_results(OUTPUTS / name / "results")
    lines = [
        (row.system, row.note, machine, *pair, results.rules[machine])
        for row in table_rows(results)
        for machine, pair in row.machines.items()
        if machine in results.rules
    ]
    scores = {system.name: results.official_score(system) for system in results.systems}
    figures = {f"official/{system}": score for system, score in scores.items() if score is not None}
    with new_run(grid_identity(name), destination) as run:
        run.log({"results/table2": table(("system", "note", "machine", "AUC", "pAUC", "rule"), lines), **figures})
        run.summarise(figures)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """A table of plain values and media."""
    import wandb

    plain = [[value.item() if isinstance(value, np.generic) else value for value in row] for row in rows]
    return wandb.Table(columns=list(columns), data=plain)


def image(plot: plots.Plot) -> Any:
    """A plot as an image."""
    import wandb

    return wandb.Image(plot.image(), caption=plot.description)
