"""From scores to decisions: a threshold learnt from the scores of a machine's training clips alone."""

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Method = Literal["gamma", "empirical"]

OFFICIAL_QUANTILE = 0.9  # of the baselines of every edition
MIN_SHAPE = 0.1  # a gamma distribution of a smaller shape is a spike at its lower end: no model of scores


@dataclass(frozen=True)
class Gamma:
    """The parameters of a gamma distribution with a shifted origin.

    Attributes:
        shape: `a`; the skewness is 2 ÷ √shape.
        loc: its lower end, in units of the score.
        scale: in units of the score.
    """

    shape: float
    loc: float
    scale: float

    def quantile(self, quantile: float) -> float:
        """The score that this share of the distribution lies below."""
        return float(stats.gamma.ppf(quantile, self.shape, loc=self.loc, scale=self.scale))


@dataclass(frozen=True)
class Threshold:
    """Where normal ends.

    Attributes:
        value: a score above it, and only above it, is an anomaly.
        method: how it was found.
        quantile: the share of normal sound that is to stay below it.
        flagged: the share of the training clips that lies above it, in truth.
        fit: the fitted distribution; None for the empirical quantile.
        warnings: what is wrong with it, one sentence each; empty if nothing is.
    """

    value: float
    method: Method
    quantile: float
    flagged: float
    fit: Gamma | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.warnings


def decide(scores: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Which clips are anomalous (clips,): those strictly above the threshold, as the official baselines decide."""
    return np.asarray(scores, dtype=np.float64) > threshold


def find_threshold(
    training_scores: ArrayLike, *, method: Method = "gamma", quantile: float = OFFICIAL_QUANTILE
) -> Threshold:
    """The threshold of one machine.

    Args:
        training_scores: of all training clips of the machine (clips,), none of them scored against itself.
        method: `gamma`: quantile of a gamma distribution fitted by maximum likelihood, as the official baselines do;
            `empirical`: quantile of the scores themselves.
        quantile: share of normal sound below the threshold.

    Returns:
        The threshold; a fit that collapsed is returned as it is, with warnings, and never replaced.

    Raises:
        ValueError: if the quantile or the method is not allowed, a score is not finite, there are no two different
            scores, or no gamma distribution can be fitted.
    """
    scores = np.asarray(training_scores, dtype=np.float64)
    _check(scores, method, quantile)
    if method == "empirical":
        value = float(np.quantile(scores, quantile))
        return Threshold(value, method, quantile, float(decide(scores, value).mean()))
    fit = fit_gamma(scores)
    value = fit.quantile(quantile)
    if not np.isfinite(value):
        raise ValueError(
            f"the fitted gamma distribution {fit} has no {quantile} quantile; take the threshold 'empirical'"
        )
    flagged = float(decide(scores, value).mean())
    return Threshold(value, method, quantile, flagged, fit, _signs_of_collapse(fit, value, flagged, scores, quantile))


def fit_gamma(scores: NDArray[np.float64]) -> Gamma:
    """The gamma distribution of greatest likelihood (`scipy.stats.gamma.fit`), origin and all.

    Raises:
        ValueError: if the search for it fails.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about steps of the search; its end is judged by _signs_of_collapse
        try:
            return Gamma(*(float(parameter) for parameter in stats.gamma.fit(scores)))
        except (stats.FitError, FloatingPointError) as error:
            raise ValueError(
                f"no gamma distribution fits the {scores.size} training scores ({error}); "
                "take the threshold 'empirical', their own quantile"
            ) from error


def _check(scores: NDArray[np.float64], method: str, quantile: float) -> None:
    if method not in get_args(Method):
        raise ValueError(f"threshold is {method!r}; give one of {', '.join(get_args(Method))}")
    if not 0 < quantile < 1:
        raise ValueError(f"quantile is {quantile}; give a share between 0 and 1, such as {OFFICIAL_QUANTILE}")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{int((~np.isfinite(scores)).sum())} training scores are NaN or infinite; score the run again"
        )
    if scores.size == 0 or np.ptp(scores) == 0:
        raise ValueError(f"{scores.size} training scores, all alike: no threshold can be learnt from them")


def _signs_of_collapse(
    fit: Gamma, value: float, flagged: float, scores: NDArray[np.float64], quantile: float
) -> tuple[str, ...]:
    """What shows that the fit describes other scores than these."""
    low, high = float(scores.min()), float(scores.max())
    expected = 1 - quantile
    signs = {
        f"the fitted shape {fit.shape:.3g} is below {MIN_SHAPE}: a spike, not a model of scores": fit.shape < MIN_SHAPE,
        f"the threshold {value:.6g} is outside the training scores {low:.6g} … {high:.6g}": not low <= value <= high,
        f"it flags {flagged:.0%} of the training clips where {expected:.0%} were asked for": (
            flagged > (1 + expected) / 2  # nearer to all of them than to what was asked for
        ),
    }
    return tuple(sign for sign, is_seen in signs.items() if is_seen)
