"""Windows of log-mel energies in numpy, as asd/features/logmel.py: float64 transform, float32 logarithm."""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from asd_runtime.framing import FULL_SCALE, column_windows, first_columns, groups, hann, padded
from asd_runtime.model_file import LogMelInput

EPSILON = sys.float_info.epsilon  # floor below the logarithm


def clip_windows(
    samples: NDArray[np.int16], settings: LogMelInput, mel_filters: NDArray[np.float64]
) -> Iterator[NDArray[np.float32]]:
    """The windows of a clip in groups, each (windows, n_frames, n_mels), in dB."""
    wave = padded(samples, settings)
    for starts in groups(first_columns(len(samples), settings)):
        first = int(starts[0])
        columns = log_mel(wave, first, int(starts[-1]) - first + settings.n_frames, settings, mel_filters)
        yield np.stack([columns[start : start + settings.n_frames] for start in starts - first])


def log_mel(
    wave: NDArray[np.int16], first: int, count: int, settings: LogMelInput, mel_filters: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Log-mel energies of `count` columns from `first` on, (count, n_mels)."""
    frames = column_windows(wave, first, count, settings) / FULL_SCALE * hann(settings.n_fft)
    mel = (np.abs(np.fft.rfft(frames)) ** settings.power @ mel_filters).astype(np.float32)
    return 20 / np.float32(settings.power) * np.log10(np.maximum(mel, np.float32(EPSILON)))
