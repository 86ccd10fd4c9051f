"""From waveforms to the input of the baselines: log-mel energies and windows of them, as of librosa.

The organisers' features are `20 / power · log10(max(librosa.feature.melspectrogram(…), float64 epsilon))`, every window
of `n_frames` columns a vector (dcase2021_task2_baseline_ae, common.py). librosa transforms in float64 and rounds to
float32 on the way; the logarithm is then NumPy's in float32, whose last digits lean to one side by 2e-6 dB on some
processors. A score sums a hundred thousand of them, so the same logarithm is taken here.
"""

import sys
from functools import lru_cache

import librosa
import numpy as np
import torch
from torch import Tensor

from asd.config.components import LogMelSettings

EPSILON = sys.float_info.epsilon  # the organisers' floor below the logarithm: 2.2e-16, −156.5 dB


def log_mel(padded: Tensor, settings: LogMelSettings) -> Tensor:
    """Log-mel energies of a clip.

    Args:
        padded: (n_fft / 2 + clip + n_fft / 2,) waveform in [−1, 1), padded at both ends.
        settings: Of the input.

    Returns:
        (columns, n_mels) float32, in dB, on the CPU; column c is centred on sample c · hop_length of the clip.
    """
    hann = torch.hann_window(settings.n_fft, dtype=torch.float64)
    spectrum = torch.stft(
        padded.double(), settings.n_fft, settings.hop_length, window=hann, center=False, return_complex=True
    )
    filters = mel_filters(settings.sample_rate, settings.n_fft, settings.n_mels)
    mel = (spectrum.abs().pow_(settings.power).T @ filters).float().numpy()
    return torch.from_numpy(20 / settings.power * np.log10(np.maximum(mel, EPSILON)))


@lru_cache(maxsize=4)
def mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> Tensor:
    """(n_fft / 2 + 1, n_mels) float64: librosa's filters, which it rounds to float32."""
    return torch.from_numpy(librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels).T).double()


def n_columns(n_samples: int, settings: LogMelSettings) -> int:
    """Columns of a clip."""
    return 1 + n_samples // settings.hop_length


def clip_windows(columns: Tensor, n_frames: int, hop: int) -> Tensor:
    """The windows of a clip, one every `hop` columns.

    Args:
        columns: (columns, n_mels), at least `n_frames` of them.
        n_frames: Columns of a window.
        hop: From one window to the next, in columns.

    Returns:
        (windows, n_frames, n_mels), a view.
    """
    return columns.unfold(0, n_frames, hop).transpose(1, 2)
