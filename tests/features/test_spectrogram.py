"""Pieces against librosa's spectrogram of the whole clip."""

from typing import Any

import librosa
import numpy as np
import pytest
import torch

from asd.config.components import SpectrogramSettings
from asd.data.waveforms import WaveformBank
from asd.features.input import SpectrogramPieces
from asd.features.mixup import mix
from asd.features.spectrogram import (
    clip_pieces,
    first_sample,
    magnitude,
    min_samples,
    n_columns,
    pair_mean,
    piece_columns,
    pieces,
    standardise,
    to_scale,
)

FULL = SpectrogramSettings(
    sample_rate=16000,
    n_fft=2046,
    hop_length=512,
    n_frames=32,
    n_bins=1024,
    scale="linear",
    pair_mean=False,
    pad="reflect",
    standardise="none",
)


def replace(settings: SpectrogramSettings, **changes: Any) -> SpectrogramSettings:
    """Other settings, checked."""
    return SpectrogramSettings.of({**settings.plain(), **changes})


INPUTS = {
    "1024": FULL,
    "512 by pair mean": replace(FULL, n_bins=512, pair_mean=True),
    "512 by n_fft": replace(FULL, n_bins=512, n_fft=1022),
}
LIBROSA_PAD = {"reflect": "reflect", "zeros": "constant"}


