"""Fewer references: a choice of training pieces that covers the others, and what it costs.

k-centre greedy: each piece chosen is the one farthest from those chosen before (Gonzalez 1985; for anomaly detection
Roth et al. 2022, PatchCore, 3.2).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

OTHER_CLIPS = 200  # of each other section, that play the anomalies

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class TrainingPieces:
    """The training pieces of a section, of which some are its references.

    Attributes:
        unit: (pieces, dim) unit embeddings, float32.
        clip: (pieces,) clip of each piece, 0 … clips − 1 in this order.
        is_source: (pieces,) whether that clip is of the source domain.
    """

    unit: NDArray[np.float32]
    clip: NDArray[np.int64]
    is_source: NDArray[np.bool_]

    def only(self, rows: NDArray[np.int64]) -> "TrainingPieces":
        """Some of the pieces."""
        return TrainingPieces(self.unit[rows], self.clip[rows], self.is_source[rows])


def k_centre(unit: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Rows (n,) of unit embeddings (pieces, dim) chosen greedily, sorted; all of them where there are no more than n.

    The first is the piece nearest to the mean; of equally far ones the earlier is taken.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"references={n}: keep at least 1")
    if n >= len(unit):
        return np.arange(len(unit))
    chosen = [int((unit @ unit.mean(axis=0)).argmax())]
    nearest = unit @ unit[chosen[0]]  # cosine to the nearest piece chosen
    while len(chosen) < n:
        nearest[chosen[-1]] = np.inf
        chosen.append(int(nearest.argmin()))
        np.maximum(nearest, unit @ unit[chosen[-1]], out=nearest)
        nearest[chosen] = np.inf
    return np.sort(np.array(chosen))


def thin(pieces: TrainingPieces, n: int, *, by_domain: bool, at_least: int) -> NDArray[np.int64]:
    """Rows of the references that are kept.

    Args:
        pieces: Of a section.
        n: At most so many.
        by_domain: Whether each domain is searched alone, so that each keeps its share and at least `at_least`.
        at_least: K.
    """
    if not by_domain:
        return k_centre(pieces.unit, max(n, at_least))
    kept = []
    for rows in (np.flatnonzero(pieces.is_source), np.flatnonzero(~pieces.is_source)):
        share = max(at_least, round(n * len(rows) / len(pieces.unit)))
        kept.append(rows[k_centre(pieces.unit[rows], share)] if len(rows) else rows)
    return np.sort(np.concatenate(kept))


def clip_scores(
    pieces: TrainingPieces, references: TrainingPieces, k: int, choice: str, aggregation: str, *, same: bool
) -> NDArray[np.float64]:
    """Scores (clips,) of training clips against references.

    Args:
        pieces: Of the clips.
        references: That are searched.
        k: K.
        choice: Domains of the references searched, as `scorer.references`.
        aggregation: mean or max, over a clip's pieces.
        same: Whether both are of one section: a clip's own pieces are then left out.

    Raises:
        ValueError: Fewer than K references are left for a clip.
    """
    kinds: dict[str, list[bool | None]] = {
        "both": [None], "source": [True], "target": [False], "nearest": [True, False],
    }  # fmt: skip
    domains = kinds[choice]
    summary = np.mean if aggregation == "mean" else np.max
    scores = []
    for clip in np.unique(pieces.clip):
        unit = pieces.unit[pieces.clip == clip]
        usable = references.clip != clip if same else np.ones(len(references.clip), bool)
        of_domain = [usable if source is None else usable & (references.is_source == source) for source in domains]
        found = [distance(unit, references.unit[rows], k) for rows in of_domain]
        scores.append(summary(np.min(found, axis=0)))
    return np.array(scores)


def distance(unit: NDArray[np.float32], references: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """1 − mean of the K largest cosines of each piece, (pieces,)."""
    if len(references) < k:
        raise ValueError(f"{len(references)} references are left for a training clip, but K is {k}: keep more of them")
    cosine = unit @ references.T
    return 1 - np.partition(cosine, len(references) - k, axis=1)[:, -k:].astype(np.float64).mean(axis=1)


def separation(own: Floats, others: list[Floats]) -> float:
    """AUC of telling other sections' training clips from the section's own, by their scores."""
    other = np.concatenate(others)
    return float(roc_auc_score(np.r_[np.zeros(len(own)), np.ones(len(other))], np.r_[own, other]))


def some_clips(pieces: TrainingPieces) -> TrainingPieces:
    """At most `OTHER_CLIPS` clips, spread evenly."""
    clips = np.unique(pieces.clip)
    chosen = clips[np.linspace(0, len(clips) - 1, min(OTHER_CLIPS, len(clips))).astype(int)]
    return pieces.only(np.flatnonzero(np.isin(pieces.clip, chosen)))
