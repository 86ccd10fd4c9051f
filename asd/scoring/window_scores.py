"""Scores of the two baselines of Table 2: reconstruction error, and the log odds against a clip's own section."""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from asd.scoring.scorer import ClipPieces, PieceScores, Scorer

EPSILON = np.finfo(np.float64).eps  # the organisers' floor below each logarithm

Formula = Literal["official_2021", "corrected_2022"]


def squared_errors(windows: NDArray[np.floating], reconstructions: NDArray[np.floating]) -> NDArray[np.float64]:
    """The mean squared error of each window, (windows, numbers) and the same to (windows,), in float64."""
    return np.square(windows.astype(np.float64) - reconstructions).mean(axis=1)


def log_odds(probability: NDArray[np.float32], formula: Formula) -> NDArray[np.float64]:
    """How unlike their own section images are, from what the network gives that section.

    Args:
        probability: (images,) of the clip's section, float32 as the network computes it.
        formula: `corrected_2022`: log(1 − p) − log(p), the log odds, dcase2022_task2_baseline_mobile_net_v2.
            `official_2021`: log((1 − p) − log(p)), where a parenthesis closes too late, 01_test.py of the year before;
            Table 2's figures were made with it.

    Returns:
        (images,) float64.

    Raises:
        ValueError: Another formula.
    """
    against = np.maximum(1 - probability, EPSILON).astype(np.float64)
    log_own = np.log(np.maximum(probability, EPSILON).astype(np.float64))
    if formula == "official_2021":
        return np.log(against - log_own)
    if formula == "corrected_2022":
        return np.log(against) - log_own
    raise ValueError(f"log_odds.formula={formula}: must be one of {', '.join(get_args(Formula))}")


class WindowScorer(Scorer):
    """What scores a window from its own features alone: nothing to fit, nothing to keep."""

    def fit(self, train: ClipPieces) -> None:
        """Learns nothing."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Nothing."""
        return {}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes nothing."""

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """The score of each window; there are no nearest training clips."""
        score = self.score_windows(pieces.embedding.numpy(), pieces.class_index)
        return PieceScores(score, np.empty((len(score), 0), np.int64))

    def score_windows(self, features: NDArray[np.floating], class_index: int) -> NDArray[np.float64]:
        """(windows, dim) to (windows,)."""
        raise NotImplementedError


class FirstFeature(WindowScorer):
    """The first feature of a window is its score, such as a reconstruction error."""

    def score_windows(self, features: NDArray[np.floating], class_index: int) -> NDArray[np.float64]:
        """The first column."""
        return features[:, 0].astype(np.float64)


class LogOdds(WindowScorer):
    """The log odds against a clip's own section, from the probabilities of all sections.

    Args:
        formula: As of `log_odds`.
    """

    def __init__(self, *, formula: Formula) -> None:
        super().__init__(aggregation="mean")
        self.formula = formula

    def score_windows(self, features: NDArray[np.floating], class_index: int) -> NDArray[np.float64]:
        """The log odds of the column of the section."""
        return log_odds(features[:, class_index].astype(np.float32), self.formula)
