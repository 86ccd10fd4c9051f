"""What machine sounds are made of: turning, periodic waves, knocks and noise.

A clip is `N_SAMPLES` long. Levels are relative: every source here has a mean square near one.
"""

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import lfilter

Samples = NDArray[np.floating]

RATE = 16_000  # samples per second
N_SAMPLES = 160_000  # ten seconds
TABLE = 1 << 14  # points of one period of a wave
KNOTS_PER_SECOND = 10  # of what changes slowly


def wander(random: Generator) -> Samples:
    """Slow random change about zero with a deviation of one: (samples,), faster than 5 Hz hardly anything."""
    n_knots = KNOTS_PER_SECOND * N_SAMPLES // RATE + 1
    steps = random.standard_normal(n_knots + 7)
    knots = np.convolve(steps, np.hanning(10)[1:-1], mode="valid") / np.sqrt(np.sum(np.hanning(10) ** 2))
    return np.interp(_knot_of_sample(), np.arange(n_knots), knots)


@lru_cache
def _knot_of_sample() -> Samples:
    return np.arange(N_SAMPLES) * (KNOTS_PER_SECOND / RATE)


def turn(rate: float | Samples, start: float = 0.0) -> Samples:
    """Revolutions at a rate in Hz that may change: (samples,), beginning at `start`."""
    return np.cumsum(np.broadcast_to(rate, N_SAMPLES)) * (1 / RATE) + start


def look_up(table: Samples, revolutions: Samples) -> Samples:
    """A periodic function, given as the `TABLE` points of one period, at those revolutions: (samples,)."""
    return table[(revolutions * TABLE).astype(np.int64) & (TABLE - 1)]


def cosine(revolutions: Samples) -> Samples:
    """The cosine of those revolutions: (samples,)."""
    return look_up(_cosine(), revolutions)


@lru_cache
def _cosine() -> Samples:
    return np.cos(np.arange(TABLE) * (2 * np.pi / TABLE))


def wave(harmonics: NDArray[np.complexfloating]) -> Samples:
    """One period with mean square one from the complex amplitudes of harmonics 1, 2, …: (`TABLE`,)."""
    spectrum = np.zeros(TABLE // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(harmonics) + 1] = harmonics * (TABLE / 2)
    return np.fft.irfft(spectrum, TABLE) / max(np.sqrt(np.sum(np.abs(harmonics) ** 2) / 2), 1e-9)


def harmonics(decibels: NDArray[np.floating], random: Generator) -> NDArray[np.complexfloating]:
    """Complex amplitudes with those levels and random phases."""
    phases = random.uniform(0, 2 * np.pi, len(decibels))
    return 10 ** (decibels / 20) * np.exp(1j * phases)


def audible(rate: float, n: int) -> int:
    """How many of `n` harmonics of a rate in Hz stay below 7.5 kHz."""
    return max(1, min(n, int(7_500 / rate)))


def bump(width: float, at: float = 0.5) -> Samples:
    """A smooth bump of height one and that width (of the period) once in a period: (`TABLE`,)."""
    distance = (np.arange(TABLE) / TABLE - at + 0.5) % 1 - 0.5
    return np.exp(-0.5 * (distance / width) ** 2)


def passings(revolutions: Samples) -> NDArray[np.int64]:
    """The samples at which whole revolutions pass."""
    return np.flatnonzero(np.diff(np.floor(revolutions))) + 1


def knocks(at: NDArray[np.int64], strength: NDArray[np.float64], frequency: float, decay: float) -> Samples:
    """A damped ring (Hz, seconds) for each knock, of height `strength`: (samples,)."""
    pulses = np.zeros(N_SAMPLES)
    inside = (at >= 0) & (at < N_SAMPLES)
    np.add.at(pulses, at[inside], strength[inside])
    return ring(pulses, frequency, decay)


def ring(pulses: Samples, frequency: float, decay: float) -> Samples:
    """The answer of a resonator (Hz, seconds to 1/e) to pulses: (samples,)."""
    radius, angle = np.exp(-1 / (decay * RATE)), 2 * np.pi * frequency / RATE
    return lfilter([np.sin(angle)], [1, -2 * radius * np.cos(angle), radius**2], pulses)


def hiss(random: Generator, frequency: float, width: float) -> Samples:
    """Noise about a frequency, both in Hz, with mean square one: (samples,)."""
    return level(ring(random.standard_normal(N_SAMPLES), frequency, 1 / (np.pi * width)))


def level(sound: Samples) -> Samples:
    """The sound at a mean square of one; silence stays silence."""
    return sound / max(float(np.sqrt(np.mean(sound**2))), 1e-9)
