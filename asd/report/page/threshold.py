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
        warning: What a reader must know; empty if all is well.
    """

    value: float
    warning: str


def decision_threshold(training: NDArray[np.float64]) -> Threshold:
    """The threshold of a machine; where the distribution does not fit, the plain quantile, and the warning says so.

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
    flagged = share_above(training, value)
    if np.isfinite(value) and PLAUSIBLE[0] <= flagged <= PLAUSIBLE[1]:
        return Threshold(value, "")
    plain = float(np.quantile(training, QUANTILE))
    return Threshold(plain, f"the gamma fit failed, its threshold {value:.4g} would flag {flagged:.0%} of the "
                     f"training clips; the plain {QUANTILE} quantile of their scores stands here instead")


def fit(training: NDArray[np.float64]) -> float:
    """The quantile of the fitted distribution, NaN where no distribution fits."""
    try:
        return float(stats.gamma.ppf(QUANTILE, *stats.gamma.fit(training)))
    except (stats.FitError, ValueError, FloatingPointError):
        return float("nan")


def share_above(scores: NDArray[np.float64], value: float) -> float:
    """The share of the scores above a value."""
    return float((scores > value).mean())
