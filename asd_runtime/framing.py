"""Where the columns and pieces of a clip lie: the arithmetic shared by both kinds of input."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_runtime.model_file import Input, LogMelInput, PieceInput, PooledInput, WindowInput

FULL_SCALE = 32768
PIECES_AT_ONCE = 64  # bounds the memory of an hour-long clip

Samples = NDArray[Any]  # in steps of 16 bit: int16 where all of them are whole, else float32
Transform = PieceInput | LogMelInput | PooledInput


def min_samples(settings: Input) -> int:
    """Samples of the shortest clip that gives a whole piece and can be padded."""
    needed_to_mirror = settings.margin + 1 if settings.pad == "reflect" else 1
    return max(settings.window_length - 2 * settings.margin, needed_to_mirror)


def first_columns(n_samples: int, settings: Input) -> NDArray[np.int64]:
    """First column of each piece of a clip, (pieces,); column c is centred on sample c · hop_length.

    Pieces and windows of the waveform begin every `stride` columns, and one is at the end; log-mel windows every
    `stride` columns; a pooled clip is one piece.
    """
    last = (n_samples + 2 * settings.margin - settings.window_length) // settings.hop_length
    if isinstance(settings, LogMelInput):
        return np.arange(0, last + 1, settings.stride)
    if isinstance(settings, PooledInput):
        return np.zeros(1, np.int64)
    return np.array([*range(0, last, settings.stride), last])


def groups(starts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Pieces that are transformed together, in their order."""
    for first in range(0, len(starts), PIECES_AT_ONCE):
        yield starts[first : first + PIECES_AT_ONCE]


def padded(samples: Samples, settings: Input) -> Samples:
    """A clip with the margin at both ends."""
    return np.pad(samples, settings.margin, mode="reflect" if settings.pad == "reflect" else "constant")


def column_windows(samples_padded: Samples, first: int, count: int, settings: Transform) -> Samples:
    """The samples below each of `count` columns, (count, n_fft), a view."""
    start = first * settings.hop_length
    stop = start + (count - 1) * settings.hop_length + settings.n_fft
    every = np.lib.stride_tricks.sliding_window_view(samples_padded[start:stop], settings.n_fft)
    return every[:: settings.hop_length]


def raw_windows(samples: Samples, settings: WindowInput) -> Iterator[NDArray[np.float32]]:
    """The windows of a clip one after the other, each (1, window_length), as 16-bit numbers."""
    wave = padded(samples, settings)
    for start in first_columns(len(samples), settings) * settings.hop_length:
        yield wave[None, start : start + settings.window_length].astype(np.float32)


def hann(n_fft: int) -> NDArray[np.float64]:
    """(n_fft,) a periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
