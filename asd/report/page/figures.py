"""The plots of one run: ROC curves, histograms of scores, training curves."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from asd.report.page.gather import Figure as Row
from asd.report.page.svg import (
    ANOMALY,
    BAND,
    INK,
    NORMAL,
    SOFT,
    SOURCE,
    TARGET,
    THRESHOLD,
    canvas,
    inline,
)
from asd.report.page.threshold import Threshold
from asd.runs.scores import ScoreTable
from asd.scoring.metrics import OFFICIAL_MAX_FPR

N_BINS = 24
MAX_POINTS = 200  # of one curve
WIDTH = 3.1  # of one panel, in inches
LINES = {"source": (SOURCE, "-"), "target": (TARGET, "--")}  # colour and stroke both tell the domain

Rows = dict[tuple[int, str], Row]


BARS: dict[str, Any] = {  # filling and stroke tell the label, not the colour alone
    "normal": {"color": NORMAL, "histtype": "stepfilled", "alpha": 0.55},
    "anomaly": {"color": ANOMALY, "histtype": "step", "linewidth": 1.6, "hatch": "////"},
    "unknown": {"color": INK, "histtype": "step", "linewidth": 1.2},
}


def roc(scores: ScoreTable, rows: Rows) -> str:
    """A panel per section: the ROC curve of each domain; the band is what pAUC looks at."""
    sections = sorted({section for section, _ in rows})
    n_columns = min(3, len(sections))
    n_rows = -(-len(sections) // n_columns)
    with canvas(WIDTH * n_columns, 2.9 * n_rows) as figure:
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
        for panel, section in zip(panels.flat, sections, strict=False):
            roc_panel(panel, scores, rows, section)
        for panel in panels.flat[len(sections) :]:
            panel.set_visible(False)
        figure.supxlabel("false alarms, share of normal clips", fontsize=10)
        figure.supylabel("anomalies caught, share", fontsize=10)
        told = "; ".join(f"section {s:02d} {d}: AUC {100 * (row.auc or 0):.1f} %" for (s, d), row in rows.items())
        return inline(figure, "roc", f"ROC curves. {told}")


def roc_panel(panel: Axes, scores: ScoreTable, rows: Rows, section: int) -> None:
    """The curves of one section."""
    panel.axvspan(0, OFFICIAL_MAX_FPR, color=BAND, linewidth=0)
    panel.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
    for domain, (colour, stroke) in LINES.items():
        row = rows.get((section, domain))
        if row is None or row.auc is None:
            continue
        here = (scores.split == "test") & (scores.section == section) & (scores.domain == domain)
        here &= scores.label != "unknown"
        x, y, _ = roc_curve(scores.label[here] == "anomaly", scores.score[here])
        few = np.unique(np.linspace(0, len(x) - 1, MAX_POINTS).astype(int))
        label = f"{domain} {100 * row.auc:.1f}" + ("" if row.pauc is None else f" / {100 * row.pauc:.1f}")
        panel.plot(x[few], y[few], color=colour, linestyle=stroke, linewidth=1.8, label=label)
    panel.set(title=f"section {section:02d}", xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.1, 0.5, 1])
    panel.set_xticklabels(["0", "0.1", "0.5", "1"])
    panel.legend(loc="lower right", title="AUC / pAUC", fontsize=8.5, title_fontsize=8.5, alignment="left")


def histograms(scores: ScoreTable, threshold: Threshold) -> str:
    """A panel per section and domain: how many normal and anomalous clips have which score."""
    is_test = scores.split == "test"
    sections = np.unique(scores.section[is_test])
    domains = [domain for domain in LINES if (is_test & (scores.domain == domain)).any()]
    edges = bin_edges(scores.score[is_test], threshold.value)
    with canvas(max(WIDTH * 0.9 * len(sections), 4.2), 1.9 * len(domains) + 0.7) as figure:
        panels = figure.subplots(len(domains), len(sections), squeeze=False, sharex=True, sharey=True)
        for i, domain in enumerate(domains):
            for j, section in enumerate(sections):
                here = is_test & (scores.section == section) & (scores.domain == domain)
                histogram_panel(panels[i, j], scores, here, edges)
                mark_threshold(panels[i, j], threshold.value, edges)
                panels[i, j].set_title(f"section {section:02d}, {domain}")
        add_legend(figure, panels)
        beyond = f" (the last bar holds all above {edges[-2]:.2g})" if scores.score[is_test].max() > edges[-1] else ""
        figure.supxlabel(f"score of the clip{beyond}", fontsize=10)
        figure.supylabel("clips", fontsize=10)
        return inline(figure, "histogram", describe_histograms(scores, threshold))


def bin_edges(shown: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Bins up to where few scores lie, with the threshold among them if it is not far away."""
    high = float(np.quantile(shown, 0.97))
    high = max(high, 1.3 * threshold) if threshold < 3 * high else high
    return np.linspace(float(shown.min()), min(high, float(shown.max())) + 1e-12, N_BINS + 1)


