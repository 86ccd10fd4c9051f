"""The reference system: nearest neighbour on mean log-mel."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from asd.scoring.logmel import mean_log_mel, nearest_distance
from asd.scoring.metrics import auc


@pytest.mark.parametrize("n_samples", [1024, 1100, 16_000, 160_000])
@pytest.mark.parametrize("sample_rate", [16_000, 22_050])
def test_features_equal_librosa(n_samples: int, sample_rate: int) -> None:
    waveform = np.random.default_rng(n_samples).normal(0, 0.1, n_samples).astype(np.float32)
    mel = librosa.feature.melspectrogram(
        y=waveform, sr=sample_rate, n_fft=1024, hop_length=512, n_mels=128, power=2.0, pad_mode="constant"
    )
    expected = (10 * np.log10(np.maximum(mel, 1e-10))).mean(axis=1)
    np.testing.assert_allclose(mean_log_mel(waveform, sample_rate), expected, atol=1e-3)


def test_a_clip_shorter_than_one_window_has_features() -> None:
    assert np.isfinite(mean_log_mel(np.full(3, 0.5), 16_000)).all()


def test_silence_is_the_floor() -> None:
    np.testing.assert_allclose(mean_log_mel(np.zeros(4000), 16_000), -100)


@pytest.mark.parametrize("shape", [(0,), (2, 800)])
def test_only_one_channel_with_samples_has_features(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="waveform has shape"):
        mean_log_mel(np.zeros(shape), 16_000)


def test_distances_equal_a_slow_loop() -> None:
    features = np.random.default_rng(0).normal(size=(12, 5))
    is_train = np.arange(12) % 2 == 0
    for clip, found in enumerate(nearest_distance(features, is_train)):
        others = [other for other in range(12) if is_train[other] and other != clip]
        expected = min(sum((features[clip] - features[o]) ** 2) ** 0.5 for o in others)
        assert found == pytest.approx(expected, abs=1e-12)


def test_a_training_clip_is_not_its_own_neighbour() -> None:
    """FACTS 5: measured against itself every training clip scores 0."""
    distance = nearest_distance(np.array([[0.0], [2.0], [5.0], [5.0]]), np.array([True, True, True, False]))
    np.testing.assert_array_equal(distance, [2, 2, 3, 0])


def test_one_training_clip_is_too_few() -> None:
    with pytest.raises(ValueError, match="1 training clips in a section"):
        nearest_distance(np.zeros((3, 2)), np.array([True, False, False]))


def test_real_fans_are_told_apart(shared: Path) -> None:
    """On this small set loudness alone separates; mean AUC of the four section × domain sets about 0.87."""
    areas = []
    for section in ("00", "01"):
        paths = sorted((shared / "mimii_fan").glob(f"**/section_{section}_*.wav"))
        features = np.array([mean_log_mel(*soundfile.read(path, dtype="float32")) for path in paths])
        is_train = np.array(["_train_" in path.name for path in paths])
        score = nearest_distance(features, is_train)
        for domain in ("source", "target"):
            used = np.array([f"_{domain}_test_" in path.name for path in paths])
            is_anomaly = np.array(["_anomaly_" in path.name for path in paths])
            areas.append(auc(is_anomaly[used], score[used]))
    assert np.mean(areas) > 0.8
