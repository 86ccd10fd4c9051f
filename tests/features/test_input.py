"""Inputs: which samples a piece takes, and what becomes of them."""

from dataclasses import replace
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from asd.features.aisfx import AisfxPieces
from asd.features.fbank import FbankPieces
from asd.features.input import Input, LogMelPieces, SpectrogramPieces, Waveform
from asd.features.spectrogram import SpectrogramSettings, clip_pieces, first_sample, min_samples, n_columns, pieces

SETTINGS: dict[str, Any] = {
    "sample_rate": 16_000, "n_fft": 1022, "hop_length": 512, "n_frames": 8, "n_bins": 512, "scale": "linear",
    "pair_mean": False, "pad": "reflect", "standardise": "piece",
}  # fmt: skip
LOG_MEL = LogMelPieces(sample_rate=16_000, n_fft=1024, hop_length=512, n_mels=64, n_frames=8, standardise="none")
INPUTS: dict[str, Input] = {
    "spectrogram": SpectrogramPieces(**SETTINGS),
    "log-mel": LOG_MEL,
    "waveform": Waveform(sample_rate=16_000, seconds=0.5),
    "aisfx": AisfxPieces(sample_rate=16_000, n_frames=16),
    "filter bank": FbankPieces(sample_rate=16_000, n_frames=16, window="povey", gain=32768.0, mean=15.0, deviation=6.0),
}


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=INPUTS)
def source(request: pytest.FixtureRequest) -> Input:
    return INPUTS[request.param]


def test_spectrogram_pieces_are_the_same_bytes_as_its_functions() -> None:
    source, settings = SpectrogramPieces(**SETTINGS), SpectrogramSettings(**SETTINGS)
    windows, clips = noise(3, settings.window_length), noise(2, 9_000)
    assert torch.equal(source(windows, 2.0), pieces(windows, settings, 2.0))
    assert torch.equal(source.of_clips(clips, 3, 2.0), clip_pieces(clips, settings, 3, 2.0))
    assert source.min_samples == min_samples(settings)
    for n_samples in (source.min_samples, 5_000, 9_001):
        assert source.n_positions(n_samples) == n_columns(n_samples, settings) - settings.n_frames + 1
    assert source.first_sample(torch.tensor([0, 7])).tolist() == [first_sample(0, settings), first_sample(7, settings)]


def test_the_pieces_of_a_clip_are_those_of_its_windows(source: Input) -> None:
    n_samples = source.min_samples + 5 * source.hop_length + 17
    padded = noise(2, n_samples + 2 * source.margin)
    found = source.of_clips(padded, 2)
    starts = [int(source.first_sample(torch.tensor(at))) + source.margin for at in source.positions(n_samples, 2)]
    assert len(starts) == 4
    windows = torch.cat(
        [clip[start : start + source.window_length].unsqueeze(0) for clip in padded for start in starts]
    )
    torch.testing.assert_close(found, source(windows), rtol=1e-4, atol=1e-5)
    assert starts[-1] + source.window_length <= padded.shape[1] < starts[-1] + source.window_length + source.hop_length


def test_sizes_are_those_of_a_piece(source: Input) -> None:
    piece = source(noise(1, source.window_length))
    sizes = source.sizes
    assert piece.shape[1:] == ((1, sizes["n_bins"], sizes["n_frames"]) if "n_bins" in sizes else (sizes["n_samples"],))
    assert piece.dtype == torch.float32


def test_the_shortest_clip_has_one_piece(source: Input) -> None:
    assert source.positions(source.min_samples, 1) == [0]
    assert source.n_positions(source.min_samples) == 1
    with pytest.raises(ValueError, match=f"too short: the input needs {source.min_samples}"):
        source.positions(source.min_samples - 1, 1)
    with pytest.raises(ValueError, match="stride=0"):
        source.positions(source.min_samples, 0)


def test_windows_of_another_length_are_refused(source: Input) -> None:
    with pytest.raises(ValueError, match=rf"must be \(windows, {source.window_length}\)"):
        source(noise(1, source.window_length + 1))


def test_full_scale_is_a_unit(source: Input) -> None:
    windows = noise(2, source.window_length)
    torch.testing.assert_close(source(32_768 * windows, 32_768.0), source(windows), rtol=1e-4, atol=1e-5)


def test_silence_is_finite(source: Input) -> None:
    assert source(torch.zeros(1, source.window_length)).isfinite().all()


def test_log_mel_is_that_of_librosa() -> None:
    window = noise(1, LOG_MEL.window_length)
    expected = librosa.feature.melspectrogram(
        y=window[0].numpy(), sr=16_000, n_fft=1024, hop_length=512, n_mels=64, center=False
    )
    np.testing.assert_allclose(LOG_MEL(window)[0, 0], np.log(np.maximum(expected, 1e-10)), rtol=1e-4, atol=1e-4)


def test_log_mel_is_standardised_as_asked() -> None:
    window = noise(2, LOG_MEL.window_length)
    plain = LOG_MEL(window)
    centred = replace(LOG_MEL, standardise="time_mean")(window)
    torch.testing.assert_close(centred, plain - plain.mean(dim=3, keepdim=True))
    whole = replace(LOG_MEL, standardise="piece")(window)
    torch.testing.assert_close(whole.std(dim=(1, 2, 3), correction=0), torch.ones(2))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: replace(LOG_MEL, n_fft=1023), "n_fft=1023: must be even"),
        (lambda: replace(LOG_MEL, n_mels=0), "n_mels=0"),
        (lambda: replace(LOG_MEL, n_mels=500), r"n_mels=500: \d+ filters are narrower than the bins of n_fft=1024"),
        (lambda: replace(LOG_MEL, f_min=9_000.0), r"f_min=9000.0.*f_max ≤ 8000 Hz"),
        (lambda: replace(LOG_MEL, pad="wrap"), "input.pad=wrap: must be one of reflect, zeros"),
        (lambda: replace(LOG_MEL, standardise="clip"), "input.standardise=clip"),
        (lambda: Waveform(sample_rate=16_000, seconds=0.0), "input.seconds=0.0: must give at least one sample"),
        (lambda: Waveform(sample_rate=16_000, seconds=1.0, hop_length=0), "input.hop_length=0"),
        (lambda: AisfxPieces(sample_rate=0), "input.sample_rate=0"),
        (lambda: AisfxPieces(sample_rate=16_000, n_frames=7), "input.n_frames=7: must be at least 8"),
    ],
)
def test_a_setting_out_of_range_is_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
