"""What lies between a machine and its recording: housing, room, microphone, factory noise, recording level."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft

from asd.simulator.oscillators import N_SAMPLES, RATE, Samples

N_FFT = 163_840  # fast, and longer than a clip by more than the room's response
N_BINS = N_FFT // 2 + 1
ROOM_SAMPLES = 3_200  # 0.2 s
CREST = 5.0  # peak over root mean square of a usual clip
LEVEL = -28.0  # dB of full scale
SPREAD = 5.0  # dB
N_RESONANCES = 5  # of a housing
HEADROOM = 0.9  # of full scale; reached by the rarest knock only

Spectrum = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Housing:
    """The resonances of a machine's body.

    Attributes:
        frequency: (resonances,) Hz.
        sharpness: (resonances,) quality factors.
        gain: (resonances,) at the resonance, relative to the direct sound.
    """

    frequency: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    gain: NDArray[np.float64]

    @classmethod
    def design(cls, random: Generator) -> "Housing":
        """The housing of a product: resonances spread from 200 Hz to 6 kHz."""
        edges = np.geomspace(200, 6_000, N_RESONANCES + 1)
        frequency = random.uniform(edges[:-1], edges[1:])
        return cls(frequency, random.uniform(6, 25, N_RESONANCES), random.uniform(0.6, 2.0, N_RESONANCES))

    def made(self, random: Generator) -> "Housing":
        """One individual of the product: a few per cent off."""
        spread = np.exp(0.05 * random.standard_normal(len(self.frequency)))
        return replace(self, frequency=self.frequency * spread, gain=self.gain * np.exp(0.35 * (spread - 1) / 0.05))

    def loosened(self, strength: float, random: Generator) -> "Housing":
        """A loose mounting: resonances lower, sharper, and unevenly louder."""
        fall = 1 - strength * random.uniform(0.02, 0.12, len(self.frequency))
        gain = self.gain * np.exp(strength * random.uniform(-0.4, 0.8, len(self.gain)))
        return Housing(self.frequency * fall, self.sharpness * (1 + strength), gain)

    @lru_cache(maxsize=16)  # noqa: B019 - a section's clips follow each other
    def response(self) -> Spectrum:
        """Frequency response (bins,)."""
        answer = np.full(N_BINS, 0.4, dtype=np.complex128)
        for frequency, sharpness, gain in zip(self.frequency, self.sharpness, self.gain, strict=True):
            detuning = frequencies() / frequency - frequency / frequencies()
            answer += gain / (1 + 1j * sharpness * detuning)
        return answer


@dataclass(frozen=True, eq=False)
class Place:
    """Where a section is recorded in one domain.

    Attributes:
        room: (bins,) frequency response of the room, direct sound included.
        slope: Of the background's spectrum, dB per octave.
        hum: (neighbours,) Hz, rates of the other machines within earshot.
        snr: Lowest and highest level of the machine over the background, dB.
        unsteadiness: Deviation of the microphone's colouring from clip to clip, dB.
    """

    room: Spectrum
    slope: float
    hum: NDArray[np.float64]
    snr: tuple[float, float]
    unsteadiness: float


def find_place(random: Generator, snr: tuple[float, float], unsteadiness: float) -> Place:
    """A random corner of the factory."""
    time = np.arange(ROOM_SAMPLES) / RATE
    decay = random.uniform(0.02, 0.06)
    echo = random.standard_normal(ROOM_SAMPLES) * np.exp(-time / decay) * random.uniform(0.05, 0.10)
    echo[:16] = 0  # the first millisecond is the direct sound alone
    echo[0] = 1
    hum = random.uniform(40, 300, 3)
    return Place(fft.rfft(echo, N_FFT), random.uniform(-5, -2), hum, snr, unsteadiness)


def hear(sound: Samples, housing: Housing, place: Place, day: Generator, random: Generator) -> Samples:
    """What the microphone hears of a machine in its place, background included: (samples,).

    Level and colour are the day's; the waveform of the background is the moment's.
    """
    machine = fft.rfft(sound, N_FFT) * housing.response() * place.room
    background = noise_of(place, day, random)
    snr = day.uniform(*place.snr)
    mixed = machine / power(machine) + background / power(background) * 10 ** (-snr / 20)
    return fft.irfft(mixed * colouring(place.unsteadiness, day), N_FFT)[:N_SAMPLES]


def noise_of(place: Place, day: Generator, random: Generator) -> Spectrum:
    """The spectrum of the background of one clip: coloured noise, and machines farther away."""
    slope = place.slope + day.normal(0, 1)
    gain = np.maximum(frequencies(), 60) ** (slope / 20 / np.log10(2))
    parts = random.standard_normal((2, N_BINS))
    noise = (parts[0] + 1j * parts[1]) * gain
    return noise + neighbours(place, day, random) * power(noise) * day.uniform(0.2, 0.7)


def neighbours(place: Place, day: Generator, random: Generator) -> Spectrum:
    """Lines of the other machines, each smeared by its unsteady speed: (bins,), with power one."""
    lines = np.zeros(N_BINS, dtype=np.complex128)
    for rate in place.hum * np.exp(0.03 * day.standard_normal(len(place.hum))):
        order = np.arange(1, 25)
        centre = np.rint(order * rate * N_FFT / RATE).astype(np.int64)
        smear = centre[:, None] + np.rint(random.normal(0, 3 + 0.3 * order[:, None], (24, 8))).astype(np.int64)
        heights = random.standard_normal(smear.shape) / order[:, None]
        np.add.at(lines, smear % N_BINS, heights * np.exp(2j * np.pi * random.random(smear.shape)))
    return lines / power(lines)


def colouring(deviation: float, random: Generator) -> NDArray[np.float64]:
    """A smooth gain over frequency (bins,): where exactly the microphone was put this time."""
    pitch = np.linspace(0, 1, 65)
    ripples = np.cos(np.pi * np.arange(1, 9)[:, None] * pitch)
    decibels = np.sum(random.normal(0, deviation, (8, 1)) * ripples, axis=0)
    return np.interp(_pitches(), pitch, 10 ** (decibels / 20))


@lru_cache
def _pitches() -> NDArray[np.float64]:
    """The frequency of each bin on a pitch scale from 0 to 1: (bins,)."""
    return np.log1p(frequencies() / 700) / np.log1p(8_000 / 700)


@lru_cache
def frequencies() -> NDArray[np.float64]:
    """The frequency of each bin in Hz: (bins,); the first stands for the second, so that powers exist."""
    return np.maximum(np.arange(N_BINS), 1) * (RATE / N_FFT)


def power(spectrum: Spectrum) -> float:
    """Root of the mean square that a spectrum has in time, up to a constant."""
    return float(np.sqrt(np.sum(spectrum.real**2 + spectrum.imag**2))) or 1.0


def record(heard: Samples, day: Generator) -> NDArray[np.int16]:
    """Sets a recording level that tells nothing and quantises: int16 (samples,).

    The level follows the mean square and the peak in equal parts, then a random gain wider than what a fault
    changes of either.
    """
    heard = heard - heard.mean()
    rms, peak = np.sqrt(np.mean(heard**2)), np.abs(heard).max()
    typical = np.sqrt(rms * peak / CREST)
    gain = 10 ** ((LEVEL + day.uniform(-SPREAD, SPREAD)) / 20)
    loudest = min(gain / typical, HEADROOM / peak)
    return np.rint(heard * loudest * 32_767).astype(np.int16)
