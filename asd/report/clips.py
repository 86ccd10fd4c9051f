"""What is told of each test clip: its verdict, its place among the training clips, and the worst errors of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from asd.data.clips import file_of
from asd.runs.scores import ScoreTable
from asd.scoring.thresholds import Threshold, train_percentile
from asd.system.arrays import read_arrays

N_WORST = 3  # misses, and false alarms, of a section
N_NEAREST = 2  # training clips to listen to beside one

VERDICTS = {
    ("anomaly", True): "caught",
    ("anomaly", False): "missed",
    ("normal", True): "false alarm",
    ("normal", False): "passed",
    ("unknown", True): "flagged",
    ("unknown", False): "not flagged",
}


@dataclass(frozen=True, eq=False)
class Pieces:
    """pieces.npz; `clip` and `nearest` are rows of `path`.

    Attributes:
        score: (pieces,) score of each piece, clip after clip in the order of time.
        clip: (pieces,) its clip.
        nearest: (pieces, K) the training clips nearest to it, nearest first; K may be 0.
        path: (clips,) relative to the data's root, in the order of scores.csv.
        embedding: (clips, dim) unit vectors; None where the run was scored before they were kept.
    """

    score: NDArray[np.float64]
    clip: NDArray[np.int64]
    nearest: NDArray[np.int64]
    path: NDArray[np.str_]
    embedding: NDArray[np.float64] | None


def read_pieces(scores: Path) -> Pieces | None:
    """The pieces of a folder of scores; None where the scorer keeps none.

    Raises:
        ValueError: The file is damaged.
    """
    path = scores / "pieces.npz"
    if not path.is_file():
        return None
    arrays = read_arrays(
        path, {"score": (1, "f"), "clip": (1, "iu"), "path": (1, "U")}, {"nearest": (2, "iu"), "embedding": (2, "f")}
    )
    score, clip, clips = arrays["score"], arrays["clip"], arrays["path"]
    nearest = arrays.get("nearest", np.zeros((len(clip), 0), np.int64))
    embedding = unit(arrays["embedding"]) if "embedding" in arrays else None
    is_whole = len(score) == len(clip) == len(nearest) and (embedding is None or len(embedding) == len(clips))
    if not is_whole or any(rows.size and not -1 <= rows.min() <= rows.max() < len(clips) for rows in (clip, nearest)):
        raise ValueError(f"{path}: its arrays do not fit together; run evaluate.py with overwrite=true")
    return Pieces(score, clip, nearest, clips, embedding)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, dim) vectors scaled to length 1; zero stays zero."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return vectors / np.where(length == 0, 1, length)


@dataclass(frozen=True)
class ClipRow:
    """One test clip.

    Attributes:
        row: In scores.csv.
        path: Relative to the data's root.
        section: Its number.
        domain: source, target or unknown.
        label: normal, anomaly or unknown.
        score: Higher = more anomalous.
        train_percentile: Share of the training clips of its section with a lower score; NaN where there are none.
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
    train_percentile: float
    verdict: str
    pieces: list[float]
    nearest: list[int]

    @property
    def name(self) -> str:
        """The file's name without folders and suffix; of a part of a file with its samples."""
        path, *part = file_of(self.path)
        return PurePosixPath(path).stem + ("[{}:{}]".format(*part) if path != self.path else "")


@dataclass(frozen=True)
class WorstErrors:
    """The worst errors of a section: anomalies with the lowest scores, normal clips with the highest."""

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
    percentile = section_percentiles(scores)
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
                train_percentile=float(percentile[row]),
                verdict=VERDICTS[label, score > threshold.value],
                pieces=[] if pieces is None else pieces.score[of_clip].tolist(),
                nearest=[] if pieces is None else most_frequent(pieces.nearest[of_clip]),
            )
        )
    return found


def most_frequent(nearest: NDArray[np.int64]) -> list[int]:
    """The training clips that the pieces of a clip name most often, the most frequent first."""
    clips, counts = np.unique(nearest[nearest >= 0], return_counts=True)
    return [int(clip) for clip in clips[np.argsort(-counts, kind="stable")][:N_NEAREST]]


def section_percentiles(scores: ScoreTable) -> NDArray[np.float64]:
    """(clips,) share of the training clips of the same section with a lower score."""
    share = np.full(len(scores.score), np.nan)
    for section in np.unique(scores.section):
        here = scores.section == section
        share[here] = train_percentile(scores.score[here], scores.score[here & scores.is_train])
    return share


def worst_errors(rows: Sequence[ClipRow], n_worst: int = N_WORST) -> list[WorstErrors]:
    """The worst errors of each section with known labels.

    Args:
        rows: Test clips, the highest score first.
        n_worst: Misses, and false alarms, of a section.
    """
    found = []
    for section in sorted({row.section for row in rows}):
        anomalies = [row for row in rows if row.section == section and row.label == "anomaly"]
        normals = [row for row in rows if row.section == section and row.label == "normal"]
        if anomalies or normals:
            found.append(
                WorstErrors(
                    section=section,
                    misses=anomalies[::-1][:n_worst],
                    false_alarms=normals[:n_worst],
                    n_anomalies=len(anomalies),
                    n_missed=sum(row.verdict == "missed" for row in anomalies),
                    n_normals=len(normals),
                    n_false_alarms=sum(row.verdict == "false alarm" for row in normals),
                )
            )
    return found


def listening_order(errors: Sequence[WorstErrors]) -> list[ClipRow]:
    """The worst miss and false alarm of each section, then the second worst of each, and so on."""
    ranked = [clips for section in errors for clips in (section.misses, section.false_alarms)]
    return [clip for rank in zip_longest(*ranked) for clip in rank if clip is not None]
