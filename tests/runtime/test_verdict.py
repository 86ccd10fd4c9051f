"""Thresholds that people ask for: what is promised, and where it cannot be."""

import argparse

import numpy as np
import pytest
from scipy import stats

from asd.scoring.thresholds import find_threshold as find_official
from asd.scoring.thresholds import tail_quantiles
from asd_runtime import cli
from asd_runtime.model_file import DOMAINS, Section
from asd_runtime.verdict import DEFAULT_RULE, ClipScore, Threshold, find_threshold, share_below

DAY = 86_400


def section(scores: np.ndarray, n_target: int = 0) -> Section:
    """A section with these training scores, the last of them of the target domain."""
    is_source = np.arange(len(scores)) < len(scores) - n_target
    clips = np.array([f"clip{i}" for i in range(len(scores))])
    fits = {"both": scores, "source": scores[is_source], "target": scores[~is_source]}
    gamma = {domain: fit for domain, part in fits.items() if (fit := tail_quantiles(part))}
    return Section(0, 0, clips, scores, is_source, gamma)


@pytest.mark.parametrize(("rule", "tail"), [("quantile=0.9", 0.1), ("quantile=0.975", 0.025), ("per-day=216", 0.025)])
def test_normal_sound_exceeds_it_as_often_as_was_asked(rule: str, tail: float) -> None:
    """Over many draws of few training scores the mean rate of false alarms is at most the one asked for."""
    random, rates = np.random.default_rng(0), []
    for _ in range(600):
        scores = random.lognormal(size=59)  # no gamma distribution
        found = find_threshold(Section(0, 0, np.empty(59, np.str_), scores, scores > 0), rule, hop_seconds=10)
        assert found.warnings == ()
        rates.append(stats.lognorm.sf(found.value, 1))
    n_above = int(tail * 60 + 1e-9)
    assert np.mean(rates) == pytest.approx(n_above / 60, rel=0.12)
    assert n_above / 60 <= tail


def test_each_domain_has_its_own_threshold() -> None:
    known = section(np.arange(1.0, 101.0), n_target=10)
    assert find_threshold(known, "quantile=0.9", domain="source").value == 82  # rank ⌈0.9 · 91⌉ of 90
    assert find_threshold(known, "quantile=0.9", domain="target").value == 100  # rank ⌈0.9 · 11⌉ of 10
    assert find_threshold(known, "quantile=0.9").value == 91
    assert (share_below(known, 95.5), share_below(known, 95.5, "target")) == (0.95, 0.5)
    few = find_threshold(known, "official", domain="target")
    assert "learnt from 10 training clips only" in few.warnings[0]


def test_what_few_clips_cannot_promise_is_read_off_the_tail_and_said() -> None:
    scores = np.minimum(np.random.default_rng(1).gamma(3.0, 1.0, 500), 9.0)
    found = find_threshold(section(scores), f"per-day={DAY / 1e4:g}", hop_seconds=1)
    assert found.value == pytest.approx(stats.gamma.ppf(1 - 1e-4, *stats.gamma.fit(scores)))
    assert found.value > scores.max()
    assert found.warnings == ("500 training clips can promise one false alarm in 501 scores, not in 1e+04: the fitted tail is taken",)  # fmt: skip # noqa: E501
    assert find_threshold(section(np.r_[scores, 99.0]), "per-day=1", hop_seconds=10).value == 99.0
    three = find_threshold(section(np.array([1.0, 1.0, 1.0])), "quantile=0.9")
    assert three.value == 1.0
    assert "their highest score is taken" in three.warnings[0]


def test_the_official_threshold_is_the_fitted_quantile_or_says_why_not() -> None:
    scores = np.random.default_rng(0).gamma(3.0, 0.1, 500)
    found = find_threshold(section(scores), "official")
    assert (found.value, found.warnings) == (find_official(scores).value, ())
    alike = find_threshold(section(np.ones(50)), "official")
    assert alike.value == 1.0
    assert "no gamma distribution fits the training scores: quantile=0.9 takes its place" in alike.warnings[0]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("quantile=1", "a share between 0 and 1"),
        ("quantile=x", "give official, quantile="),
        ("sometimes", "give official, quantile="),
        ("nan", "give official, quantile="),
        ("per-day=1", "needs the seconds from one score to the next"),
    ],
)
def test_mistakes_are_named(rule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_threshold(section(np.arange(30.0)), rule)


def test_more_alarms_than_scores_and_absent_domains_are_refused() -> None:
    known = section(np.arange(30.0))
    with pytest.raises(ValueError, match="with a score every 10 s there are 8640 a day"):
        find_threshold(known, "per-day=9000", hop_seconds=10)
    with pytest.raises(ValueError, match="no training clips of the target domain"):
        find_threshold(known, "quantile=0.5", domain="target")
    with pytest.raises(ValueError, match="domain=else: give one of both, source, target"):
        find_threshold(known, "quantile=0.5", domain="else")  # type: ignore[arg-type]


def test_the_nearest_clips_are_counted() -> None:
    names = np.array(["b", "a", "b", "", "c", "a", "b"])
    clip = ClipScore(1.0, 0, 0.5, Threshold(0.5, "0.5"), True, np.zeros(7), np.zeros(7), names)
    assert (clip.verdict, clip.nearest_clips(2), clip.nearest_clips(9)) == ("anomalous", ["b", "a"], ["b", "a", "c"])
    assert clip.plain()["nearest"] == names.tolist()


def test_the_command_line_names_the_rule_and_the_domains_without_importing_them() -> None:
    parser = argparse.ArgumentParser()
    options = cli.add_score(parser.add_subparsers()).parse_args(["fan.asd", "clip.wav"])
    assert (options.threshold, cli.DOMAINS) == (DEFAULT_RULE, DOMAINS)
