"""From a score to a verdict: its share among the training clips, and thresholds that people can ask for."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_runtime.model_file import DOMAINS, Domain, Section

DAY_SECONDS = 86_400
OFFICIAL_TAIL = 0.1  # share of normal sound above the official threshold
DEFAULT_RULE = "quantile=0.9"
RULES = "official, quantile=SHARE (such as quantile=0.99), per-day=N (false alarms a day), or a number"


@dataclass(frozen=True)
class Threshold:
    """Where normal ends: a score above it, and only above it, is anomalous.

    Attributes:
        value: In units of the score.
        rule: What was asked for.
        warnings: What is wrong with it, one sentence each.
    """

    value: float
    rule: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ClipScore:
    """How far a recording lies from the normal ones, and what that means.

    Attributes:
        score: Of the clip; higher = more anomalous.
        section: Whose normal sound it was compared with; −1: that of all sections.
        share_below: Share of the training clips with a lower score.
        threshold: Where normal ends.
        is_anomalous: Whether the score is above the threshold.
        pieces: (pieces,) score of each piece, in the order of time.
        seconds: (pieces,) the middle of each piece's first column.
        nearest: (pieces,) the training clip nearest to each piece; "" for methods that know none.
    """

    score: float
    section: int
    share_below: float
    threshold: Threshold
    is_anomalous: bool
    pieces: NDArray[np.float64]
    seconds: NDArray[np.float64]
    nearest: NDArray[np.str_]

    @property
    def verdict(self) -> str:
        """In a word."""
        return "anomalous" if self.is_anomalous else "normal"

    def nearest_clips(self, n: int) -> list[str]:
        """The training clips that are nearest to most pieces, at most n of them, the most frequent first."""
        return [name for name, _ in Counter(filter(None, self.nearest.tolist())).most_common(n)]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        lists = {name: getattr(self, name).tolist() for name in ("pieces", "seconds", "nearest")}
        return {**asdict(self), **lists, "verdict": self.verdict}


def find_threshold(
    section: Section, rule: str, *, domain: Domain = "both", hop_seconds: float | None = None
) -> Threshold:
    """The threshold of a section.

    Args:
        section: With its training scores.
        rule: See `RULES`. `official`: the 0.9 quantile of a gamma distribution fitted to the training scores, as the
            official baselines decide; `quantile`: the score that this share of normal sound stays below; `per-day`:
            the score that normal sound exceeds so often. Both hold if normal sound is like the training clips.
        domain: Whose training clips count.
        hop_seconds: From one score to the next, which per-day needs.

    Raises:
        ValueError: An unknown rule, one out of range, or a domain without training clips.
    """
    if domain not in DOMAINS:
        raise ValueError(f"domain={domain}: give one of {', '.join(DOMAINS)}")
    name, _, text = rule.partition("=")
    if name == "official" and not text:
        return official_threshold(section, rule, domain)
    if name == "quantile":
        share = number(text, rule)
        if not 0 < share < 1:
            raise ValueError(f"threshold {rule}: give a share between 0 and 1")
        return exceeded_by(1 - share, section, rule, domain)
    if name == "per-day":
        return exceeded_by(per_day_tail(number(text, rule), rule, hop_seconds), section, rule, domain)
    return Threshold(number(rule, rule), rule)


def number(text: str, rule: str) -> float:
    """A finite number in a rule.

    Raises:
        ValueError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"threshold {rule}: give {RULES}") from None
    if not np.isfinite(value):
        raise ValueError(f"threshold {rule}: give {RULES}")
    return value


def training_scores(section: Section, domain: Domain) -> NDArray[np.float64]:
    """The training scores of a domain.

    Raises:
        ValueError: There are none.
    """
    scores = section.scores_of(domain)
    if not len(scores):
        raise ValueError(f"section {section.number:02d} has no training clips of the {domain} domain")
    return scores


def official_threshold(section: Section, rule: str, domain: Domain) -> Threshold:
    """The official threshold, or where no distribution could be fitted, the quantile with a warning that says so."""
    fit = section.gamma.get(domain)
    if fit is not None:
        return Threshold(float(np.interp(OFFICIAL_TAIL, fit.tail[::-1], fit.score[::-1])), rule, fit.warnings)
    found = exceeded_by(OFFICIAL_TAIL, section, rule, domain)
    warning = f"no gamma distribution fits the training scores: quantile={1 - OFFICIAL_TAIL:g} takes its place"
    return Threshold(found.value, rule, (warning, *found.warnings))


def exceeded_by(tail: float, section: Section, rule: str, domain: Domain) -> Threshold:
    """The score that at most this share of normal sound exceeds.

    Among n exchangeable scores a new one exceeds the k-th smallest with probability 1 - k / (n + 1) at most, whatever
    their distribution (split conformal prediction). Rarer ones than one in n + 1 are read off the fitted gamma
    distribution, never below the highest training score, with a warning.
    """
    scores = training_scores(section, domain)
    rank = int(np.ceil((1 - tail) * (len(scores) + 1) - 1e-9))
    if rank <= len(scores):
        return Threshold(float(np.sort(scores)[rank - 1]), rule)
    highest, fit = float(scores.max()), section.gamma.get(domain)
    promise = (
        f"{len(scores)} training clips can promise one false alarm in {len(scores) + 1} scores, not in {1 / tail:.3g}"
    )
    if fit is None or tail < fit.tail[-1]:
        return Threshold(highest, rule, (f"{promise}: their highest score is taken",))
    value = float(np.interp(np.log(tail), np.log(fit.tail[::-1]), fit.score[::-1]))
    return Threshold(max(value, highest), rule, (*fit.warnings, f"{promise}: the fitted tail is taken"))


def per_day_tail(per_day: float, rule: str, hop_seconds: float | None) -> float:
    """The share of scores that so many a day are.

    Raises:
        ValueError: No hop is known, or as many alarms as scores are asked for.
    """
    if hop_seconds is None or not hop_seconds > 0:
        raise ValueError(f"threshold {rule}: needs the seconds from one score to the next, --hop or hop_seconds")
    tail = per_day * hop_seconds / DAY_SECONDS
    if not 0 < tail < 1:
        raise ValueError(
            f"threshold {rule}: with a score every {hop_seconds:g} s there are {DAY_SECONDS / hop_seconds:g} a day"
        )
    return tail


def share_below(section: Section, score: float, domain: Domain = "both") -> float:
    """Share of the training clips whose score is below this one, 0 … 1."""
    return float((training_scores(section, domain) < score).mean())
