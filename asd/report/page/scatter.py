"""The embedding projection as one SVG whose points carry their section, domain, label and score as classes.

The page colours and filters by them without drawing anything twice. The label is also told by the shape.
"""

import re
from itertools import product

import numpy as np
from numpy.typing import NDArray

from asd.report.page.svg import INK, canvas, inline
from asd.runs.scores import ScoreTable

N_LEVELS = 5  # of the score, fifths of the test clips
SHAPES = {"training": ".", "normal": "o", "anomaly": "^", "unknown": "s"}
SIZES = {"training": 14, "normal": 26, "anomaly": 30, "unknown": 22}


def kinds(scores: ScoreTable) -> NDArray[np.str_]:
    """(clips,) training, or the label of a test clip."""
    return np.where(scores.is_train, "training", scores.label)


def score_levels(scores: ScoreTable) -> NDArray[np.int64]:
    """(clips,) 0 … N_LEVELS - 1: the fifth of the test clips' scores that a clip's score falls into."""
    test = scores.score[scores.split == "test"]
    edges = np.quantile(test, np.linspace(0, 1, N_LEVELS + 1)[1:-1]) if len(test) else []
    return np.searchsorted(edges, scores.score, side="right")


def section_classes(scores: ScoreTable) -> dict[int, int]:
    """Number of the colour of each section."""
    return {int(section): index for index, section in enumerate(np.unique(scores.section))}


def scatter(name: str, points: NDArray[np.float64], rows: NDArray[np.int64], scores: ScoreTable, axes: str) -> str:
    """One projection.

    Args:
        name: Of the figure.
        points: (points, 2)
        rows: (points,) rows of `scores`.
        scores: The clips.
        axes: What the axes are called: `axes 1`, `axes 2`.
    """
    kind, level, colour = kinds(scores)[rows], score_levels(scores)[rows], section_classes(scores)
    section = np.array([colour[int(s)] for s in scores.section[rows]])
    domain = scores.domain[rows]
    with canvas(4.6, 3.9) as figure:
        panel = figure.subplots()
        panel.grid(visible=False)
        for group in product(SHAPES, colour.values(), ("source", "target"), range(N_LEVELS)):
            k, s, d, q = group
            here = (kind == k) & (section == s) & (domain == d) & (level == q)
            if here.any():
                gid = f"POINTS k-{k} s-{s} d-{d} q-{q}"
                x, y = points[here].T
                panel.scatter(x, y, s=SIZES[k], marker=SHAPES[k], color=INK, linewidths=0, gid=gid)
        panel.set(xlabel=f"{axes} 1", ylabel=f"{axes} 2", xticks=[], yticks=[])
        svg = inline(figure, name, f"{len(rows)} clips in two dimensions; nearby points sound alike to the network")
    return slim(svg, name)


def slim(svg: str, name: str) -> str:
    """Groups of points with classes; the points without styles of their own."""
    svg = re.sub(rf'<g id="{name}-POINTS ([^"]*)">', r'<g class="points \1">', svg)
    svg = re.sub(r'(<use [^>]*?) style="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<path id="[^"]*" d="[^"]*") style="[^"]*"', r"\1", svg)
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", svg)
