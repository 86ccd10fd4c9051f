"""What the scores of one run show: figures, ROC curves, histograms, a projection. Plain arrays, no W&B."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from asd.runs.scores import ScoreTable
from asd.scoring.metrics import MetricRow, machine_row, official_score, scorable, section_rows

N_BINS = 40
MAX_POINTS = 200  # of one ROC curve


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a chart: (points,) each."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def labelled_rows(table: ScoreTable) -> list[MetricRow]:
    """The metrics of the sections and domains that have both classes; none where no label is known."""
    clips = table.test_clips()
    complete, _ = scorable(clips, "2021")
    return section_rows(str(table.machine[0]), clips, rule="2021", only=complete) if complete else []


def headline(rows: list[MetricRow]) -> dict[str, float]:
    """The figures of a run, in percent."""
    if not rows:
        return {}
    auc, pauc = machine_row(rows)
    figures = {"score/auc": auc, "score/pauc": pauc, "score/official": official_score(rows)}
    for row in rows:
        figures |= {f"auc/{place(row)}": row.auc or 0.0, f"pauc/{place(row)}": row.pauc or 0.0}
    return {key: 100 * value for key, value in figures.items()}


def place(row: MetricRow) -> str:
    """Section and domain of a row, such as 00_source."""
    return f"{row.section:02d}_{row.domain}"


def roc_lines(table: ScoreTable, rows: list[MetricRow]) -> list[Line]:
    """The ROC curve of each row: false positive rate to true positive rate."""
    clips = table.test_clips()
    lines = []
    for row in rows:
        here = (clips.section == row.section) & (clips.domain == row.domain)
        false_positive, true_positive, _ = roc_curve(clips.label[here] == "anomaly", clips.score[here])
        few = np.unique(np.linspace(0, len(false_positive) - 1, MAX_POINTS).astype(int))
        lines.append(Line(place(row).replace("_", " "), false_positive[few], true_positive[few]))
    return lines


def histogram_lines(table: ScoreTable) -> list[Line]:
    """How many test clips have which score, by domain and label: the middle of each bin to a count."""
    is_test = table.split == "test"
    if not is_test.any():
        return []
    edges = np.histogram_bin_edges(table.score[is_test], N_BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    return [
        Line(name, middle, np.histogram(table.score[rows], edges)[0].astype(np.float64)) for name, rows in groups(table)
    ]


def groups(table: ScoreTable) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The test clips of each label and domain that are there."""
    for label in ("normal", "anomaly", "unknown"):
        for domain in ("source", "target"):
            rows = (table.split == "test") & (table.label == label) & (table.domain == domain)
            if rows.any():
                yield f"{label} {domain}", rows


def two_axes(embedding: NDArray[np.floating]) -> NDArray[np.float64]:
    """The projection of vectors on their two main axes (PCA), with signs that do not depend on the machine.

    Args:
        embedding: (clips, dim).

    Returns:
        (clips, 2)
    """
    centred = np.asarray(embedding, np.float64) - embedding.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    main = np.zeros((2, centred.shape[1]))
    main[: len(axes)] = axes[:2]
    signs = np.sign(main[np.arange(2), np.abs(main).argmax(axis=1)])
    return centred @ (main.T * np.where(signs == 0, 1, signs))
