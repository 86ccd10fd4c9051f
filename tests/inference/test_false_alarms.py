"""What a threshold promises, on normal recordings that were held out."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from scipy import stats

import asd
from asd.inference.detector import Detector, Sound
from asd.simulator.dataset import simulate
from tests.support.factory import RATE, tone

ASKED = 0.1


def interval(n: int) -> tuple[float, float]:
    """The central 95 % of the share of n clips that exceed a threshold which a tenth exceeds."""
    return stats.binom.ppf(0.025, n, ASKED) / n, stats.binom.ppf(0.975, n, ASKED) / n


def share_flagged(
    detector: Detector, clips: Sequence[Sound], sections: Sequence[int], rate: int | None = None
) -> float:
    """The share of clips above the threshold that a tenth of normal sound is to exceed."""
    found = [
        detector.score(clip, section, sample_rate=rate, threshold=f"quantile={1 - ASKED}", domain="source")
        for clip, section in zip(clips, sections, strict=True)
    ]
    assert all(each.threshold.warnings == () for each in found)
    return sum(each.is_anomalous for each in found) / len(found)


def test_a_tenth_of_new_normal_sound_is_flagged_where_a_tenth_was_asked_for() -> None:
    clips = [tone(400, 0.3, seed) for seed in range(209)]
    detector = asd.QuickMethod("logmel_neighbour").fit(clips[:59], sample_rate=RATE)
    low, high = interval(150)
    assert low <= share_flagged(detector, clips[59:], [0] * 150, RATE) <= high


def by_section(folder: Path, pattern: str) -> tuple[list[Path], list[int]]:
    """Clips and their sections."""
    paths = sorted(folder.rglob(pattern))
    return paths, [int(path.name[8:10]) for path in paths]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [("logmel_neighbour",), ("temporal_pooling", "scorer=mahalanobis")])
def test_real_sound(shared: Path, settings: tuple[str, ...]) -> None:
    folder = shared / "uav" / "dev_data" / "uav"
    detector = asd.QuickMethod(*settings).fit(*by_section(folder, "*_source_train_normal_*.wav"))
    low, high = interval(80)
    assert low <= share_flagged(detector, *by_section(folder, "*_source_test_normal_*.wav")) <= high


@pytest.mark.slow
def test_a_simulated_machine(tmp_path: Path) -> None:
    simulate(tmp_path, machines=["fan"], sections=1, source=79, target=0, test=60, seed=0, progress=False)
    detector = asd.QuickMethod("temporal_pooling", "scorer=mahalanobis").fit(
        *by_section(tmp_path, "*_source_train_*.wav")
    )
    low, high = interval(60)
    assert low <= share_flagged(detector, *by_section(tmp_path, "*_source_test_normal_*.wav")) <= high
