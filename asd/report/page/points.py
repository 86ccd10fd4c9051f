"""The points of the interactive map: where each clip lies, and the classes that the page colours and filters by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd.report.projection import Projection
from asd.runs.scores import ScoreTable

N_LEVELS = 5  # of the score, fifths of the test clips
WIDTH, HEIGHT = 480, 400  # of the drawing, in its own units
MARGIN = 10


@dataclass(frozen=True)
class Point:
    """One clip.

    Attributes:
        x: From the left edge.
        y: From the upper edge.
        kind: training, or the label of a test clip.
        classes: Of the style sheet: k-<kind>, s-<section>, d-<domain>, q-<fifth of the score>.
    """

    x: float
    y: float
    kind: str
    classes: str


def map_points(projection: Projection, scores: ScoreTable) -> dict[str, list[Point]]:
    """The points of both projections."""
    rows = projection.rows
    kind = np.where(scores.is_train, "training", scores.label)[rows]
    colours, level = section_classes(scores), score_levels(scores)[rows]
    classes = [
        f"k-{k} s-{colours[int(s)]} d-{d} q-{q}"
        for k, s, d, q in zip(kind, scores.section[rows], scores.domain[rows], level, strict=True)
    ]
    return {
        name: [Point(float(x), float(y), str(k), c) for (x, y), k, c in zip(scaled(xy), kind, classes, strict=True)]
        for name, xy in (("pca", projection.pca), ("tsne", projection.tsne))
    }


def scaled(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(points, 2) in units of the drawing, y downwards."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    share = (points - low) / np.where(span == 0, 1, span)
    share[:, 1] = 1 - share[:, 1]
    return np.round(MARGIN + share * (np.array([WIDTH, HEIGHT]) - 2 * MARGIN), 1)


def score_levels(scores: ScoreTable) -> NDArray[np.int64]:
    """(clips,) 0 … N_LEVELS - 1: the fifth of the test clips' scores that a clip's score falls into."""
    test = scores.score[scores.split == "test"]
    edges = np.quantile(test, np.linspace(0, 1, N_LEVELS + 1)[1:-1]) if len(test) else []
    return np.searchsorted(edges, scores.score, side="right")


def section_classes(scores: ScoreTable) -> dict[int, int]:
    """Number of the colour of each section."""
    return {int(section): index for index, section in enumerate(np.unique(scores.section))}
