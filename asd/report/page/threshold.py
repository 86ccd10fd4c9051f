"""Where a score becomes an alarm on the page: the official rule, or where that collapses, the plain quantile."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd.scoring.thresholds import OFFICIAL_QUANTILE, find_threshold


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
    """The threshold of a machine; with one that flags all or nothing, nobody could see which clips stand out.

    Args:
        training: (clips,) scores of all its training clips.

    Raises:
        ValueError: There is no training score.
    """
    if not len(training):
        raise ValueError("a threshold needs the scores of training clips; there are none")
    try:
        found = find_threshold(training)
    except ValueError as error:
        return plain(training, str(error))
    return Threshold(found.value, "") if found.is_sound else plain(training, "; ".join(found.warnings))


def plain(training: NDArray[np.float64], why: str) -> Threshold:
    """The quantile of the scores themselves, and why it stands there."""
    value = float(np.quantile(training, OFFICIAL_QUANTILE))
    return Threshold(value, f"the gamma fit failed ({why}); the plain {OFFICIAL_QUANTILE} quantile stands here instead")
