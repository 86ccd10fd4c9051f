"""Every plot of scores, each drawn once with matplotlib: the page shows it as SVG, W&B as an image."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_curve

from asd.data.clips import NO_DOMAIN
from asd.runs.scores import ScoreTable
from asd.scoring.metrics import BOTH, OFFICIAL_MAX_FPR, UNKNOWN, MetricRow, Rule, members

N_BINS = 24
MAX_POINTS = 200  # of one curve
OTHERS = "other systems"
N_NAMED = 8  # systems with a colour of their own; the others are grey
STROKES = {"source": "-", "target": "--", BOTH: "-", UNKNOWN: "-."}
MARKERS = {"training": ".", "normal": "o", "anomaly": "^", "unknown": "s"}


# The colours of the page's style sheet in its light theme; the dark one inverts the lightness of a plot.
INK, SOFT, LINE, BAND = "#1b1f24", "#5b636d", "#e2e4e6", "#f3ecd2"
LABELS = {"normal": "#2b78b8", "anomaly": "#c2410c", "training": SOFT, "unknown": SOFT}
DOMAINS = {"source": "#00695c", "target": "#8e2a8b", BOTH: INK, UNKNOWN: INK}

STYLE: Any = {
    "font.size": 11,
    "hatch.linewidth": 0.8,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "asd",  # the same figure gives the same bytes
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}
BARS: dict[str, dict[str, Any]] = {  # filling and stroke tell the label, not the colour alone
    "normal": {"color": LABELS["normal"], "histtype": "stepfilled", "alpha": 0.55},
    "anomaly": {"color": LABELS["anomaly"], "histtype": "step", "linewidth": 1.6, "hatch": "////"},
    "unknown": {"color": INK, "histtype": "step", "linewidth": 1.2},
}
styled = matplotlib.rc_context(STYLE)


@dataclass(frozen=True)
class Plot:
    """A drawn figure and what it shows, in words for those who cannot see it."""

    figure: Figure
    description: str

    @styled
    def write_svg(self, path: Path) -> None:
        """Writes it as SVG."""
        self.figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})

    def image(self) -> Image.Image:
        """Its pixels on white."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=120, facecolor="white")
        return Image.open(buffer)


def grid_of(
    n_rows: int, n_columns: int, size: tuple[float, float], *, top: float = 0.4, share: bool = True
) -> tuple[Figure, NDArray[Any]]:
    """A figure with a grid of panels.

    Args:
        n_rows: Of the grid.
        n_columns: Of the grid.
        size: Width and height of a panel with its margins, in inches.
        top: Room above the panels, for a legend, in inches.
        share: Whether all panels have the same axes.
    """
    width, height = size[0] * n_columns + 0.6, size[1] * n_rows + 0.4 + top
    figure = Figure(figsize=(width, height))
    gaps = {"wspace": 0.2 if share else 0.3, "hspace": 0.32}
    edges = {"left": 0.75 / width, "right": 1 - 0.15 / width, "bottom": 0.65 / height, "top": 1 - (top + 0.1) / height}
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=share, sharey=share, gridspec_kw=gaps | edges)
    return figure, panels


def add_legend(figure: Figure, panels: Sequence[Axes], order: Sequence[str] = (), n_columns: int = 1) -> None:
    """One legend for all panels, above them.

    Args:
        figure: Of the panels.
        panels: That have labelled curves or bars.
        order: Labels in the order wanted; as they come if not given.
        n_columns: Of the legend.
    """
    handles = {label: h for p in panels for h, label in zip(*p.get_legend_handles_labels(), strict=True)}
    names = [name for name in order if name in handles] or list(handles)
    figure.legend([handles[name] for name in names], names, loc="upper left", ncols=n_columns, fontsize=9)


