"""Windows of log-mel energies in numpy, as asd/features/logmel.py: float64 transform, float32 logarithm."""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from asd_runtime.framing import FULL_SCALE, Samples, column_windows, first_columns, groups, hann, padded
from asd_runtime.model_file import LogMelInput, PooledInput

COLUMNS_AT_ONCE = 1024  # of a pooled clip; bounds the memory of an hour-long one
EPSILON = sys.float_info.epsilon  # floor below the logarithm


def clip_windows(
    samples: Samples, settings: LogMelInput, mel_filters: NDArray[np.float64]
) -> Iterator[NDArray[np.float32]]:
    """The windows of a clip in groups, each (windows, n_frames, n_mels), in dB."""
    wave = padded(samples, settings)
    for starts in groups(first_columns(len(samples), settings)):
        first = int(starts[0])
        energies = mel_energies(wave, first, int(starts[-1]) - first + settings.n_frames, settings, mel_filters)
        columns = 20 / np.float32(settings.power) * np.log10(np.maximum(energies, np.float32(EPSILON)))
        yield np.stack([columns[start : start + settings.n_frames] for start in starts - first])


def pooled_log_mel(samples: Samples, settings: PooledInput, mel_filters: NDArray[np.float64]) -> NDArray[np.float32]:
    """The log-mel energies of a clip, in dB: the mean over time of each band, larger ones first, weighed by r^rank.

    Returns:
        (1, n_mels), or twice as many with the standard deviations over time.
    """
    wave, n_columns = padded(samples, settings), 1 + len(samples) // settings.hop_length
    blocks = [
        mel_energies(wave, first, min(COLUMNS_AT_ONCE, n_columns - first), settings, mel_filters)
        for first in range(0, n_columns, COLUMNS_AT_ONCE)
    ]
    columns = 10 * np.log10(np.maximum(np.concatenate(blocks), np.float32(settings.floor))).astype(np.float64)
    weight = np.power(settings.r, np.arange(n_columns))
    pooled = weight @ np.sort(columns, axis=0)[::-1] / weight.sum()
    vector = np.concatenate([pooled, columns.std(axis=0)]) if settings.deviation else pooled
    return vector.astype(np.float32)[None]


def mel_energies(
    wave: Samples,
    first: int,
    count: int,
    settings: LogMelInput | PooledInput,
    mel_filters: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Mel energies of `count` columns from `first` on, (count, n_mels)."""
    power = settings.power if isinstance(settings, LogMelInput) else 2
    frames = column_windows(wave, first, count, settings) / FULL_SCALE * hann(settings.n_fft)
    return (np.abs(np.fft.rfft(frames)) ** power @ mel_filters).astype(np.float32)
