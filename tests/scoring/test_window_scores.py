"""The baselines' scores from their networks' outputs."""

import math

import numpy as np
import pytest

from asd.scoring.window_scores import log_odds, squared_errors

EPSILON = 2.220446049250313e-16


def test_squared_errors_equal_a_slow_loop() -> None:
    random = np.random.default_rng(0)
    windows, reconstructions = random.normal(size=(2, 4, 10)).astype(np.float32)
    for row, found in enumerate(squared_errors(windows, reconstructions)):
        pairs = zip(windows[row].tolist(), reconstructions[row].tolist(), strict=True)
        assert found == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / 10, rel=1e-6)


def test_log_odds_as_each_years_code_writes_them() -> None:
    for p in (0.001, 0.3, 0.5, 0.75, 0.999):
        probability = np.array([p], np.float32)
        assert log_odds(probability, "corrected_2022")[0] == pytest.approx(math.log(1 - p) - math.log(p), rel=1e-4)
        assert log_odds(probability, "official_2021")[0] == pytest.approx(math.log((1 - p) - math.log(p)), rel=1e-4)


@pytest.mark.parametrize("formula", ["official_2021", "corrected_2022"])
def test_certain_networks_have_finite_scores_in_the_right_order(formula: str) -> None:
    found = log_odds(np.array([0.0, 1e-30, 0.2, 0.8, 1.0], np.float32), formula)  # type: ignore[arg-type]
    assert np.isfinite(found).all()
    assert (np.diff(found) <= 0).all()
    assert found[-1] == pytest.approx(math.log(EPSILON))


def test_the_formulas_rank_clips_differently() -> None:
    """Why both are offered: their means over images disagree."""
    steady, doubtful = np.full(2, 0.6, np.float32), np.array([0.999, 0.1], np.float32)
    corrected = [log_odds(p, "corrected_2022").mean() for p in (steady, doubtful)]
    official = [log_odds(p, "official_2021").mean() for p in (steady, doubtful)]
    assert corrected[0] > corrected[1]
    assert official[0] > official[1]
    assert official != pytest.approx(corrected)


def test_another_formula_is_refused() -> None:
    with pytest.raises(ValueError, match=r"log_odds\.formula=new: must be one of official_2021, corrected_2022"):
        log_odds(np.array([0.5], np.float32), "new")  # type: ignore[arg-type]