@styled
def roc_of_run(table: ScoreTable, rows: Sequence[MetricRow], rule: Rule) -> Plot:
    """ROC curves of one run: a panel per section, a curve per domain."""
    sections = sorted({row.section for row in rows})
    figure, panels = roc_panels(len(sections))
    for panel, section in zip(panels, sections, strict=True):
        for row in (row for row in rows if row.section == section and row.auc is not None):
            name = "" if row.domain == BOTH else f"{row.domain} "
            style: dict[str, Any] = {"color": DOMAINS[row.domain], "linestyle": STROKES[row.domain]}
            panel.plot(*roc(table, row, rule), label=f"{name}{percent(row)}", **style)
        panel.set_title(f"section {section:02d}")
        panel.legend(loc="lower right", title="AUC / pAUC")
    told = [f"section {row.section:02d} {row.domain}: AUC / pAUC {percent(row)} %" for row in rows]
    return Plot(figure, f"ROC curves. {'; '.join(told)}")


@styled
def roc_of_machine(systems: Mapping[str, tuple[ScoreTable, Sequence[MetricRow]]], rule: Rule) -> Plot:
    """ROC curves of all systems of a machine: a panel per section and domain; the best systems are named.

    Args:
        systems: Scores and metrics of each system, best first.
        rule: Of the machine.
    """
    places = sorted({(row.section, row.domain) for _, rows in systems.values() for row in rows if row.auc is not None})
    figure, panels = roc_panels(len(places), legend=min(len(systems), N_NAMED + 1))
    for panel, (section, domain) in zip(panels, places, strict=True):
        panel.set_title(f"section {section:02d}" + ("" if domain == BOTH else f", {domain}"))
        for index, (name, (table, rows)) in reversed(list(enumerate(systems.items()))):
            style: dict[str, Any] = {"color": SOFT, "linewidth": 0.8, "alpha": 0.5, "label": OTHERS}
            if index < N_NAMED:
                style = {"color": f"C{index}", "label": name, "zorder": 3}
            for row in (row for row in rows if (row.section, row.domain) == (section, domain)):
                panel.plot(*roc(table, row, rule), **style)
    add_legend(figure, panels, order=[*systems, OTHERS])
    return Plot(figure, f"ROC curves of {len(systems)} systems by section and domain; the table has their AUCs")


def roc_panels(n_panels: int, legend: int = 0) -> tuple[Figure, list[Axes]]:
    """Empty panels with chance as a diagonal and the band that pAUC looks at, below the lines of a legend."""
    n_columns = 2 if n_panels in (2, 4) else min(3, n_panels)
    figure, grid = grid_of(-(-n_panels // n_columns), n_columns, (3.4, 3.3), top=0.3 + 0.2 * legend)
    for panel in grid.flat[n_panels:]:
        panel.set_visible(False)
    for panel in grid.flat[:n_panels]:
        panel.axvspan(0, OFFICIAL_MAX_FPR, color=BAND, linewidth=0)
        panel.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
        panel.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.1, 0.5, 1], xticklabels=["0", "0.1", "0.5", "1"])
    figure.supxlabel("false alarms, share of normal clips", fontsize=11)
    figure.supylabel("anomalies caught, share", fontsize=11)
    return figure, list(grid.flat[:n_panels])


