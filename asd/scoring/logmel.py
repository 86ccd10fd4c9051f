"""The reference system that learns nothing: nearest neighbour on a clip's mean log-mel spectrum.

Printed beside our results, it says how much of a data set falls to loudness and colour alone. The constants
are this system's own; those of the report stand in the configuration.
"""

from functools import lru_cache

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import get_window
from scipy.spatial.distance import cdist

N_FFT = 1024  # samples
HOP_LENGTH = 512  # samples
N_MELS = 128  # Slaney's scale and normalisation
FLOOR = 1e-10  # power; keeps the logarithm of silence finite


def mean_log_mel(waveform: NDArray[np.floating], sample_rate: int) -> NDArray[np.float64]:
    """A clip's log-mel spectrum in dB, averaged over time: (samples,) in [-1, 1) to (128,).

    Columns are centred and the ends padded with zeros, as in `librosa.feature.melspectrogram`.

    Raises:
        ValueError: if the waveform is not one-dimensional or is empty.
    """
    if waveform.ndim != 1 or waveform.size == 0:
        raise ValueError(f"waveform has shape {waveform.shape}; give one channel with at least one sample")
    padded = np.pad(waveform.astype(np.float32), N_FFT // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    spectrum = fft.rfft(windows * _window(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    mel = power @ _mel_filters(sample_rate)
    return (10 * np.log10(np.maximum(mel, FLOOR))).mean(axis=0, dtype=np.float64)


def nearest_distance(features: NDArray[np.floating], is_train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Euclidean distance to the nearest training clip of the section: (clips, dim) to scores (clips,).

    A training clip is measured against the others, never against itself.

    Raises:
        ValueError: if fewer than two training clips are there.
    """
    n_train = int(is_train.sum())
    if n_train < 2:
        raise ValueError(f"{n_train} training clips in a section; the nearest other one needs two or more")
    distance = cdist(features, features[is_train])
    distance[np.flatnonzero(is_train), np.arange(n_train)] = np.inf
    return distance.min(axis=1)


@lru_cache
def _window() -> NDArray[np.float32]:
    return get_window("hann", N_FFT).astype(np.float32)


@lru_cache
def _mel_filters(sample_rate: int) -> NDArray[np.float32]:
    """Mel filters (bins, mels)."""
    return np.ascontiguousarray(librosa.filters.mel(sr=sample_rate, n_fft=N_FFT, n_mels=N_MELS).T)