def noise(seconds: float, seed: int) -> np.ndarray:
    """A hum that comes and goes in noise, as int16."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16000)) / 16000
    hum = np.sin(2 * np.pi * (90 + 40 * seed) * time) * np.sin(2 * np.pi * 0.9 * time)
    sound = 0.2 * hum + 0.1 * random.standard_normal(len(time))
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)


def whole_spectrogram(waveform: np.ndarray, settings: SpectrogramSettings) -> np.ndarray:
    """Magnitudes of a whole clip by librosa, (bins, columns)."""
    spectrum = librosa.stft(
        waveform.astype(np.float64),
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        pad_mode=LIBROSA_PAD[settings.pad],
        dtype=np.complex128,
    )
    result = np.abs(spectrum)
    if settings.pair_mean:
        result = np.stack([(result[2 * row] + result[2 * row + 1]) / 2 for row in range(settings.n_bins)])
    return result


def bank_pieces(bank: WaveformBank, clip: int, settings: SpectrogramSettings, columns: torch.Tensor) -> torch.Tensor:
    windows = bank.windows(
        torch.full_like(columns, clip), first_sample(columns, settings), settings.window_length, pad=settings.pad
    )
    return pieces(windows, settings)


@pytest.fixture(scope="module")
def bank() -> WaveformBank:
    """Clips of several lengths; each has neighbours that padding must not see."""
    return WaveformBank.from_arrays([noise(seconds, seed) for seed, seconds in enumerate((1.5, 10, 12, 2.0001, 3))])


@pytest.mark.parametrize("pad", ["reflect", "zeros"])
@pytest.mark.parametrize("kind", INPUTS)
def test_every_piece_of_a_clip_equals_librosa(bank: WaveformBank, kind: str, pad: str) -> None:
    settings = replace(INPUTS[kind], pad=pad)
    spectrogram = whole_spectrogram(noise(10, 1) / 32768, settings)
    assert spectrogram.shape == (settings.n_bins, 313)
    assert n_columns(160000, settings) == 313
    columns = torch.arange(313 - 32 + 1)
    found = bank_pieces(bank, 1, settings, columns)
    assert found.shape == (282, 1, settings.n_bins, 32)
    assert found.dtype is torch.float32
    for column in columns.tolist():
        expected = spectrogram[:, column : column + 32]
        np.testing.assert_allclose(found[column, 0].numpy(), expected, rtol=0, atol=1e-6 * expected.max())


@pytest.mark.parametrize("pad", ["reflect", "zeros"])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize(("clip", "seconds"), [(0, 1.5), (2, 12), (3, 2.0001), (4, 3)])
def test_both_ends_of_clips_of_other_lengths(
    bank: WaveformBank, kind: str, pad: str, clip: int, seconds: float
) -> None:
    settings = replace(INPUTS[kind], pad=pad)
    spectrogram = whole_spectrogram(noise(seconds, clip) / 32768, settings)
    last = n_columns(int(bank.lengths[clip]), settings) - 32
    assert spectrogram.shape[1] == last + 32
    found = bank_pieces(bank, clip, settings, torch.tensor([0, last]))
    for piece, column in zip(found, (0, last), strict=True):
        expected = spectrogram[:, column : column + 32]
        np.testing.assert_allclose(piece[0].numpy(), expected, rtol=0, atol=1e-6 * expected.max())


@pytest.mark.parametrize("how", ["piece", "frequency", "time_mean", "none"])
@pytest.mark.parametrize("scale", ["linear", "power", "log"])
def test_pieces_against_numpy_step_by_step(bank: WaveformBank, scale: str, how: str) -> None:
    settings = replace(INPUTS["512 by pair mean"], scale=scale, standardise=how)
    spectrogram = whole_spectrogram(noise(10, 1) / 32768, settings)[:, 100:132]
    expected = {"linear": spectrogram, "power": spectrogram**2, "log": np.log(spectrogram / 1e-8)}[scale]
    axes = {"piece": (0, 1), "frequency": (1,), "time_mean": (1,), "none": None}[how]
    if axes:
        deviation = 1 if how == "time_mean" else expected.std(axes, keepdims=True)
        expected = (expected - expected.mean(axes, keepdims=True)) / deviation
    found = bank_pieces(bank, 1, settings, torch.tensor([100]))[0, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", INPUTS)
def test_crop_mix_transform_equals_mix_transform_crop(bank: WaveformBank, kind: str) -> None:
    """Report 2.3 and 2.4 mix whole clips; a pair of unequal clips ends with the shorter one."""
    settings = INPUTS[kind]
    weight = 0.37
    for clip, partner, length in ((1, 2, 160000), (2, 1, 160000), (4, 2, 48000)):
        mixed = (1 - weight) * bank_clip(bank, clip, length) + weight * bank_clip(bank, partner, length)
        spectrogram = whole_spectrogram(mixed, settings)
        last = n_columns(length, settings) - 32
        for column in (0, 1, 2, last // 2, last - 2, last - 1, last):
            start = first_sample(torch.tensor([column, column]), settings)
            windows = bank.windows(
                torch.tensor([clip, partner]),
                start,
                settings.window_length,
                pad=settings.pad,
                clip_length=torch.tensor([length, length]),
            )
            found = pieces(mix(windows[:1], windows[1:], torch.tensor([weight])), settings)[0, 0].numpy()
            expected = spectrogram[:, column : column + 32]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.max())


def bank_clip(bank: WaveformBank, clip: int, length: int) -> np.ndarray:
    start = int(bank.offsets[clip])
    return bank.samples[start : start + length].numpy() / 32768


@pytest.mark.parametrize("how", ["piece", "frequency"])
@pytest.mark.parametrize("scale", ["linear", "power", "log"])
def test_standardised_pieces_do_not_know_the_volume(bank: WaveformBank, scale: str, how: str) -> None:
    settings = replace(INPUTS["512 by pair mean"], scale=scale, standardise=how)
    windows = bank.windows(torch.tensor([1]), torch.tensor([5000]), settings.window_length, pad="reflect")
    loud = pieces(windows, settings)
    for factor in (3.0, 0.01, 0.001):
        torch.testing.assert_close(pieces(windows * factor, settings), loud, rtol=0, atol=1e-4)


@pytest.mark.parametrize("how", ["piece", "frequency"])
@pytest.mark.parametrize("scale", ["linear", "power", "log"])
@pytest.mark.parametrize("kind", INPUTS)
def test_silence_gives_zeros(kind: str, scale: str, how: str) -> None:
    settings = replace(INPUTS[kind], scale=scale, standardise=how)
    assert torch.equal(pieces(torch.zeros(2, settings.window_length), settings), torch.zeros(2, 1, settings.n_bins, 32))


def test_half_silence_is_finite() -> None:
    for scale in ("linear", "power", "log"):
        settings = replace(FULL, scale=scale, standardise="piece")
        windows = torch.randn(1, settings.window_length)
        windows[:, : settings.window_length // 2] = 0
        piece = pieces(windows, settings)
        assert torch.isfinite(piece).all()
        torch.testing.assert_close(piece.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        torch.testing.assert_close(piece.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("stride", [16, 32, 7])
@pytest.mark.parametrize("kind", INPUTS)
def test_pieces_of_a_whole_clip_share_their_transforms(bank: WaveformBank, kind: str, stride: int) -> None:
    settings = replace(INPUTS[kind], standardise="piece")
    for clip in (1, 3):
        length = int(bank.lengths[clip])
        columns = piece_columns(n_columns(length, settings), settings.n_frames, stride)
        edge = settings.n_fft // 2
        padded = bank.windows(torch.tensor([clip]), torch.tensor([-edge]), length + 2 * edge, pad="reflect")
        found = clip_pieces(padded, settings, stride)
        torch.testing.assert_close(found, bank_pieces(bank, clip, settings, torch.tensor(columns)), rtol=0, atol=1e-4)


def test_piece_columns() -> None:
    columns = piece_columns(313, 32, 16)
    assert len(columns) == 19
    assert columns == [*range(0, 281, 16), 281]
    assert piece_columns(64, 32, 16) == [0, 16, 32]
    assert piece_columns(32, 32, 16) == [0]
    assert piece_columns(33, 32, 16) == [0, 1]
    with pytest.raises(ValueError, match="31 columns has no piece of 32"):
        piece_columns(31, 32, 16)
    with pytest.raises(ValueError, match="stride=0"):
        piece_columns(313, 32, 0)


@pytest.mark.parametrize("pad", ["reflect", "zeros"])
def test_the_shortest_clip_gives_one_piece(pad: str) -> None:
    for settings in (replace(FULL, pad=pad), replace(FULL, pad=pad, n_frames=1), replace(FULL, pad=pad, n_frames=2)):
        shortest = min_samples(settings)
        waveform = noise(1.5, 3)[:shortest]
        assert n_columns(shortest, settings) >= settings.n_frames
        bank = WaveformBank.from_arrays([noise(1, 0), waveform, noise(1, 1)])
        found = bank_pieces(bank, 1, settings, torch.tensor([0]))[0, 0].numpy()
        padded = np.pad(waveform / 32768, settings.n_fft // 2, mode=LIBROSA_PAD[pad])
        expected = np.abs(librosa.stft(padded, n_fft=settings.n_fft, hop_length=512, center=False))
        np.testing.assert_allclose(found, expected[:, : settings.n_frames], rtol=0, atol=1e-6 * expected.max())
    assert n_columns(min_samples(FULL) - 1, FULL) < 32


def test_frame_arithmetic() -> None:
    assert FULL.window_length == 31 * 512 + 2046 == 17918
    assert first_sample(0, FULL) == -1023
    assert first_sample(torch.tensor([0, 2]), FULL).tolist() == [-1023, 1]
    assert n_columns(192000, FULL) == 376


def test_functions_leave_their_argument_alone() -> None:
    spectrogram = torch.rand(2, 8, 4)
    before = spectrogram.clone()
    pair_mean(spectrogram)
    for scale in ("linear", "power", "log"):
        to_scale(spectrogram, scale)
    for how in ("piece", "frequency", "time_mean", "none"):
        standardise(spectrogram, how)
    assert torch.equal(spectrogram, before)


def test_magnitude_in_double_precision() -> None:
    windows = torch.randn(2, FULL.window_length, dtype=torch.float64)
    expected = np.abs(librosa.stft(windows.numpy(), n_fft=2046, hop_length=512, center=False, dtype=np.complex128))
    np.testing.assert_allclose(magnitude(windows, FULL).numpy(), expected, rtol=0, atol=1e-12 * expected.max())


def test_settings_from_a_configuration_group() -> None:
    group = {"_target_": "asd.features.input.SpectrogramPieces", **FULL.plain()}
    assert SpectrogramPieces.of(group).plain() == group


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_bins": 512}, r"n_bins=512 does not fit .*n_fft=1022 or input\.n_bins=1024"),
        ({"n_bins": 1024, "pair_mean": True}, r"give input\.n_fft=4094 or input\.n_bins=512"),
        ({"n_fft": 2048, "n_bins": 512, "pair_mean": True}, r"n_bins=512 does not fit"),
        ({"n_fft": 2047}, "n_fft=2047: must be even"),
        ({"hop_length": 0}, "hop_length=0 is not allowed: give a whole number, at least 1"),
        ({"n_frames": -1}, "n_frames=-1"),
        ({"sample_rate": 0}, "sample_rate=0"),
        ({"scale": "db"}, "scale=db is not allowed: give one of linear, power, log"),
        ({"pad": "edge"}, "pad=edge is not allowed: give one of reflect, zeros"),
        ({"standardise": "clip"}, "standardise=clip is not allowed: give one of piece, frequency, time_mean, none"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(FULL, **change)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"\(2, 100\): must be \(windows, 17918\)"):
        pieces(torch.zeros(2, 100), FULL)
    with pytest.raises(ValueError, match="scale=mel"):
        to_scale(torch.zeros(1, 2, 3), "mel")
    with pytest.raises(ValueError, match="standardise=all"):
        standardise(torch.zeros(1, 2, 3), "all")