def roc(table: ScoreTable, row: MetricRow, rule: Rule) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates of the clips that a figure was computed from, thinned to MAX_POINTS each."""
    clips = table.test_clips()
    here = members(clips, row.section, row.domain, rule)
    false_positives, true_positives, _ = roc_curve(clips.label[here] == "anomaly", clips.score[here])
    few = np.unique(np.linspace(0, len(false_positives) - 1, MAX_POINTS).astype(int))
    return false_positives[few], true_positives[few]


def percent(row: MetricRow) -> str:
    """AUC and pAUC of a row, as far as its rule has them."""
    return " / ".join(f"{100 * value:.1f}" for value in (row.auc, row.pauc) if value is not None)


@styled
def histograms(table: ScoreTable, threshold: float) -> Plot:
    """How many test clips have which score: a panel per section and domain, a histogram per label."""
    test = table.select(table.split == "test")
    sections, domains = np.unique(test.section), np.unique(test.domain)
    edges = bin_edges(test.score, threshold)
    figure, grid = grid_of(len(domains), len(sections), (3.2, 2.3), top=0.6)
    for (i, domain), (j, section) in product(enumerate(domains), enumerate(sections)):
        for label, style in BARS.items():
            scores = test.score[(test.section == section) & (test.domain == domain) & (test.label == label)]
            if len(scores):
                grid[i, j].hist(scores.clip(max=edges[-1]), bins=edges.tolist(), label=label, **style)
        mark = float(np.clip(threshold, edges[0], edges[-1]))
        beyond = "" if mark == threshold else f" {threshold:.3g}, beyond the edge"
        grid[i, j].axvline(mark, color=INK, linestyle=(0, (5, 2)), label=f"threshold{beyond}")
        grid[i, j].set_title(f"section {section:02d}" + ("" if domain in (UNKNOWN, NO_DOMAIN) else f", {domain}"))
        grid[i, j].yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    add_legend(figure, list(grid.flat), n_columns=4)
    last = f" (the last bar holds all above {edges[-2]:.2g})" if test.score.max() > edges[-1] else ""
    figure.supxlabel(f"score of the clip{last}", fontsize=11)
    figure.supylabel("clips", fontsize=11)
    groups = {label: test.score[test.label == label] for label in BARS if (test.label == label).any()}
    told = [f"{label}: {len(scores)} clips, median {np.median(scores):.4g}" for label, scores in groups.items()]
    return Plot(figure, f"Histograms of scores. {'; '.join(told)}; threshold {threshold:.4g}")


def bin_edges(scores: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Bins up to where few scores lie, with the threshold among them if it is not far away."""
    high = float(np.quantile(scores, 0.97))
    high = max(high, 1.3 * threshold) if threshold < 3 * high else high
    return np.linspace(float(scores.min()), min(high, float(scores.max())) + 1e-12, N_BINS + 1)


@styled
def training_curves(phases: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> Plot:
    """Loss, accuracy and learning rate over the steps of the phases, one behind the other.

    Args:
        phases: Name of each phase and the lines of its metrics.jsonl, at least one line in all.
    """
    titles = {"loss": "loss", "accuracy": "accuracy (share of pieces)", "lr": "learning rate"}
    names = [name for name in titles if any(name in line for _, lines in phases for line in lines)]
    figure, grid = grid_of(1, len(names), (3.4, 2.6), share=False)
    for panel, name in zip(grid.flat, names, strict=True):
        offset = 0
        for (phase, lines), colour, marker in zip(phases, DOMAINS.values(), "os", strict=False):
            points = [(offset + line["step"], line[name]) for line in lines if name in line]
            if points:
                every = max(1, len(points) // 12)
                steps, values = zip(*points, strict=True)
                panel.plot(steps, values, color=colour, marker=marker, markevery=every, markersize=3.5, label=phase)
                offset = steps[-1]
        panel.set(title=titles[name], xlabel="step")
        panel.set_ylim(0, 1.02 if name == "accuracy" else None)
        panel.legend(fontsize=9)
    last: Mapping[str, Any] = next((lines[-1] for _, lines in reversed(phases) if lines), {})
    told = ", ".join(f"{name} {last[name]:.4g}" for name in names if name in last)
    return Plot(figure, f"Training curves over steps. At the end: {told}")


@styled
def embedding_map(points: NDArray[np.floating], rows: NDArray[np.int64], table: ScoreTable, title: str) -> Plot:
    """Clips in two dimensions: colour and shape tell training, normal and anomalous, numbers the sections.

    Args:
        points: (points, 2)
        rows: (points,) rows of `table`.
        table: The clips.
        title: What the two dimensions are.
    """
    kind, section = np.where(table.is_train, "training", table.label)[rows], table.section[rows]
    figure, ((panel,),) = grid_of(1, 1, (6.4, 5.0))
    panel.grid(visible=False)
    for label, marker in MARKERS.items():
        if (kind == label).any():
            x, y = points[kind == label].T
            size = 14 if label == "training" else 26
            panel.scatter(x, y, s=size, c=LABELS[label], marker=marker, alpha=0.6, linewidths=0, label=label)
    for number in np.unique(section):
        x, y = points[section == number].mean(axis=0)
        panel.text(x, y, f"{number:02d}", ha="center", va="center", weight="bold")
    panel.set(xlabel=title, xticks=[], yticks=[])
    add_legend(figure, [panel], n_columns=4)
    return Plot(figure, f"{len(rows)} clips in two dimensions ({title}); nearby points sound alike to the network")
