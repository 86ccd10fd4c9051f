"""The contract of a scorer: fitted to the training pieces of one section, it says how far other pieces lie from them.

A scorer of your own is a subclass with `fit`, `score_pieces`, `state` and `load_state`, named by `scorer._target_`
(docs/extend.md). It sees embeddings alone, never sound, labels or test clips; one that is set `bands` sees the vectors
of that many frequency bands instead (asd/models/frequency_bands.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Aggregation = Literal["mean", "max"]

NO_REFERENCE = -1  # in `own_clip`: the clip is not among the training clips


@dataclass(frozen=True, eq=False)
class ClipPieces:
    """The pieces of clips of one section, clip after clip.

    Attributes:
        section: What messages call the section, such as `fan section 02`.
        class_index: Its place among the classes that the network knows.
        embedding: (pieces, dim) float32: unit embeddings, or what else the method makes of a piece.
        clip: (pieces,) clip of each piece: 0, 0, …, 1, 1, … up to clips − 1, none left out.
        is_source: (clips,) whether a clip is of the source domain.
    """

    section: str
    class_index: int
    embedding: Tensor
    clip: NDArray[np.int64]
    is_source: NDArray[np.bool_]


class PieceScores(NamedTuple):
    """Scores of pieces; higher = more anomalous.

    Attributes:
        score: (pieces,) float64.
        nearest: (pieces, k) training clips nearest to each piece, nearest first; k may be 0.
    """

    score: NDArray[np.float64]
    nearest: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of clips and of their pieces; higher = more anomalous.

    Attributes:
        clips: (clips,) float64.
        pieces: (pieces,) float64.
        nearest: (pieces, k) training clips nearest to each piece, nearest first; of equal ones the earlier first.
    """

    clips: NDArray[np.float64]
    pieces: NDArray[np.float64]
    nearest: NDArray[np.int64]


class Scorer(ABC):
    """Scores the clips of one section.

    Args:
        aggregation: What makes one clip's score of its pieces' scores.
    """

    def __init__(self, *, aggregation: Aggregation = "mean") -> None:
        if aggregation not in ("mean", "max"):
            raise ValueError(f"scorer.aggregation={aggregation}: give mean or max")
        self.aggregation = aggregation

    @abstractmethod
    def fit(self, train: ClipPieces) -> None:
        """Learns the training pieces of a section."""

    @abstractmethod
    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """Scores pieces.

        Args:
            pieces: Of clips of the section.
            own_clip: (clips,) number of each clip among the training clips, whose own pieces must not make it look
                normal; `NO_REFERENCE` where it is a new clip.
        """

    @abstractmethod
    def state(self) -> dict[str, NDArray[np.generic]]:
        """What `fit` learned, as plain arrays."""

    @abstractmethod
    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes what `state` gave."""

    def score(self, pieces: ClipPieces, own_clip: NDArray[np.int64] | None = None) -> Scores:
        """Scores clips; arguments as of `score_pieces`, `own_clip` None where all are new."""
        n_clips = len(pieces.is_source)
        own = np.full(n_clips, NO_REFERENCE) if own_clip is None else own_clip
        found = self.score_pieces(pieces, own)
        starts = np.flatnonzero(np.diff(pieces.clip, prepend=-1))
        summary = np.mean if self.aggregation == "mean" else np.max
        of_clip = np.split(found.score, starts[1:])
        return Scores(np.array([summary(scores) for scores in of_clip], np.float64), found.score, found.nearest)
