"""From scores to decisions: thresholds learnt from training scores alone, and what share of them a score exceeds.

Every function takes training scores that never saw themselves: each clip compared with the other clips only.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from asd_runtime.model_file import TailQuantiles

Method = Literal["gamma", "empirical"]

OFFICIAL_QUANTILE = 0.9  # of the baselines of every edition
MIN_CLIPS = 20  # fewer training scores tell little about their 0.9 quantile
# Shares of normal sound above a threshold whose gamma quantiles are kept: the official 0.1, and the tails behind it.
TAILS = np.array([step * 10.0**-power for power in range(1, 8) for step in (5, 2, 1)])
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
        flagged: the share of the training clips that actually lies above it.
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


def train_percentile(scores: ArrayLike, training_scores: ArrayLike) -> NDArray[np.float64]:
    """The share of the training scores that lie strictly below each score.

    Args:
        scores: Any shape.
        training_scores: (clips,)

    Returns:
        Shares from 0 to 1 in the shape of `scores`; NaN where there is no training score.
    """
    training = np.sort(np.asarray(training_scores, dtype=np.float64))
    below = np.searchsorted(training, np.asarray(scores, dtype=np.float64), side="left")
    return below / training.size if training.size else np.full(np.shape(scores), np.nan)


def sound_threshold(training_scores: ArrayLike, *, quantile: float = OFFICIAL_QUANTILE) -> Threshold:
    """The official threshold, or where its fit fails or collapses, the empirical quantile with a warning that says so.

    Raises:
        ValueError: There is no training score, or one is not finite.
    """
    scores = np.asarray(training_scores, dtype=np.float64)
    if not scores.size or not np.isfinite(scores).all():
        raise ValueError("a threshold needs the finite scores of training clips; score the run again")
    try:
        found = find_threshold(scores, quantile=quantile)
        why = "; ".join(found.warnings)
    except ValueError as error:
        why = str(error)
    if not why:
        return found
    value = float(np.quantile(scores, quantile))
    warning = f"the gamma fit failed ({why}); the empirical {quantile} quantile takes its place"
    return Threshold(value, "empirical", quantile, float(decide(scores, value).mean()), warnings=(warning,))


@dataclass(frozen=True)
class GroupThreshold:
    """The threshold of one section and domain.

    Attributes:
        section: Its number.
        domain: source, target or unknown.
        n_training: How many training clips it was learnt from.
        threshold: None where none can be learnt.
        problem: Why there is none; empty otherwise.
    """

    section: int
    domain: str
    n_training: int
    threshold: Threshold | None
    problem: str = ""


def group_thresholds(
    training_scores: ArrayLike,
    section: NDArray[np.integer],
    domain: NDArray[np.str_],
    find: Callable[[NDArray[np.float64]], Threshold],
) -> list[GroupThreshold]:
    """A threshold for each section and domain that has training clips.

    Args:
        training_scores: (clips,)
        section: (clips,) section numbers.
        domain: (clips,) domains.
        find: Learns a threshold from the scores of one group, such as `find_threshold`.

    Returns:
        One entry a group, by section and domain. Few training clips are a warning.
    """
    scores = np.asarray(training_scores, dtype=np.float64)
    found = []
    for number, name in sorted({(int(s), str(d)) for s, d in zip(section, domain, strict=True)}):
        group = scores[(section == number) & (domain == name)]
        try:
            threshold = find(group)
        except ValueError as error:
            found.append(GroupThreshold(number, name, group.size, None, str(error)))
            continue
        threshold = replace(threshold, warnings=(*few_clips(group.size), *threshold.warnings))
        found.append(GroupThreshold(number, name, group.size, threshold))
    return found


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
    if method not in get_args(Method):
        raise ValueError(f"threshold is {method!r}; give one of {', '.join(get_args(Method))}")
    _check(scores, quantile)
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
    return Threshold(value, method, quantile, flagged, fit, _collapse_warnings(fit, value, flagged, scores, quantile))


def few_clips(n_clips: int) -> tuple[str, ...]:
    """A warning where there are few training clips."""
    return (f"learnt from {n_clips} training clips only",) if n_clips < MIN_CLIPS else ()


def tail_quantiles(training_scores: ArrayLike) -> TailQuantiles | None:
    """Quantiles of the gamma distribution fitted to training scores; None where none fits."""
    try:
        official = find_threshold(training_scores)
    except ValueError:
        return None
    assert official.fit is not None
    quantiles = np.array([official.fit.quantile(1 - tail) for tail in TAILS])
    if not np.isfinite(quantiles).all():
        return None
    return TailQuantiles(TAILS, quantiles, (*few_clips(np.size(training_scores)), *official.warnings))


def fit_gamma(scores: NDArray[np.float64]) -> Gamma:
    """The gamma distribution of greatest likelihood (`scipy.stats.gamma.fit`), origin and all.

    Raises:
        ValueError: if the search for it fails.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about steps of the search; its end is judged by _collapse_warnings
        try:
            return Gamma(*(float(parameter) for parameter in stats.gamma.fit(scores)))
        except (stats.FitError, FloatingPointError) as error:
            raise ValueError(
                f"no gamma distribution fits the {scores.size} training scores ({error}); "
                "take the threshold 'empirical', their own quantile"
            ) from error


def _check(scores: NDArray[np.float64], quantile: float) -> None:
    if not 0 < quantile < 1:
        raise ValueError(f"quantile is {quantile}; give a share between 0 and 1, such as {OFFICIAL_QUANTILE}")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{int((~np.isfinite(scores)).sum())} training scores are NaN or infinite; score the run again"
        )
    if scores.size == 0 or np.ptp(scores) == 0:
        raise ValueError(f"{scores.size} training scores, all identical: no threshold can be learnt from them")


def _collapse_warnings(
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
