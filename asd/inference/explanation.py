"""Which frequency bands carry a score: occlusion, each band replaced in turn by that of a normal recording."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_runtime.verdict import ClipScore

MEL_BREAK = 700  # Hz


@dataclass(frozen=True, eq=False)
class Explanation:
    """What makes up a score.

    Attributes:
        found: Score, verdict, and the curve over time: `pieces` at `seconds`.
        nearest: The training clips nearest to most pieces, the most frequent first; empty where the scorer knows none.
        edges: (bands + 1,) Hz, equally spaced on a mel scale.
        carried: (bands,) by how much the score falls where this band alone is that of `replacement`: positive where
            the band carries the difference, about 0 where it sounds normal.
        replacement: The recording whose bands were taken, or silence.
    """

    found: ClipScore
    nearest: list[str]
    edges: NDArray[np.float64]
    carried: NDArray[np.float64]
    replacement: str

    @property
    def bands(self) -> list[tuple[float, float, float]]:
        """From and to in Hz, and what is carried, of each band; the weightiest first."""
        order = np.argsort(-self.carried, kind="stable")
        return [(float(self.edges[band]), float(self.edges[band + 1]), float(self.carried[band])) for band in order]


def band_edges(n_bands: int, sample_rate: int) -> NDArray[np.float64]:
    """(n_bands + 1,) frequencies from 0 to half the sampling rate, equally spaced in log(1 + f / 700 Hz).

    Raises:
        ValueError: Fewer than two bands: nothing would be left of the recording.
    """
    if n_bands < 2:
        raise ValueError(f"n_bands={n_bands}: give 2 or more")
    return MEL_BREAK * np.expm1(np.linspace(0, np.log1p(sample_rate / 2 / MEL_BREAK), n_bands + 1))


def carried_by_bands(
    samples: NDArray[np.generic],
    normal: NDArray[np.generic],
    score: Callable[[NDArray[np.float32]], float],
    edges: NDArray[np.float64],
    sample_rate: int,
) -> NDArray[np.float64]:
    """By how much a score falls where one band is replaced (bands,).

    Args:
        samples: (samples,) the recording.
        normal: (any,) the recording whose bands are taken, repeated or cut to the same length.
        score: Of a waveform (samples,).
        edges: (bands + 1,) Hz.
        sample_rate: Of both, in Hz.
    """
    n_samples = len(samples)
    spectrum, other = (np.fft.rfft(sound.astype(np.float64)) for sound in (samples, np.resize(normal, n_samples)))
    band = np.digitize(np.fft.rfftfreq(n_samples, 1 / sample_rate), edges[1:-1])
    whole = score(np.fft.irfft(spectrum, n_samples).astype(np.float32))
    mixed = (np.where(band == number, other, spectrum) for number in range(len(edges) - 1))
    return np.array([whole - score(np.fft.irfft(each, n_samples).astype(np.float32)) for each in mixed])
