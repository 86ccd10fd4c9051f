"""What the workspaces of a grid and of a run show, as plain values: panels over keys of the table of keys."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "bars", "scatter", "parallel", "chart", "table", "image"]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        kind: How it shows them.
        title: What stands above it.
        keys: What it shows; the first is the x-axis of a scatter plot.
        axes: Keys of the configuration: what bars are grouped by, or the columns of a parallel plot.
    """

    kind: Kind
    title: str
    keys: tuple[str, ...]
    axes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """Panels under a headline."""

    title: str
    panels: tuple[Panel, ...]


AXES = ("machine", "backbone_name", "input_name", "phase_name", "seed")

LEARNING = Section(
    "Learning",
    (
        Panel("lines", "Loss", ("train/loss",)),
        Panel("lines", "Accuracy", ("train/accuracy",)),
        Panel("lines", "Learning rate", ("train/lr",)),
    ),
)
SPEED = Section(
    "Speed",
    (
        Panel("lines", "Pieces per second", ("speed/pieces_per_second",)),
        Panel("lines", "Seconds per epoch", ("speed/seconds_per_epoch",)),
    ),
)

GRID = (
    Section(
        "Results",
        (
            Panel("table", "All systems beside the report", ("results/table2",)),
            Panel("bars", "AUC by machine", ("score/auc",), ("machine",)),
            Panel("bars", "pAUC by machine", ("score/pauc",), ("machine",)),
            Panel("bars", "AUC by backbone", ("score/auc",), ("backbone_name",)),
            Panel("bars", "AUC by input", ("score/auc",), ("input_name",)),
            Panel("bars", "AUC by phase", ("score/auc",), ("phase_name",)),
            Panel("scatter", "AUC and pAUC", ("score/auc", "score/pauc")),
            Panel("parallel", "From machine to AUC", ("score/auc",), AXES),
        ),
    ),
    LEARNING,
    SPEED,
)

RUN = (
    Section(
        "Results",
        (
            Panel("table", "Sections and domains", ("results/sections",)),
            Panel("chart", "ROC", ("results/roc",)),
            Panel("chart", "Scores of the test clips", ("results/histogram",)),
            Panel("image", "Embeddings", ("results/projection",)),
            Panel("table", "Points of the projection", ("results/points",)),
            Panel("table", "Telling clips", ("results/clips",)),
        ),
    ),
    LEARNING,
    SPEED,
)


def shown_keys() -> set[str]:
    """Every key that a panel shows."""
    return {key for section in (*GRID, *RUN) for panel in section.panels for key in panel.keys}
