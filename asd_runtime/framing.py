"""Where the columns and pieces of a clip lie: the arithmetic shared by both kinds of input."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from asd_runtime.model_file import Input, PieceInput

FULL_SCALE = 32768
PIECES_AT_ONCE = 64  # bounds the memory of an hour-long clip


def n_columns(n_samples: int, settings: Input) -> int:
    """Columns of a clip; column c is centred on sample c · hop_length."""
    return 1 + n_samples // settings.hop_length


def min_samples(settings: Input) -> int:
    """Samples of the shortest clip that gives a whole piece and can be padded."""
    whole_piece = (settings.n_frames - 1) * settings.hop_length
    return max(whole_piece, settings.n_fft // 2 + 1 if settings.pad == "reflect" else 1)


def first_columns(n_samples: int, settings: Input) -> NDArray[np.int64]:
    """First column of each piece of a clip, (pieces,).

    Spectrogram pieces lie every `stride` columns, and one at the end; log-mel windows every `stride` columns.
    """
    last = n_columns(n_samples, settings) - settings.n_frames
    if isinstance(settings, PieceInput):
        return np.array([*range(0, last, settings.stride), last])
    return np.arange(0, last + 1, settings.stride)


def groups(starts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Pieces that are transformed together, in their order."""
    for first in range(0, len(starts), PIECES_AT_ONCE):
        yield starts[first : first + PIECES_AT_ONCE]


def padded(samples: NDArray[np.int16], settings: Input) -> NDArray[np.int16]:
    """A clip with n_fft / 2 samples more at both ends."""
    margin = settings.n_fft // 2
    return np.pad(samples, margin, mode="reflect" if settings.pad == "reflect" else "constant")


def column_windows(samples_padded: NDArray[np.int16], first: int, count: int, settings: Input) -> NDArray[np.int16]:
    """The samples below each of `count` columns, (count, n_fft), a view."""
    start = first * settings.hop_length
    stop = start + (count - 1) * settings.hop_length + settings.n_fft
    every = np.lib.stride_tricks.sliding_window_view(samples_padded[start:stop], settings.n_fft)
    return every[:: settings.hop_length]


def hann(n_fft: int) -> NDArray[np.float64]:
    """(n_fft,) a periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
