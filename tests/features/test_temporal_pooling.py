"""Log-mel energies pooled over time by rank."""

import librosa
import numpy as np
import pytest

from asd.features.temporal_pooling import pooled_log_mel, rank_pooled

COLUMNS = np.random.default_rng(0).normal(size=(9, 5))


def clip(n: int = 8_000) -> np.ndarray:
    return 0.1 * np.random.default_rng(1).normal(size=n)


@pytest.mark.parametrize("r", [0.0, 0.3, 0.9, 1.0])
def test_pooling_is_that_of_a_plain_loop(r: float) -> None:
    for band, found in enumerate(rank_pooled(COLUMNS, r)):
        ordered = sorted(COLUMNS[:, band].tolist(), reverse=True)
        weights = [r**i for i in range(9)]
        assert found == pytest.approx(sum(w * x for w, x in zip(weights, ordered, strict=True)) / sum(weights))


def test_its_ends_are_mean_and_maximum() -> None:
    np.testing.assert_allclose(rank_pooled(COLUMNS, 1), COLUMNS.mean(axis=0))
    np.testing.assert_array_equal(rank_pooled(COLUMNS, 0), COLUMNS.max(axis=0))


def test_the_order_of_time_does_not_count() -> None:
    np.testing.assert_array_equal(rank_pooled(COLUMNS, 0.7), rank_pooled(COLUMNS[::-1], 0.7))


def test_a_clip_is_pooled_from_its_log_mel_energies() -> None:
    mel = librosa.feature.melspectrogram(y=clip(), sr=16_000, n_fft=1024, hop_length=512, n_mels=32, pad_mode="reflect")
    expected = rank_pooled(10 * np.log10(mel).T, 0.8)
    np.testing.assert_allclose(pooled_log_mel(clip(), sample_rate=16_000, r=0.8, n_mels=32), expected, rtol=1e-5)


def test_the_deviation_over_time_follows_the_mean() -> None:
    mel = librosa.feature.melspectrogram(y=clip(), sr=16_000, n_fft=1024, hop_length=512, n_mels=32, pad_mode="reflect")
    columns = 10 * np.log10(mel).T
    found = pooled_log_mel(clip(), sample_rate=16_000, r=1, n_mels=32, deviation=True)
    np.testing.assert_allclose(found, [*columns.mean(axis=0), *columns.std(axis=0)], rtol=1e-4)


def test_a_short_event_shows_more_in_the_maximum() -> None:
    click = clip()
    click[4_000:4_100] += 0.9
    difference = [
        (pooled_log_mel(click, sample_rate=16_000, r=r) - pooled_log_mel(clip(), sample_rate=16_000, r=r)).mean()
        for r in (1.0, 0.9, 0.0)
    ]
    assert 0 < difference[0] < difference[1] < difference[2]


@pytest.mark.parametrize("r", [-0.1, 1.1, float("nan")])
def test_a_weight_out_of_range_is_refused(r: float) -> None:
    with pytest.raises(ValueError, match="must be between 0"):
        rank_pooled(COLUMNS, r)


@pytest.mark.parametrize("shape", [(100,), (2, 8_000), (0,)])
def test_another_waveform_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be one channel of at least 513 samples"):
        pooled_log_mel(np.zeros(shape), sample_rate=16_000, r=1)
