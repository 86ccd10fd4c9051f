"""Toys: car and train. Each is a set of numbers and the mechanism that makes it sound."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from asd.simulator.oscillators import (
    N_SAMPLES,
    RATE,
    Samples,
    audible,
    bump,
    cosine,
    harmonics,
    hiss,
    knocks,
    level,
    look_up,
    passings,
    turn,
    wave,
)
from asd.simulator.surroundings import Housing

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Motor:
    """A small DC motor: lines of its turning, strongest at the commutator, and the brushes' noise.

    Attributes:
        rate: Revolutions per second.
        bars: Of the commutator.
        tone: (harmonics,) levels of the turning's harmonics, dB.
        brushes: Level of the brushes' noise.
        sparks: Level of crackling brushes; zero in a sound machine.
    """

    rate: float
    bars: int
    tone: Floats
    brushes: float
    sparks: float = 0.0

    @classmethod
    def made(cls, rate: float, bars: int, random: Generator) -> "Motor":
        """One individual."""
        return cls(rate, bars, random.normal(0, 6, 120), random.uniform(0.3, 0.5))

    def sound(self, turned: Samples, load: float, random: Generator) -> Samples:
        """Lines and brushes at those revolutions (samples,): (samples,)."""
        order = np.arange(1, audible(self.rate, len(self.tone)) + 1)
        falling = self.tone[: len(order)] - 1.5 * order / self.bars - 8.0 * (order % self.bars > 0)
        lines = look_up(wave(harmonics(falling * load, random)), turned)
        slots = look_up(bump(0.15), turned * self.bars)
        heard = lines + self.brushes * level(hiss(random, 3_000.0, 3_000.0) * (0.2 + slots))
        if self.sparks:
            at = passings(turned * self.bars)
            burst = random.exponential(1.0, len(at)) * (random.random(len(at)) < 0.15)
            heard += self.sparks * level(knocks(at, burst, 4_300.0, 0.0007))
        return heard


@dataclass(frozen=True)
class ToyCar:
    """A motor, two stages of plastic gears, wheels on a stand.

    Attributes:
        teeth: Of the motor's pinion.
        reduction: Motor revolutions per revolution of the wheels.
        mesh: (harmonics,) levels of the gears' mesh, dB.
        gears: Level of the gears beside the motor.
        wobble: Depth of the modulation of everything by the wheels' first two harmonics.
        chip: Loss at one tooth; zero in a sound machine.
        scrape: Level of a wheel that scrapes; zero in a sound machine.
    """

    housing: Housing
    motor: Motor
    teeth: int
    reduction: float
    mesh: Floats
    gears: float
    wobble: tuple[float, float]
    chip: float = 0.0
    scrape: float = 0.0

    @classmethod
    def made(cls, housing: Housing, place_in_line: int, random: Generator) -> "ToyCar":
        """One individual; pinions and commutators go round, the mesh stays about 1.1 kHz."""
        teeth, bars = ((8, 3), (12, 5), (10, 3), (14, 7), (9, 5), (11, 7))[place_in_line % 6]
        rate = random.uniform(1_050, 1_200) / teeth
        return cls(
            housing=housing,
            motor=Motor.made(rate, bars, random),
            teeth=teeth,
            reduction=rate / random.uniform(4, 11),
            mesh=-2.0 * np.arange(6) + random.normal(0, 5, 6),
            gears=random.uniform(0.7, 1.0),
            wobble=(random.uniform(0.1, 0.5), random.uniform(0.1, 0.4)),
        )

    def sound(self, speed: Samples, load: float, random: Generator) -> Samples:
        """The sound of ten seconds at a relative speed (samples,) and a relative load: (samples,)."""
        turned = turn(self.motor.rate * speed, random.random())
        wheel = turned / self.reduction
        n_lines = audible(self.motor.rate * self.teeth, len(self.mesh))
        mesh = look_up(wave(harmonics(self.mesh[:n_lines], random)), turned * self.teeth)
        sway = 1 + sum(depth * load * cosine((k + 1) * wheel + random.random()) for k, depth in enumerate(self.wobble))
        broken = look_up(bump(0.06), turned * 3 / self.teeth)
        gears = level(mesh) * (1 - 1.5 * self.chip * broken)
        strikes = passings(turned * 3 / self.teeth)
        clack = knocks(strikes, random.uniform(0.5, 1.5, len(strikes)), 2_700.0, 0.0015)
        scrape = hiss(random, 1_600.0, 500.0) * look_up(bump(0.12), wheel)
        heard = (self.motor.sound(turned, load, random) + self.gears * gears) * sway
        return heard + self.chip * level(clack) + self.scrape * level(scrape)


@dataclass(frozen=True)
class ToyTrain:
    """A train on a round track: motor, worm gear, rolling wheels, the clatter of two axles over the joints.

    Attributes:
        worm: (harmonics,) levels of the worm gear's mesh, dB, which has `starts` teeth a revolution.
        gears: Level of the worm gear beside the motor.
        wheel: Revolutions of the wheels per second.
        rolling: Level of the rolling noise, and depth of its modulation by the wheels.
        joints: Joints per second.
        axles: Time between the axles' knocks, as a part of the time between joints.
        clatter: Level and ring in Hz of the joints.
        lap: Laps per second, and depth of the change of loudness over a lap.
        flat: Level of a flat wheel's knocks; zero in a sound machine.
        gap: Additional strength of one worn joint in eight; zero in a sound machine.
    """

    housing: Housing
    motor: Motor
    starts: int
    worm: Floats
    gears: float
    wheel: float
    rolling: tuple[float, float]
    joints: float
    axles: float
    clatter: tuple[float, float]
    lap: tuple[float, float]
    flat: float = 0.0
    gap: float = 0.0

    @classmethod
    def made(cls, housing: Housing, place_in_line: int, random: Generator) -> "ToyTrain":
        """One individual; worms and commutators go round, the worm's mesh stays about 700 Hz."""
        starts, bars = ((8, 5), (13, 3), (10, 7), (16, 3), (9, 7), (12, 5))[place_in_line % 6]
        return cls(
            housing=housing,
            motor=Motor.made(random.uniform(660, 740) / starts, bars, random),
            starts=starts,
            worm=-1.5 * np.arange(9) + random.normal(0, 5, 9),
            gears=random.uniform(0.6, 0.9),
            wheel=random.uniform(3.5, 9.0),
            rolling=(random.uniform(0.5, 0.8), random.uniform(0.2, 0.8)),
            joints=random.uniform(1.5, 4.0),
            axles=random.uniform(0.15, 0.5),
            clatter=(random.uniform(0.5, 0.8), random.uniform(700, 1_600)),
            lap=(random.uniform(0.2, 0.5), random.uniform(0.1, 0.3)),
        )

    def sound(self, speed: Samples, load: float, random: Generator) -> Samples:
        """The sound of ten seconds at a relative speed (samples,) and a relative load: (samples,)."""
        turned = turn(self.motor.rate * speed, random.random())
        rolled = turned * (self.wheel / self.motor.rate)
        worm = wave(harmonics(self.worm[: audible(self.motor.rate * self.starts, 9)], random))
        mesh = look_up(worm, turned * self.starts) * (1 + 0.4 * cosine(turned))
        roll = hiss(random, 900.0, 1_200.0) * (1 + self.rolling[1] * cosine(rolled))
        heard = self.motor.sound(turned, load, random) + self.gears * mesh + self.rolling[0] * load * roll
        heard = heard + self._clatter(turned * (self.joints / self.motor.rate), random)
        if self.flat:
            at = passings(rolled)
            heard += self.flat * level(knocks(at, random.uniform(0.7, 1.3, len(at)), 1.4 * self.clatter[1], 0.006))
        lap = 1 + self.lap[1] * cosine(turned * (self.lap[0] / self.motor.rate))
        return heard * lap

    def _clatter(self, passed: Samples, random: Generator) -> Samples:
        at = passings(passed)
        heights = random.uniform(0.6, 1.4, len(at))
        heights[int(random.integers(8)) % max(len(at), 1) :: 8] *= 1 + 4 * self.gap
        second = at + int(self.axles / self.joints * RATE)
        both = knocks(np.concatenate([at, second]), np.concatenate([heights, 0.8 * heights]), self.clatter[1], 0.01)
        return self.clatter[0] * level(both) if len(at) else np.zeros(N_SAMPLES)
