"""Tables, charts, images and sound as W&B wants them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd.report.wandb.figures import Line

COLOURS = {"normal": "#0072b2", "anomaly": "#d55e00", "unknown": "#767676"}
MARKERS = {"source": "o", "target": "^"}  # colour is not the only sign


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """A table of plain values and media."""
    import wandb

    return wandb.Table(columns=list(columns), data=[[plain(value) for value in row] for row in rows])


def plain(value: Any) -> Any:
    """A number or text of numpy's as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def chart(lines: Sequence[Line], title: str, x: str) -> Any:
    """Several lines, each with its own x."""
    import wandb

    return wandb.plot.line_series(
        [line.x.tolist() for line in lines],
        [line.y.tolist() for line in lines],
        keys=[line.name for line in lines],
        title=title,
        xname=x,
    )


def audio(path: Path) -> Any:
    """A recording to listen to."""
    import wandb

    return wandb.Audio(str(path))


def scatter(
    points: NDArray[np.float64],
    label: NDArray[np.str_],
    domain: NDArray[np.str_],
    section: NDArray[np.int64],
    title: str,
) -> Any:
    """An image of points (clips, 2): label by colour, domain by shape, the sections' numbers at their middles."""
    import wandb
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(7, 5.5), dpi=100, layout="constrained")
    axes = figure.subplots()
    for which, colour in COLOURS.items():
        for where, marker in MARKERS.items():
            rows = (label == which) & (domain == where)
            if rows.any():
                x, y = points[rows].T
                axes.scatter(x, y, s=14, c=colour, marker=marker, alpha=0.6, linewidths=0, label=f"{which}, {where}")
    for number in np.unique(section):
        x, y = points[section == number].mean(axis=0)
        axes.text(x, y, f"{number:02d}", ha="center", va="center", weight="bold", alpha=0.6)
    axes.set(title=title, xlabel="first axis", ylabel="second axis")
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return wandb.Image(Image.open(buffer), caption=title)
