"""Euclidean distance to the nearest training pieces, for features whose length means something, such as decibels."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from asd.scoring.cross_fitted import as_float64
from asd.scoring.scorer import NO_REFERENCE, Aggregation, ClipPieces, PieceScores, Scorer


class EuclideanNeighbours(Scorer):
    """Mean distance to the K nearest training pieces of the section, those of a piece's own clip left out.

    Args:
        n_neighbors: K.
        aggregation: As of `Scorer`.

    Raises:
        ValueError: K is below 1.
    """

    def __init__(self, *, n_neighbors: int = 1, aggregation: Aggregation = "mean") -> None:
        super().__init__(aggregation=aggregation)
        if n_neighbors < 1:
            raise ValueError(f"scorer.n_neighbors={n_neighbors}: give 1 or more")
        self.n_neighbors = n_neighbors
        self.reference: NDArray[np.float64]
        self.clip: NDArray[np.int64]
        self.centre: NDArray[np.float64]
        self.centred: NDArray[np.float32]
        self.half_squares: NDArray[np.float32]

    def fit(self, train: ClipPieces) -> None:
        """Keeps the training pieces.

        Raises:
            ValueError: There are too few besides those of one clip, or one is not finite.
        """
        self.keep(as_float64(train), train.clip)
        left = len(self.clip) - int(np.bincount(self.clip).max())
        if left < self.n_neighbors:
            raise ValueError(
                f"{train.section}: {left} training pieces besides those of one clip, but {self.n_neighbors} neighbours "
                "are wanted; add training clips or lower scorer.n_neighbors"
            )

    def keep(self, reference: NDArray[np.float64], clip: NDArray[np.int64]) -> None:
        """Takes the training pieces (pieces, dim) and the clip of each."""
        self.reference, self.clip = reference, clip
        self.centre = reference.mean(axis=0)
        self.centred = (reference - self.centre).astype(np.float32)  # small beside its rounding
        self.half_squares = np.square(self.centred).sum(axis=1) / 2

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """Distances, clip by clip, so that a clip's are the same bits whichever clips are beside it."""
        starts = np.flatnonzero(np.diff(pieces.clip, prepend=-1))[1:]
        clips = zip(np.split(as_float64(pieces), starts), own_clip, strict=True)
        with threadpool_limits(1):  # threads of so small products mostly wait for each other
            found = [self.nearest(embedding, own) for embedding, own in clips]
        score, nearest = zip(*found, strict=True)
        return PieceScores(np.concatenate(score), np.concatenate(nearest))

    def nearest(self, embedding: NDArray[np.float64], own_clip: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Scores of one clip's pieces (pieces,) and their K nearest training clips (pieces, K).

        A product of matrices in single precision says which references may be among the nearest; their distances are
        then computed apart, without its rounding.
        """
        centred = (embedding - self.centre).astype(np.float32)
        farness = self.half_squares - centred @ self.centred.T  # half of the squared distance, but for ½‖x‖²
        if own_clip != NO_REFERENCE:
            farness[:, self.clip == own_clip] = np.inf
        worst = embedding.shape[1] * np.finfo(np.float32).eps  # of a sum of so many products, as a share
        rounding = worst * (self.half_squares.max() + np.square(centred).sum(axis=1, keepdims=True))
        limit = np.partition(farness, self.n_neighbors - 1, axis=1)[:, self.n_neighbors - 1, None] + rounding
        found = [self.exact(piece, np.flatnonzero(row)) for piece, row in zip(embedding, farness <= limit, strict=True)]
        score, nearest = zip(*found, strict=True)
        return np.array(score), np.stack(nearest)

    def exact(self, piece: NDArray[np.float64], rows: NDArray[np.int64]) -> tuple[float, NDArray[np.int64]]:
        """The score of a piece (dim,) and its K nearest training clips, which are among some references."""
        distance = cdist(piece[None], self.reference[rows])[0]
        order = np.argsort(distance, kind="stable")[: self.n_neighbors]
        return float(distance[order].mean()), self.clip[rows[order]]

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The training pieces."""
        return {"reference": self.reference, "clip": self.clip}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes the training pieces."""
        self.keep(np.asarray(state["reference"], np.float64), np.asarray(state["clip"], np.int64))
