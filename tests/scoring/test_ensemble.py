"""Averages of systems, and the report's four submissions."""

import numpy as np
import pytest
from scipy import stats

from asd.scoring.ensemble import Submission, combine, oracle_order, submissions

GENERATOR = np.random.default_rng(0)
IS_TRAIN = np.arange(30) % 3 == 0
SYSTEMS = {"a": GENERATOR.normal(size=30), "b": np.round(GENERATOR.normal(5, 20, size=30))}


def test_mean_is_the_plain_mean() -> None:
    expected = [(a + b) / 2 for a, b in zip(*SYSTEMS.values(), strict=True)]
    np.testing.assert_allclose(combine(SYSTEMS, "mean", is_train=IS_TRAIN), expected)


def test_zscore_scales_by_training_scores_only() -> None:
    expected = np.zeros(30)
    for score in SYSTEMS.values():
        training = [s for s, t in zip(score, IS_TRAIN, strict=True) if t]
        centre = sum(training) / len(training)
        width = (sum((s - centre) ** 2 for s in training) / len(training)) ** 0.5
        expected += (score - centre) / width / 2
    np.testing.assert_allclose(combine(SYSTEMS, "zscore", is_train=IS_TRAIN), expected)
    louder = {name: np.where(IS_TRAIN, score, score * 100) for name, score in SYSTEMS.items()}
    np.testing.assert_array_equal(
        combine(SYSTEMS, "zscore", is_train=IS_TRAIN)[IS_TRAIN],
        combine(louder, "zscore", is_train=IS_TRAIN)[IS_TRAIN],
    )


def test_rank_is_the_average_rank_among_test_clips() -> None:
    ranks = [stats.rankdata(score[~IS_TRAIN]) / (~IS_TRAIN).sum() for score in SYSTEMS.values()]
    found = combine(SYSTEMS, "rank", is_train=IS_TRAIN)
    np.testing.assert_allclose(found[~IS_TRAIN], np.mean(ranks, axis=0))


def test_a_training_clip_ranks_where_it_would_stand() -> None:
    scores = {"a": np.array([1.0, 2.0, 3.0, 0.0, 2.0, 9.0])}
    is_train = np.array([False] * 3 + [True] * 3)
    np.testing.assert_allclose(combine(scores, "rank", is_train=is_train), np.array([1, 2, 3, 0.5, 2, 3.5]) / 3)


@pytest.mark.parametrize("how", ["mean", "zscore", "rank"])
def test_the_order_of_systems_does_not_matter(how: str) -> None:
    turned = dict(reversed(SYSTEMS.items()))
    np.testing.assert_array_equal(combine(SYSTEMS, how, is_train=IS_TRAIN), combine(turned, how, is_train=IS_TRAIN))


def test_what_cannot_be_combined_is_named() -> None:
    with pytest.raises(ValueError, match="no system to combine"):
        combine({}, "mean", is_train=IS_TRAIN)
    with pytest.raises(ValueError, match="ensemble is 'median'; give one of mean, zscore, rank"):
        combine(SYSTEMS, "median", is_train=IS_TRAIN)
    with pytest.raises(ValueError, match="c: 3 scores for 30 clips"):
        combine(SYSTEMS | {"c": np.zeros(3)}, "mean", is_train=IS_TRAIN)
    with pytest.raises(ValueError, match="c: 30 scores are NaN"):
        combine(SYSTEMS | {"c": np.full(30, np.nan)}, "mean", is_train=IS_TRAIN)
    with pytest.raises(ValueError, match="c: zscore needs training clips whose scores differ"):
        combine(SYSTEMS | {"c": np.where(IS_TRAIN, 0.1, 0.7)}, "zscore", is_train=IS_TRAIN)
    with pytest.raises(ValueError, match="a: zscore needs training clips"):
        combine(SYSTEMS, "zscore", is_train=np.zeros(30, bool))
    with pytest.raises(ValueError, match="a: rank needs test clips"):
        combine(SYSTEMS, "rank", is_train=np.ones(30, bool))


def test_the_oracle_puts_the_best_first() -> None:
    assert oracle_order({"b": 0.7, "c": 0.9, "a": 0.7}) == ["c", "a", "b"]
    with pytest.raises(ValueError, match="b: the harmonic mean AUC is NaN"):
        oracle_order({"a": 0.5, "b": float("nan")})


def test_four_submissions_of_six_systems() -> None:
    first, second, third, fourth = submissions(list("fedcba"))
    assert first == Submission("submission1", ("f",), 1, True)
    assert second == Submission("submission2", ("f", "e", "d"), 3, True)
    assert third == Submission("submission3", tuple("fedcb"), 5, True)
    assert fourth == Submission("submission4", tuple("fedcba"), None, False)
    assert [s.note for s in (first, second, third, fourth)] == ["oracle"] * 3 + ["all 6"]


def test_submissions_take_what_there_is_and_say_so() -> None:
    assert [s.note for s in submissions(["a", "b"])] == [
        "oracle",
        "oracle, 2 of 3 members",
        "oracle, 2 of 5 members",
        "all 2",
    ]
    assert submissions(["a"])[3].note == "only 1 member"
    for ordered in ([], ["a", "a"]):
        with pytest.raises(ValueError, match="at least one system, each once"):
            submissions(ordered)
