"""Euclidean distance to the nearest training pieces, for features whose length means something, such as decibels."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

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

    def fit(self, train: ClipPieces) -> None:
        """Keeps the training pieces.

        Raises:
            ValueError: There are too few besides those of one clip, or one is not finite.
        """
        self.reference, self.clip = as_float64(train), train.clip
        left = len(self.clip) - int(np.bincount(self.clip).max())
        if left < self.n_neighbors:
            raise ValueError(
                f"{train.section}: {left} training pieces besides those of one clip, but {self.n_neighbors} neighbours "
                "are wanted; add training clips or lower scorer.n_neighbors"
            )

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """Distances, clip by clip, so that a clip's are the same bits whichever clips are beside it."""
        starts = np.flatnonzero(np.diff(pieces.clip, prepend=-1))[1:]
        found = [
            self.nearest(embedding, own)
            for embedding, own in zip(np.split(as_float64(pieces), starts), own_clip, strict=True)
        ]
        score, nearest = zip(*found, strict=True)
        return PieceScores(np.concatenate(score), np.concatenate(nearest))

    def nearest(self, embedding: NDArray[np.float64], own_clip: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Scores of one clip's pieces (pieces,) and their K nearest training clips (pieces, K)."""
        distance = cdist(embedding, self.reference)
        if own_clip != NO_REFERENCE:
            distance[:, self.clip == own_clip] = np.inf
        order = np.argsort(distance, axis=1, kind="stable")[:, : self.n_neighbors]
        return np.take_along_axis(distance, order, axis=1).mean(axis=1), self.clip[order]

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The training pieces."""
        return {"reference": self.reference, "clip": self.clip}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes the training pieces."""
        self.reference = np.asarray(state["reference"], np.float64)
        self.clip = np.asarray(state["clip"], np.int64)
