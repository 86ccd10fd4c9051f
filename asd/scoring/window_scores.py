"""Scores of the two baselines of Table 2: reconstruction error, and the log odds against a clip's own section."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

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
