"""From a score to a verdict: its share among the training clips, and thresholds that people can ask for."""

from dataclasses import dataclass

import numpy as np

from asd_runtime.model_file import DOMAINS, Domain, Section

DAY_SECONDS = 86_400
OFFICIAL_TAIL = 0.1  # share of normal sound above the official threshold
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


def find_threshold(
    section: Section, rule: str, *, domain: Domain = "both", hop_seconds: float | None = None
) -> Threshold:
    """The threshold of a section.

    Args:
        section: With its training scores.
        rule: See `RULES`. `official`: the 0.9 quantile of a gamma distribution fitted to the training scores, as the
            official baselines decide; `quantile`: of the training scores themselves; `per-day`: the score that normal
            sound exceeds so often if it sounds like the training clips.
        domain: Whose training clips count.
        hop_seconds: From one score to the next, which per-day needs.

    Raises:
        ValueError: An unknown rule, one out of range, or one that this section's training clips cannot answer.
    """
    if domain not in DOMAINS:
        raise ValueError(f"domain={domain}: give one of {', '.join(DOMAINS)}")
    name, _, text = rule.partition("=")
    if name == "official" and not text:
        return gamma_threshold(section, OFFICIAL_TAIL, rule, domain)
    if name == "quantile":
        share = number(text, rule)
        if not 0 < share < 1:
            raise ValueError(f"threshold {rule}: give a share between 0 and 1")
        return Threshold(float(np.quantile(training_scores(section, domain), share)), rule)
    if name == "per-day":
        return per_day_threshold(section, number(text, rule), rule, domain, hop_seconds)
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


def training_scores(section: Section, domain: Domain) -> np.ndarray:
    """The training scores of a domain.

    Raises:
        ValueError: There are none.
    """
    scores = section.scores_of(domain)
    if not len(scores):
        raise ValueError(f"section {section.number:02d} has no training clips of the {domain} domain")
    return scores


def gamma_threshold(section: Section, tail: float, rule: str, domain: Domain) -> Threshold:
    """The score that this share of the fitted distribution lies above; between the stored levels by log(tail).

    Raises:
        ValueError: No distribution could be fitted to the training scores, or the share is out of the stored range.
    """
    fit = section.gamma.get(domain)
    if fit is None:
        raise ValueError(
            f"section {section.number:02d}: no gamma distribution fits its training scores; give quantile=SHARE"
        )
    if not fit.tail[-1] <= tail <= fit.tail[0]:
        raise ValueError(f"threshold {rule}: a share of {tail:.3g} above; known are {fit.tail[-1]:g} … {fit.tail[0]:g}")
    value = np.interp(np.log(tail), np.log(fit.tail[::-1]), fit.score[::-1])
    return Threshold(float(value), rule, fit.warnings)


def per_day_threshold(
    section: Section, per_day: float, rule: str, domain: Domain, hop_seconds: float | None
) -> Threshold:
    """The score that normal sound exceeds `per_day` times a day: counted where the training clips are enough for that.

    Raises:
        ValueError: No hop is known, or as many alarms as scores are asked for.
    """
    if hop_seconds is None or hop_seconds <= 0:
        raise ValueError(f"threshold {rule}: needs the seconds from one score to the next")
    tail = per_day * hop_seconds / DAY_SECONDS
    if not 0 < tail < 1:
        raise ValueError(
            f"threshold {rule}: with a score every {hop_seconds:g} s there are {DAY_SECONDS / hop_seconds:g} a day"
        )
    scores = training_scores(section, domain)
    if tail * len(scores) >= 1:
        return Threshold(float(np.quantile(scores, 1 - tail, method="higher")), rule)
    found = gamma_threshold(section, tail, rule, domain)
    beyond = f"one score in {1 / tail:.0f} is beyond what {len(scores)} training clips show: the fitted tail is taken"
    return Threshold(found.value, rule, (*found.warnings, beyond))


def share_below(section: Section, score: float, domain: Domain = "both") -> float:
    """Share of the training clips whose score is below this one, 0 … 1."""
    return float((training_scores(section, domain) < score).mean())
