"""A scorer of one's own: the Mahalanobis distance to the mean training piece."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from asd.scoring.scorer import ClipPieces, PieceScores, Scorer


class MahalanobisDistance(Scorer):
    """Distance to the mean in units of a shrunken covariance; of one mean, so that a clip hardly pulls it to itself."""

    def fit(self, train: ClipPieces) -> None:
        """Mean and inverse covariance of the training pieces."""
        pieces = train.embedding.double().numpy()
        covariance, _ = ledoit_wolf(pieces)
        self.mean = pieces.mean(axis=0)
        self.precision = np.linalg.inv(covariance + 1e-9 * np.eye(len(covariance)))

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """(pieces,) distances; there are no nearest training clips."""
        away = pieces.embedding.double().numpy() - self.mean
        score = np.sqrt(np.einsum("pi,ij,pj->p", away, self.precision, away))
        return PieceScores(score, np.empty((len(score), 0), np.int64))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """What `fit` learned."""
        return {"mean": self.mean, "precision": self.precision}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes what `state` gave."""
        self.mean, self.precision = np.asarray(state["mean"]), np.asarray(state["precision"])
