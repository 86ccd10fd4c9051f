"""Spectrogram pieces in numpy: magnitude → mean of bin pairs → scale → standardise, as asd/features/spectrogram.py."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from asd_runtime.framing import FULL_SCALE, Samples, column_windows, first_columns, groups, hann, padded
from asd_runtime.model_file import PieceInput

LOG_FLOOR = 1e-8  # these two as in asd/features/spectrogram.py; a test compares them
SMALLEST_DEVIATION = 1e-12


def clip_pieces(samples: Samples, settings: PieceInput) -> Iterator[NDArray[np.float32]]:
    """The pieces of a clip one after the other, each (1, 1, n_bins, n_frames); transforms are shared by overlaps."""
    wave = padded(samples, settings)
    for starts in groups(first_columns(len(samples), settings)):
        first = int(starts[0])
        spectrogram = magnitude(wave, first, int(starts[-1]) - first + settings.n_frames, settings)
        for start in starts - first:
            piece = spectrogram[:, start : start + settings.n_frames]
            yield finish(piece, settings)[None, None]


def magnitude(wave: Samples, first: int, count: int, settings: PieceInput) -> NDArray[np.float32]:
    """The modulus of the Fourier transform of `count` columns from `first` on, (n_bins, count), pairs averaged."""
    window = (hann(settings.n_fft) / FULL_SCALE).astype(np.float32)
    spectrum = np.fft.rfft(column_windows(wave, first, count, settings) * window)
    modulus = np.sqrt(np.square(spectrum.real) + np.square(spectrum.imag)).T
    return (modulus[0::2] + modulus[1::2]) * np.float32(0.5) if settings.pair_mean else modulus


def finish(piece: NDArray[np.float32], settings: PieceInput) -> NDArray[np.float32]:
    """Magnitudes of a piece to the network's input, both (n_bins, n_frames); what is constant becomes 0."""
    scaled = to_scale(piece, settings.scale)
    if settings.standardise == "none":
        return np.ascontiguousarray(scaled)
    axes = (0, 1) if settings.standardise == "piece" else (1,)
    centred = scaled - scaled.mean(axes, keepdims=True)
    if settings.standardise == "time_mean":
        return np.ascontiguousarray(centred)
    deviation = np.sqrt(np.square(centred).mean(axes, keepdims=True))
    return np.ascontiguousarray(centred / (deviation + np.float32(SMALLEST_DEVIATION)))


def to_scale(magnitudes: NDArray[np.float32], scale: str) -> NDArray[np.float32]:
    """Magnitudes as they are, squared, or as the natural logarithm above a floor."""
    if scale == "power":
        return np.square(magnitudes)
    if scale == "log":
        return np.log(np.maximum(magnitudes * np.float32(1 / LOG_FLOOR), 1))
    return magnitudes
