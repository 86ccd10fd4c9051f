"""The baselines' input: the organisers' features, and windows of them."""

import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from asd.config.components import LogMelSettings
from asd.data.logmel_datamodule import LogMelBank, clip_log_mel
from asd.data.waveforms import WaveformBank
from asd.features.logmel import clip_windows, log_mel, n_columns

INPUT = {
    "sample_rate": 16_000, "n_fft": 1024, "hop_length": 512, "n_mels": 128, "power": 2.0, "pad": "reflect",
    "n_frames": 5, "frame_hop": 1,
}  # fmt: skip
LIBROSAS = {"reflect": "reflect", "zeros": "constant"}


def settings(**changes: object) -> LogMelSettings:
    return LogMelSettings.of({"name": "128x5", **INPUT, **changes})


def organisers_features(waveform: np.ndarray, pad: str, **changes: float) -> np.ndarray:
    """(columns, mels) float32 as common.py of the organisers' code makes them."""
    values = {key: INPUT[key] for key in ("n_fft", "hop_length", "n_mels", "power")} | changes
    mel = librosa.feature.melspectrogram(y=waveform, sr=16_000, pad_mode=LIBROSAS[pad], **values)
    return (20.0 / values["power"] * np.log10(np.maximum(mel, sys.float_info.epsilon))).T


def recording(n_samples: int) -> np.ndarray:
    """int16: noise over a loud tone, so that most bins lie far below the loudest."""
    random = np.random.default_rng(n_samples)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(n_samples) / 16_000)
    return ((tone + 1e-3 * random.standard_normal(n_samples)) * 32767).astype(np.int16)


@pytest.mark.parametrize("pad", ["reflect", "zeros"])
@pytest.mark.parametrize("n_samples", [2048, 16_000, 16_100, 160_000])
def test_features_equal_librosa(n_samples: int, pad: str) -> None:
    samples = recording(n_samples)
    found = clip_log_mel(WaveformBank.from_arrays([samples]), 0, settings(pad=pad))
    expected = organisers_features(samples.astype(np.float32) / 32768, pad)
    assert found.shape == expected.shape == (n_columns(n_samples, settings()), 128)
    # a step of float32 beyond 64 dB is 8e-6
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)
    assert abs((found.numpy() - expected).mean(dtype=np.float64)) < 1e-7


def test_the_other_padding_is_another_feature() -> None:
    bank = WaveformBank.from_arrays([recording(16_000)])
    reflect, zeros = (clip_log_mel(bank, 0, settings(pad=pad)) for pad in ("reflect", "zeros"))
    differs = (reflect - zeros).abs().amax(dim=1) > 1e-9
    assert differs.nonzero()[:, 0].tolist() == [0, 31]  # one column at either end sees the padding


@pytest.mark.parametrize("changes", [{"power": 1.0}, {"n_mels": 64}, {"n_fft": 512, "hop_length": 128}])
def test_other_settings_equal_librosa_too(changes: dict[str, float]) -> None:
    samples = recording(16_000)
    found = clip_log_mel(WaveformBank.from_arrays([samples]), 0, settings(**changes))
    expected = organisers_features(samples.astype(np.float32) / 32768, "reflect", **changes)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_real_fans_equal_librosa(shared: Path) -> None:
    path = next((shared / "mimii_fan").rglob("*.wav"))
    samples = soundfile.read(path, dtype="int16")[0]
    found = clip_log_mel(WaveformBank.from_arrays([samples]), 0, settings())
    expected = organisers_features(soundfile.read(path, dtype="float32")[0], "reflect")
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_silence_lies_on_the_organisers_floor() -> None:
    found = log_mel(torch.zeros(4096), settings())
    np.testing.assert_allclose(found, 10 * np.log10(sys.float_info.epsilon), rtol=1e-6)


@pytest.mark.parametrize("hop", [1, 8])
def test_windows_are_the_organisers_vectors(hop: int) -> None:
    """common.py: `vectors[:, n_mels * t : n_mels * (t + 1)] = columns[t : t + n_vectors]`."""
    columns = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 3)))
    n_vectors = 20 - 5 + 1
    vectors = np.zeros((n_vectors, 3 * 5))
    for t in range(5):
        vectors[:, 3 * t : 3 * (t + 1)] = columns[t : t + n_vectors]
    np.testing.assert_array_equal(clip_windows(columns, 5, hop).flatten(1), vectors[::hop])


def test_the_bank_cuts_what_slices_cut() -> None:
    bank = WaveformBank.from_arrays([recording(n) for n in (4096, 5000, 9000)])
    held = LogMelBank.of_clips(bank, np.array([0, 2]), settings(), progress=False)
    clip, first = torch.tensor([2, 0, 2, 2]), torch.tensor([3, 4, 0, 13])
    found = held.windows(clip, first, 5)
    for window, row, start in zip(found, clip.tolist(), first.tolist(), strict=True):
        expected = clip_log_mel(bank, row, settings())[start : start + 5]
        assert torch.equal(window, expected)


def test_the_shortest_clip_gives_one_window() -> None:
    for pad in ("reflect", "zeros"):
        needed = settings(pad=pad).min_samples
        columns = clip_log_mel(WaveformBank.from_arrays([recording(needed)]), 0, settings(pad=pad))
        assert len(clip_windows(columns, 5, 1)) == 1
        assert n_columns(needed - 1, settings(pad=pad)) < 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_mels": 0}, r"n_mels=0 is not allowed: give a whole number, at least 1"),
        ({"power": -1.0}, r"power=-1\.0"),
        ({"n_fft": 1023}, r"input\.n_fft=1023: must be even"),
        ({"pad": "wrap"}, r"pad=wrap is not allowed: give one of reflect, zeros"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**changes)