def histogram_panel(panel: Axes, scores: ScoreTable, here: NDArray[np.bool_], edges: NDArray[np.float64]) -> None:
    """Normal clips filled, anomalous ones hatched, unlabelled ones as an outline."""
    for label, style in BARS.items():
        values = scores.score[here & (scores.label == label)]
        if len(values):
            panel.hist(values.clip(max=edges[-1]), bins=edges.tolist(), label=label, **style)
    panel.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))


def mark_threshold(panel: Axes, value: float, edges: NDArray[np.float64]) -> None:
    """A line at the threshold; where it lies beyond the scores, a line at that edge that says so."""
    inside = edges[0] <= value <= edges[-1]
    label = (
        "threshold" if inside else f"threshold {value:.3g}, beyond the {'right' if value > edges[-1] else 'left'} edge"
    )
    x = float(np.clip(value, edges[0], edges[-1]))
    panel.axvline(x, color=THRESHOLD, linewidth=1.4, linestyle=(0, (5, 2)), label=label)


def add_legend(figure: Any, panels: Any) -> None:
    """One legend for all panels, on top."""
    found: dict[str, Any] = {}
    for panel in panels.flat:
        found |= {label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside upper left", ncols=4, fontsize=9)


def describe_histograms(scores: ScoreTable, threshold: Threshold) -> str:
    """Medians and the threshold, in words."""
    is_test = scores.split == "test"
    told = []
    for label in ("normal", "anomaly"):
        values = scores.score[is_test & (scores.label == label)]
        if len(values):
            told.append(f"{label}: {len(values)} clips, median {np.median(values):.4g}")
    return f"Histograms of scores. {'; '.join(told)}; threshold {threshold.value:.4g}"


def training_curves(phases: list[tuple[str, list[dict[str, Any]]]]) -> str:
    """Loss, accuracy and learning rate over the steps of both phases, one behind the other.

    Args:
        phases: Name of each phase and the lines of its metrics.jsonl, at least one line in all.
    """
    names = [n for n in ("loss", "accuracy", "lr") if any(n in line for _, lines in phases for line in lines)]
    with canvas(WIDTH * 3, 2.5) as figure:
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for panel, name in zip(panels, names, strict=True):
            curve_panel(panel, phases, name)
        last = [
            f"{name} {lines[-1][name]:.4g}" for _, lines in phases[-1:] if lines for name in names if name in lines[-1]
        ]
        return inline(figure, "curves", f"Training curves over steps. At the end: {', '.join(last)}")


def curve_panel(panel: Axes, phases: list[tuple[str, list[dict[str, Any]]]], name: str) -> None:
    """One quantity; the second phase starts where the first ended, in another colour and with another mark."""
    offset = 0
    for (phase, lines), (colour, _), marker in zip(phases, LINES.values(), ("o", "s"), strict=False):
        points = [(offset + line["step"], line[name]) for line in lines if name in line]
        if not points:
            continue
        steps, values = zip(*points, strict=True)
        every = max(1, len(points) // 12)
        panel.plot(
            steps, values, color=colour, linewidth=1.6, marker=marker, markersize=3.5, markevery=every, label=phase
        )
        offset = steps[-1]
    panel.set(title={"lr": "learning rate", "accuracy": "accuracy (share of pieces)"}.get(name, name), xlabel="step")
    panel.set_ylim(0, 1.02 if name == "accuracy" else None)
    if name == "loss":
        panel.legend(fontsize=8.5)
