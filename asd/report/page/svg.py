"""Figures of matplotlib as SVG inside a page: the theme's colours, ids of their own, a name for screen readers."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Matplotlib wants colours, the page wants variables of its style sheet: each of these stands for one.
INK, FAINT, SOFT = "#010101", "#020202", "#030303"
NORMAL, ANOMALY, SOURCE, TARGET = "#040404", "#050505", "#060606", "#070707"
THRESHOLD, BAND = "#080808", "#090909"
THEME = {
    INK: "var(--ink)",
    FAINT: "var(--line)",
    SOFT: "var(--soft)",
    NORMAL: "var(--normal)",
    ANOMALY: "var(--anomaly)",
    SOURCE: "var(--source)",
    TARGET: "var(--target)",
    THRESHOLD: "var(--threshold)",
    BAND: "var(--band)",
}

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and takes the page's font
    "svg.hashsalt": "asd",  # the same figure gives the same bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "hatch.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """An empty figure in the page's style; sizes in inches."""
    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def inline(figure: Figure, name: str, description: str) -> str:
    """The figure as an element of a page.

    Args:
        figure: As `canvas` gave it, still within its context.
        name: Of letters, digits and dashes; no other figure of the page may have it.
        description: What a person who cannot see it should know.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r' id="(?:figure|axes|patch|line2d|text|matplotlib|xtick|ytick|legend)[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    svg = re.sub(r"#0[1-9]0[1-9]0[1-9]", lambda match: THEME.get(match[0], match[0]), svg)
    label = f'<svg role="img" aria-label="{escape(description, quote=True)}"'
    return svg.replace("<svg", label, 1)
