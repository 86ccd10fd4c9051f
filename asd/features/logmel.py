"""From waveforms to the input of the baselines: log-mel energies and windows of them, as of librosa.

The organisers' features are `20 / power · log10(max(librosa.feature.melspectrogram(…), float64 epsilon))`, every window
of `n_frames` columns a vector (dcase2021_task2_baseline_ae, common.py). librosa transforms in float64 and rounds to
float32 on the way; the logarithm is then NumPy's in float32, whose last digits lean to one side by 2e-6 dB on some
processors. A score sums a hundred thousand of them, so the same logarithm is taken here.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import librosa
import numpy as np
import torch
from torch import Tensor

from asd.features.spectrogram import CHOICES, check_choice

EPSILON = sys.float_info.epsilon  # the organisers' floor below the logarithm: 2.2e-16, −156.5 dB


@dataclass(frozen=True)
class LogMelSettings:
    """How a waveform becomes windows.

    Attributes:
        sample_rate: Of the recordings, in Hz.
        n_fft: Length of the Fourier transform and of its Hann window, in samples; even.
        hop_length: From one column to the next, in samples.
        n_mels: Mel filters, Slaney's scale and normalisation.
        power: Of the magnitude; 2 gives energies.
        pad: What lies beyond a clip's ends: its mirror image ("reflect") or silence ("zeros").
        n_frames: Columns of a window.
        frame_hop: From one training window of a clip to the next, in columns.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    power: float
    pad: Literal["reflect", "zeros"]
    n_frames: int
    frame_hop: int

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "power", "n_frames", "frame_hop"):
            if not getattr(self, name) > 0:
                raise ValueError(f"input.{name}={getattr(self, name)}: must be greater than 0")
        check_choice("pad", self.pad, CHOICES["pad"])
        if self.n_fft % 2:
            raise ValueError(f"input.n_fft={self.n_fft}: must be even, so that a column has a middle sample")

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that gives a whole window and can be padded."""
        whole_window = (self.n_frames - 1) * self.hop_length
        return max(whole_window, self.n_fft // 2 + 1 if self.pad == "reflect" else 1)


def logmel_settings(values: Mapping[str, Any]) -> LogMelSettings:
    """The settings that a configuration's input describes; its `name` is only what people call it."""
    return LogMelSettings(**{key: value for key, value in values.items() if key != "name"})


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
