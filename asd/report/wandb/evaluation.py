"""The mirror of an evaluation and of a grid's table, made from the files that evaluate.py leaves."""

import csv
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from asd.config.schema import EvaluateConfig
from asd.report.published import TABLE_2
from asd.report.results import scored_runs
from asd.report.wandb import media
from asd.report.wandb.entries import evaluation_entry, grid_entry
from asd.report.wandb.figures import headline, histogram_lines, labelled_rows, roc_lines, two_axes
from asd.report.wandb.mirror import Mirror, without_stopping
from asd.report.wandb.telling import telling_clips
from asd.runs.folder import OUTPUTS, RunFolder
from asd.runs.scores import ScoreTable, read_scores
from asd.scoring.metrics import MetricRow
from asd.system.progress import say

MEGABYTE = 1_000_000


def mirror_results(config: EvaluateConfig) -> None:
    """Sends what evaluate.py found to W&B, if its configuration wants that; a failure is said once.

    Args:
        config: Of evaluate.py.
    """
    part = config.logger.get("wandb")
    if part is None:
        return
    name, logger = config.name, part.arguments
    scorer = {"name": config.scorer.name or "cosine", **config.scorer.arguments}
    todo: list[Callable[[], None]] = [
        partial(mirror_evaluation, run, scorer, logger, config.data.root)
        for run in scored_runs(name, scorer["name"])
        if config.machines is None or run.machine in config.machines
    ]
    todo.append(partial(mirror_grid, name, logger))
    remedy = f"The results are complete: asd wandb sync outputs/{name} sends them later"
    for work in todo:
        if not without_stopping(work, remedy):
            return


def mirror_evaluation(
    run: RunFolder, scorer: Mapping[str, Any], logger: Mapping[str, Any], root: str | None = None
) -> None:
    """Makes the W&B run of an evaluation anew.

    Args:
        run: Scored.
        scorer: Name and settings of the scorer.
        logger: The configuration's `logger`.
        root: Where the data lie now; None: where they were at training time.
    """
    scores = read_scores(run.scores(scorer["name"]) / "scores.csv")
    rows = labelled_rows(scores)
    figures = headline(rows)
    with Mirror(evaluation_entry(run, scorer), logger, resume=False) as mirror:
        mirror.log(figures | sections(rows) | charts(run, scores, rows) | projection(run, scorer["name"], scores))
        if logger.get("clips_mb", 0) > 0:
            folder = Path(root or run.read_config()["data"]["root"])
            mirror.log(clips(run, scorer["name"], scores, rows, folder, logger["clips_mb"]))
        mirror.summarise(figures)


def sections(rows: list[MetricRow]) -> dict[str, Any]:
    """The figures of every section and domain, in percent."""
    columns = ("machine", "section", "domain", "normal clips", "anomalous clips", "AUC", "pAUC")
    lines = [
        (
            row.machine,
            f"{row.section:02d}",
            row.domain,
            row.n_normal,
            row.n_anomaly,
            percent(row.auc),
            percent(row.pauc),
        )
        for row in rows
    ]
    return {"results/sections": media.table(columns, lines)}


def percent(fraction: float | None) -> float | None:
    """A fraction in percent."""
    return None if fraction is None else 100 * fraction


def charts(run: RunFolder, scores: ScoreTable, rows: list[MetricRow]) -> dict[str, Any]:
    """ROC curves and histograms of the scores."""
    title = f"{run.machine}/{run.system}"
    found = {"results/histogram": media.chart(histogram_lines(scores), f"Test clips by score, {title}", "score")}
    if rows:
        found["results/roc"] = media.chart(roc_lines(scores, rows), f"ROC, {title}", "false positive rate")
    return found


def projection(run: RunFolder, scorer: str, scores: ScoreTable) -> dict[str, Any]:
    """The test clips' embeddings in two dimensions, as an image and as a table of points."""
    with np.load(run.scores(scorer) / "pieces.npz", allow_pickle=False) as pieces:
        if "embedding" not in pieces:
            say(f"{run.scores(scorer)} was made before embeddings were kept: no projection (overwrite=true makes it)")
            return {}
        embedding = pieces["embedding"]
    test = scores.split == "test"
    points = two_axes(embedding[test])
    known = [scores.clip, scores.section, scores.domain, scores.label, scores.score]
    columns = ("x", "y", "clip", "section", "domain", "label", "score")
    lines = list(zip(*points.T, *(column[test] for column in known), strict=True))
    kinds = (scores.label[test], scores.domain[test], scores.section[test])
    image = media.scatter(points, *kinds, f"{run.machine}/{run.system}")
    return {"results/projection": image, "results/points": media.table(columns, lines)}


def clips(
    run: RunFolder, scorer: str, scores: ScoreTable, rows: list[MetricRow], root: Path, megabytes: float
) -> dict[str, Any]:
    """The most telling clips with their sound and the training clip that is nearest to their most striking piece."""
    chosen = telling_clips(scores, rows, budget=megabytes * MEGABYTE, size=lambda clip: (root / clip).stat().st_size)
    nearest = nearest_clips(run.scores(scorer) / "pieces.npz")
    columns = ("kind", "section", "domain", "score", "share beyond it", "clip", "sound", "nearest training clip")
    lines = []
    for clip in chosen:
        row, path = clip.row, str(scores.clip[clip.row])
        told = (clip.kind, f"{scores.section[row]:02d}", scores.domain[row], scores.score[row], clip.share, path)
        lines.append((*told, media.audio(root / path), nearest[row]))
    return {"results/clips": media.table(columns, lines)}


def nearest_clips(path: Path) -> list[str]:
    """For each clip the training clip nearest to its piece with the highest score."""
    with np.load(path, allow_pickle=False) as pieces:
        score, clip, nearest, names = (pieces[name] for name in ("score", "clip", "nearest", "path"))
    order = np.lexsort((-score, clip))
    first = order[np.unique(clip[order], return_index=True)[1]]
    return [str(name) for name in names[nearest[first, 0]]]


def mirror_grid(name: str, logger: Mapping[str, Any]) -> None:
    """Makes the W&B run of a grid's table anew: single systems, ensembles and the report's rows."""
    folder = OUTPUTS / name / "results"
    with open(folder / "table2.csv", newline="", encoding="utf-8") as file:
        lines = [
            (system, "the report" if system in TABLE_2 else "ours", machine, float(auc), float(pauc))
            for system, machine, auc, pauc in list(csv.reader(file))[1:]
        ]
    official = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    figures = {f"official/{system}": score for system, score in official.items() if score is not None}
    with Mirror(grid_entry(name), logger, resume=False) as mirror:
        columns = ("system", "whose", "machine", "AUC", "pAUC")
        mirror.log({"results/table2": media.table(columns, lines), **figures})
        mirror.summarise(figures)
