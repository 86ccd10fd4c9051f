"""Thresholds against a published run's, against the likelihood itself, and where the fit collapses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from asd.scoring import thresholds as decisions
from asd.scoring.thresholds import (
    Gamma,
    decide,
    find_threshold,
    group_thresholds,
    sound_threshold,
    train_percentile,
)


def read_column(path: Path) -> np.ndarray:
    with path.open(newline="") as lines:
        return np.array([float(value) for _, value in csv.reader(lines)])


def test_published_thresholds_and_decisions(shared: Path) -> None:
    run = shared / "official_2021" / "ae_run"
    count = 0
    for machine, published in json.loads((run / "gamma_params.json").read_text()).items():
        threshold = Gamma(published["a"], published["loc"], published["scale"]).quantile(0.9)
        assert threshold == pytest.approx(published["threshold_q90"], abs=1e-12)
        for path in run.glob(f"anomaly_score_{machine}_*.csv"):
            wanted = read_column(run / path.name.replace("anomaly_score", "decision_result"))
            np.testing.assert_array_equal(decide(read_column(path), threshold), wanted == 1)
            count += len(wanted)
    assert count == 8621


def test_the_fit_is_the_most_likely_one() -> None:
    scores = np.random.default_rng(1).gamma(4.0, 0.3, size=4000) + 7.0
    found = find_threshold(scores)
    assert found.fit is not None
    assert found.is_sound
    ours = stats.gamma.logpdf(scores, found.fit.shape, found.fit.loc, found.fit.scale).sum()
    assert ours >= stats.gamma.logpdf(scores, 4.0, 7.0, 0.3).sum()
    assert found.value == pytest.approx(stats.gamma.ppf(0.9, 4.0, 7.0, 0.3), abs=0.1)
    assert found.flagged == pytest.approx(0.1, abs=0.01)
    assert find_threshold(scores, quantile=0.5).flagged == pytest.approx(0.5, abs=0.02)


def test_only_what_lies_above_is_an_anomaly() -> None:
    assert decide([1.0, 2.0, np.nextafter(2.0, 3.0)], 2.0).tolist() == [False, False, True]


def test_the_empirical_quantile() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 102.0))
    found = find_threshold(scores, method="empirical")
    assert (found.value, found.fit, found.warnings) == (91.0, None, ())
    assert found.flagged == pytest.approx(10 / 101)


def test_the_published_collapse_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """ToyCar of the published run: shape 0.0386, and every clip of the machine is flagged."""
    collapsed = Gamma(0.03859436663229874, 7.808740139007567, 0.9706415176154901)
    monkeypatch.setattr(decisions, "fit_gamma", lambda scores: collapsed)
    scores = 8.0 + np.random.default_rng(0).gamma(10.0, 0.2, size=500)
    found = find_threshold(scores)
    assert found.value == collapsed.quantile(0.9)  # said, not replaced
    assert not found.is_sound
    said = "\n".join(found.warnings)
    assert "shape 0.0386 is below 0.1" in said
    assert "is outside the training scores" in said
    assert "flags 100% of the training clips where 10% were asked for" in said


def test_a_real_collapse_is_said() -> None:
    """One far outlier among small scores makes the fit itself collapse."""
    scores = np.append(np.random.default_rng(0).gamma(2.0, 0.01, size=1000), 3.0)
    found = find_threshold(scores)
    assert any("a spike, not a model of scores" in warning for warning in found.warnings)
    assert find_threshold(scores, method="empirical").is_sound


def test_a_fit_that_fails_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(scores: np.ndarray) -> None:
        raise stats.FitError("did not converge")

    monkeypatch.setattr(decisions.stats.gamma, "fit", fail)
    with pytest.raises(ValueError, match=r"no gamma distribution fits the 3 training scores \(did not .*'empirical'"):
        find_threshold([1.0, 2.0, 3.0])
    monkeypatch.setattr(decisions, "fit_gamma", lambda scores: Gamma(1.0, np.nan, 1.0))
    with pytest.raises(ValueError, match=r"has no 0\.9 quantile; take the threshold 'empirical'"):
        find_threshold([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([1.0, np.nan, np.inf], {}, "2 training scores are NaN or infinite"),
        ([], {}, "0 training scores, all identical"),
        ([2.0, 2.0], {}, "2 training scores, all identical"),
        ([1.0, 2.0], {"quantile": 1.0}, "quantile is 1.0; give a share between 0 and 1"),
        ([1.0, 2.0], {"method": "normal"}, "threshold is 'normal'; give one of gamma, empirical"),
    ],
)
def test_bad_input_is_refused(scores: list[float], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_threshold(scores, **options)


def test_the_percentile_by_a_slow_count() -> None:
    random = np.random.default_rng(0)
    training = random.integers(0, 6, 25).astype(float)  # with ties
    scores = random.normal(2.5, 3.0, (4, 5)).round()
    expected = [[sum(t < score for t in training) / 25 for score in row] for row in scores]
    np.testing.assert_allclose(train_percentile(scores, training), expected, atol=1e-15)
    assert np.isnan(train_percentile([1.0, 2.0], [])).all()


def test_a_sound_threshold_is_the_official_one_or_says_why_not() -> None:
    scores = np.random.default_rng(0).gamma(3.0, 0.1, 2000)
    assert sound_threshold(scores) == find_threshold(scores)
    for collapsed in (np.full(50, 0.25), np.r_[np.full(99, 1e-9), 1.0]):
        found = sound_threshold(collapsed)
        assert (found.value, found.method) == (np.quantile(collapsed, 0.9), "empirical")
        assert "the gamma fit failed" in found.warnings[0]
    for bad in ([], [1.0, np.nan]):
        with pytest.raises(ValueError, match="needs the finite scores of training clips"):
            sound_threshold(bad)


def test_every_section_and_domain_has_a_threshold_of_its_own() -> None:
    random = np.random.default_rng(2)
    section = np.repeat([0, 0, 1, 1], [40, 3, 40, 1])
    domain = np.repeat(["source", "target", "source", "target"], [40, 3, 40, 1])
    scores = random.gamma(3.0, 0.1, 84) + section
    found = group_thresholds(scores, section, domain, lambda group: find_threshold(group, method="empirical"))
    assert [(one.section, one.domain, one.n_training) for one in found] == [
        (0, "source", 40), (0, "target", 3), (1, "source", 40), (1, "target", 1),
    ]  # fmt: skip
    for one in found[:3]:
        here = [s for s, n, d in zip(scores, section, domain, strict=True) if (n, d) == (one.section, one.domain)]
        assert one.threshold is not None
        assert one.threshold.value == np.quantile(here, 0.9)
    assert found[0].threshold is not None
    assert found[0].threshold.is_sound
    assert found[1].threshold is not None
    assert found[1].threshold.warnings == ("learnt from 3 training clips only",)
    assert (found[3].threshold, "all identical" in found[3].problem) == (None, True)
