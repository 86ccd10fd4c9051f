"""Kaldi's filter bank against a plain loop in float64."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asd.features.fbank import FbankPieces, log_fbank
from tests.support.backbones import noise

PIECES = FbankPieces(sample_rate=16_000, n_frames=3, window="povey", gain=32768.0, mean=15.0, deviation=6.0)


def mel(frequency: float) -> float:
    return 1127 * math.log(1 + frequency / 700)


def slow(waveform: NDArray[np.float64], window: str) -> NDArray[np.float64]:
    """One frame, one filter and one bin after the other."""
    corner = [mel(20) + number * (mel(8000) - mel(20)) / 129 for number in range(130)]
    rows = []
    for start in range(0, len(waveform) - 399, 160):
        frame = waveform[start : start + 400] - waveform[start : start + 400].mean()
        frame = np.array([value - 0.97 * frame[max(0, at - 1)] for at, value in enumerate(frame)])
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)
        power = np.abs(np.fft.fft(frame * (hann**0.85 if window == "povey" else hann), 512)) ** 2
        row = []
        for left, centre, right in zip(corner, corner[1:], corner[2:], strict=False):
            energy = 0.0
            for number in range(256):  # the bin at 8 kHz lies on the end of the last filter
                at = mel(number * 16_000 / 512)
                if left < at < right:
                    energy += power[number] * min((at - left) / (centre - left), (right - at) / (right - centre))
            row.append(math.log(max(energy, np.finfo(np.float32).eps)))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("window", ["povey", "hann"])
def test_it_is_that_of_a_plain_loop(window: str) -> None:
    waveform = noise(1, 400 + 160).double() * 300 + 50
    found = log_fbank(waveform, window)
    np.testing.assert_allclose(found[0], slow(waveform[0].numpy(), window), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_fbank(waveform.float(), window), found.float(), rtol=1e-4, atol=2e-3)


def test_a_piece_is_scaled_as_the_data_that_the_network_knows() -> None:
    windows = (noise(2, PIECES.window_length) * 3000).round()
    expected = (log_fbank(windows, "povey") - 15) / 12
    found = PIECES(windows, full_scale=32768.0)
    assert found.shape == (2, 1, 128, 3)
    torch.testing.assert_close(found, expected.mT.unsqueeze(1), rtol=1e-5, atol=1e-5)
    assert PIECES(torch.zeros(1, PIECES.window_length)).isfinite().all()


def test_a_clip_of_ten_seconds_is_one_piece_of_998_columns() -> None:
    whole = FbankPieces(sample_rate=16_000, n_frames=998, window="hann", gain=1.0, mean=-4.0, deviation=4.0)
    assert whole.positions(160_000, 16) == [0]
    assert whole.sizes == {"n_bins": 128, "n_frames": 998}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"sample_rate": 44_100}, r"input\.sample_rate=44100: .*data\.sample_rate=resample"),
        ({"n_frames": 0}, r"input\.n_frames=0"),
        ({"window": "kaiser"}, r"input\.window=kaiser"),
        ({"deviation": 0.0}, r"input\.deviation=0\.0"),
    ],
)
def test_settings_are_checked(setting: dict[str, object], message: str) -> None:
    settings = {"sample_rate": 16_000, "n_frames": 3, "window": "hann", "gain": 1.0, "mean": 0.0, "deviation": 1.0}
    with pytest.raises(ValueError, match=message):
        FbankPieces(**(settings | setting))
