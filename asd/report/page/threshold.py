"""Where a score becomes an alarm: the rule of the official baseline, from training scores alone."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

QUANTILE = 0.9  # of a gamma distribution fitted to the scores of all training clips of a machine
PLAUSIBLE = (0.02, 0.5)  # share of the training clips flagged; beyond it the distribution did not fit


@dataclass(frozen=True)
class Threshold:
    """A clip is flagged if its score is larger than `value`.

    Attributes:
        value: The threshold.
        flagged: Share of the training clips that it flags; 0.1 is what it aims at.
        warning: What a reader must know; empty if all is well.
    """

    value: float
    flagged: float
    warning: str


def decision_threshold(training: NDArray[np.float64]) -> Threshold:
    """The threshold of a machine.

    Args:
        training: (clips,) scores of all its training clips.

    Raises:
        ValueError: There is no training score.
    """
    if not len(training):
        raise ValueError("a threshold needs the scores of training clips; there are none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of the search; what it ends in is checked below
        value = fit(training)
    if not np.isfinite(value):
        value = float(np.quantile(training, QUANTILE))
        return Threshold(value, share_above(training, value), "the gamma fit failed: plain 0.9 quantile instead")
    flagged = share_above(training, value)
    fits = PLAUSIBLE[0] <= flagged <= PLAUSIBLE[1]
    return Threshold(value, flagged, "" if fits else f"the gamma distribution does not fit: {meant(flagged)}")


def meant(flagged: float) -> str:
    """What a threshold does beside what it should do."""
    return f"the threshold flags {flagged:.0%} of the training clips, {1 - QUANTILE:.0%} are meant"


def fit(training: NDArray[np.float64]) -> float:
    """The quantile of the fitted distribution, NaN where no distribution fits."""
    try:
        return float(stats.gamma.ppf(QUANTILE, *stats.gamma.fit(training)))
    except (stats.FitError, ValueError, FloatingPointError):
        return float("nan")


def share_above(scores: NDArray[np.float64], value: float) -> float:
    """The share of the scores above a value."""
    return float((scores > value).mean())
