"""A clip's spectrum as one vector: log-mel energies of each band, pooled over time by their rank.

With weights r^i over the energies from the largest down, r = 1 is the mean over time and r = 0 the maximum (Guan et
al., "Time-weighted frequency domain audio representation", ICASSP 2023). Between them, short events count more than in
the mean. Nothing is trained; a distribution or the nearest neighbours of these vectors make the score.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from asd.config.components import LogMelSettings
from asd.features.logmel import log_mel


def pooled_log_mel(
    waveform: NDArray[np.floating],
    *,
    sample_rate: int,
    r: float,
    n_fft: int = 1024,
    hop_length: int = 512,
    n_mels: int = 128,
    pad: Literal["reflect", "zeros"] = "reflect",
    deviation: bool = False,
) -> NDArray[np.float64]:
    """The pooled log-mel energies of a clip, in dB.

    Args:
        waveform: (samples,) in [−1, 1).
        sample_rate: In Hz.
        r: What each rank's weight is of the one before, in [0, 1].
        n_fft: Length of the Fourier transform, in samples.
        hop_length: From one column to the next, in samples.
        n_mels: Mel filters.
        pad: What is beyond the clip's ends.
        deviation: Whether the standard deviation over time of each band's energies is put behind them.

    Returns:
        (n_mels,), or twice as many with the deviations.

    Raises:
        ValueError: `r` or another setting is out of range, or the clip is no single channel or too short.
    """
    values = {"sample_rate": sample_rate, "n_fft": n_fft, "hop_length": hop_length, "n_mels": n_mels, "pad": pad}
    settings = LogMelSettings.of(values | {"power": 2.0, "n_frames": 1, "frame_hop": 1})
    if waveform.ndim != 1 or len(waveform) < settings.min_samples:
        raise ValueError(
            f"waveform of shape {waveform.shape}: must be one channel of at least {settings.min_samples} samples"
        )
    mode: Literal["reflect", "constant"] = "reflect" if pad == "reflect" else "constant"
    padded = np.pad(np.asarray(waveform, np.float64), n_fft // 2, mode=mode)
    columns = log_mel(torch.from_numpy(padded), settings).numpy()
    pooled = rank_pooled(columns, r)
    return np.concatenate([pooled, columns.std(axis=0)]) if deviation else pooled


def rank_pooled(columns: NDArray[np.floating], r: float) -> NDArray[np.float64]:
    """The weighted mean over time of each band, the weight of its i-th largest value being r^i.

    Args:
        columns: (columns, bands).
        r: In [0, 1].

    Returns:
        (bands,).

    Raises:
        ValueError: `r` is out of range.
    """
    if not 0 <= r <= 1:
        raise ValueError(f"r={r}: must be between 0 (the maximum over time) and 1 (the mean)")
    weight = np.power(float(r), np.arange(len(columns)))
    largest_first = np.sort(np.asarray(columns, np.float64), axis=0)[::-1]
    return weight @ largest_first / weight.sum()
