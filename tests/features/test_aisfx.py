"""The front end of the aisfx network against soxr, librosa and the package's own code."""

import librosa
import numpy as np
import pytest
import torch

from asd.features.aisfx import AisfxPieces, compressed_mel, resample

PIECES = AisfxPieces(sample_rate=16_000, n_frames=20)


def noise(n: int) -> torch.Tensor:
    """Low-passed at 7 kHz, so that what resampling does next to half the rate does not matter."""
    white = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = torch.fft.rfft(white)
    spectrum[int(len(spectrum) * 7 / 8) :] = 0
    return 0.1 * torch.fft.irfft(spectrum, n)


@pytest.mark.parametrize(("rate", "to_rate"), [(16_000, 44_100), (44_100, 16_000), (48_000, 44_100), (8_000, 16_000)])
def test_a_tone_stays_a_tone(rate: int, to_rate: int) -> None:
    def tone(at: int) -> torch.Tensor:
        return torch.sin(2 * torch.pi * 1_234.5 * torch.arange(at, dtype=torch.float64) / at).unsqueeze(0)

    found = resample(tone(rate), rate, to_rate)
    assert found.shape == (1, to_rate)
    inner = slice(to_rate // 10, -to_rate // 10)  # silence before and after reaches into the ends
    torch.testing.assert_close(found[:, inner], tone(to_rate)[:, inner], rtol=0, atol=1e-4)


def test_resampling_agrees_with_soxr() -> None:
    waveform = noise(16_000)
    expected = librosa.resample(waveform.numpy(), orig_sr=16_000, target_sr=44_100, res_type="soxr_vhq")
    found = resample(waveform.unsqueeze(0), 16_000, 44_100)[0].numpy()
    assert np.abs(found - expected)[2_000:-2_000].max() < 1e-3 * np.abs(expected).max()


def test_nothing_happens_at_the_same_rate() -> None:
    waveform = torch.rand(2, 100)
    assert resample(waveform, 44_100, 44_100) is waveform


def test_mel_is_that_of_librosa() -> None:
    waveform = noise(30 * 1024).float()
    mel = librosa.feature.melspectrogram(
        y=waveform.numpy(), sr=44_100, n_mels=96, norm=1.0, htk=True, hop_length=1024, win_length=2048, center=False
    )
    expected = np.log10(mel * 10_000 + 1) / 9.457798957824707
    np.testing.assert_allclose(compressed_mel(waveform.unsqueeze(0))[0], expected, rtol=1e-4, atol=1e-5)


def test_a_piece_agrees_with_the_code_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = pytest.importorskip("aisfx.spectrogram.spectrogram_librosa")
    preprocessing = pytest.importorskip("aisfx.preprocessing")
    window = noise(PIECES.window_length).float()
    resampled = librosa.resample(window.numpy(), orig_sr=16_000, target_sr=44_100)
    monkeypatch.setattr(librosa, "load", lambda path, sr: (resampled, sr))  # the real one warns of old modules
    spectrogram = theirs.compute_spectrogram("window.wav", 44_100, 2048, 1024, 96, 0.0, 22_050.0)
    expected = preprocessing.spectrogram_normalize(spectrogram)[:, 1:21]  # theirs are centred, ours begin there
    found = PIECES(window.unsqueeze(0))[0, 0].numpy()
    np.testing.assert_allclose(found[:, 1:-1], expected[:, 1:-1], rtol=0, atol=2e-3)
