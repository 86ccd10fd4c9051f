"""What is told of each test clip: its verdict, its place among the training clips, the most telling ones."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from asd.report.page.gather import Pieces
from asd.report.page.threshold import Threshold
from asd.runs.scores import ScoreTable

N_TELLING = 3  # misses, and false alarms, of a section
N_NEAREST = 2  # training clips to listen to beside one

VERDICTS = {
    ("anomaly", True): "caught",
    ("anomaly", False): "missed",
    ("normal", True): "false alarm",
    ("normal", False): "passed",
    ("unknown", True): "flagged",
    ("unknown", False): "not flagged",
}


@dataclass(frozen=True)
class ClipRow:
    """One test clip.

    Attributes:
        row: In scores.csv.
        path: Relative to the data's root.
        section: Its number.
        domain: source or target.
        label: normal, anomaly or unknown.
        score: Higher = more anomalous.
        stranger: Share of the training clips of its section with a lower score.
        verdict: What the threshold makes of it.
        pieces: Score of each piece in the order of time.
        nearest: Training clips nearest to it, as rows of scores.csv.
    """

    row: int
    path: str
    section: int
    domain: str
    label: str
    score: float
    stranger: float
    verdict: str
    pieces: list[float]
    nearest: list[int]

    @property
    def name(self) -> str:
        """The file's name without folders and ending."""
        return PurePosixPath(self.path).stem


@dataclass(frozen=True)
class Telling:
    """The clips of a section that tell most: anomalies with the lowest scores, normal clips with the highest."""

    section: int
    misses: list[ClipRow]
    false_alarms: list[ClipRow]
    n_anomalies: int
    n_missed: int
    n_normals: int
    n_false_alarms: int


def clip_rows(scores: ScoreTable, pieces: Pieces | None, threshold: Threshold) -> list[ClipRow]:
    """Every test clip, the highest score first."""
    rows = np.flatnonzero(scores.split == "test")
    starts = None if pieces is None else np.searchsorted(pieces.clip, np.arange(len(scores.clip) + 1))
    stranger = strangeness(scores)
    found = []
    for row in rows[np.argsort(-scores.score[rows], kind="stable")]:
        label, score = str(scores.label[row]), float(scores.score[row])
        of_clip = slice(0, 0) if starts is None else slice(int(starts[row]), int(starts[row + 1]))
        found.append(
            ClipRow(
                row=int(row),
                path=str(scores.clip[row]),
                section=int(scores.section[row]),
                domain=str(scores.domain[row]),
                label=label,
                score=score,
                stranger=float(stranger[row]),
                verdict=VERDICTS[label, score > threshold.value],
                pieces=[] if pieces is None else pieces.score[of_clip].tolist(),
                nearest=[] if pieces is None else frequent(pieces.nearest[of_clip]),
            )
        )
    return found


def frequent(nearest: NDArray[np.int64]) -> list[int]:
    """The training clips that the pieces of a clip name most often, the most frequent first."""
    clips, counts = np.unique(nearest[nearest >= 0], return_counts=True)
    return [int(clip) for clip in clips[np.argsort(-counts, kind="stable")][:N_NEAREST]]


def strangeness(scores: ScoreTable) -> NDArray[np.float64]:
    """(clips,) share of the training clips of the same section with a lower score; NaN where there is none."""
    share = np.full(len(scores.score), np.nan)
    for section in np.unique(scores.section):
        here = scores.section == section
        training = np.sort(scores.score[here & scores.is_train])
        if len(training):
            share[here] = np.searchsorted(training, scores.score[here]) / len(training)
    return share


def telling(rows: list[ClipRow]) -> list[Telling]:
    """The most telling clips of each section; `rows` have the highest score first."""
    found = []
    for section in sorted({row.section for row in rows}):
        anomalies = [row for row in rows if row.section == section and row.label == "anomaly"]
        normals = [row for row in rows if row.section == section and row.label == "normal"]
        if anomalies or normals:
            found.append(
                Telling(
                    section=section,
                    misses=anomalies[::-1][:N_TELLING],
                    false_alarms=normals[:N_TELLING],
                    n_anomalies=len(anomalies),
                    n_missed=sum(row.verdict == "missed" for row in anomalies),
                    n_normals=len(normals),
                    n_false_alarms=sum(row.verdict == "false alarm" for row in normals),
                )
            )
    return found


def listening_order(rows: list[ClipRow]) -> list[int]:
    """Rows of scores.csv to listen to first: the most telling clip of each section with its nearest, then the next."""
    sections = telling(rows)
    ranked = [clips for section in sections for clips in (section.misses, section.false_alarms)]
    first = [clip for rank in zip_longest(*ranked) for clip in rank if clip is not None]
    return list(dict.fromkeys(row for clip in first for row in (clip.row, *clip.nearest)))
