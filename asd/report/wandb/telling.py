"""The test clips most worth listening to: misses and false alarms, within a budget of bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd.runs.scores import ScoreTable
from asd.scoring.metrics import MetricRow

MOST = 10  # misses, and false alarms, of a section and domain

Kind = Literal["miss", "false alarm"]


@dataclass(frozen=True)
class Telling:
    """A clip on the wrong side.

    Attributes:
        kind: An anomaly with a low score, or a normal clip with a high one.
        row: Of the table of scores.
        share: Of the clips of the other class, in its section and domain, those on the wrong side of it.
    """

    kind: Kind
    row: int
    share: float


def telling_clips(
    table: ScoreTable, rows: list[MetricRow], *, budget: float, size: Callable[[str], int]
) -> list[Telling]:
    """The worst of each section and domain, then the second worst of each, until the budget is used up.

    Args:
        table: The scores.
        rows: The sections and domains to look at.
        budget: Bytes that all clips together may take.
        size: Bytes that a clip takes.
    """
    ranked = [worst(table, row, kind) for row in rows for kind in ("miss", "false alarm")]
    chosen: list[Telling] = []
    for clip in (clip for rank in zip_longest(*ranked) for clip in rank if clip):
        budget -= size(str(table.clip[clip.row]))
        if budget < 0:
            break
        chosen.append(clip)
    return sorted(chosen, key=lambda clip: (int(table.section[clip.row]), clip.kind, -clip.share))


def worst(table: ScoreTable, where: MetricRow, kind: Kind) -> list[Telling]:
    """The clips of one section and domain that are on the wrong side, the farthest first."""
    here = (table.split == "test") & (table.section == where.section) & (table.domain == where.domain)
    anomalies, normals = (np.flatnonzero(here & (table.label == label)) for label in ("anomaly", "normal"))
    if kind == "miss":
        own, shares = anomalies, share_above(table.score[anomalies], table.score[normals])
    else:
        own, shares = normals, share_above(-table.score[normals], -table.score[anomalies])
    order = np.argsort(-shares, kind="stable")[:MOST]
    return [Telling(kind, int(own[at]), float(shares[at])) for at in order if shares[at] > 0]


def share_above(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each score the share of the others that are higher."""
    return 1 - np.searchsorted(np.sort(others), scores, side="right") / len(others)
