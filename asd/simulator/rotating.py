"""Machines that turn: fan, gearbox, pump. Each is a set of numbers and the mechanism that makes them sound.

A fault is another set of numbers (faults.py): what is zero in a sound machine is marked so.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from asd.simulator.oscillators import (
    TABLE,
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
class Bearing:
    """A rolling bearing: what a damaged race sounds like.

    Attributes:
        order: Impacts per revolution of the shaft.
        frequency: Ring of an impact, Hz.
        damage: Level of the impacts; zero in a sound machine.
    """

    order: float
    frequency: float
    damage: float = 0.0

    @classmethod
    def made(cls, random: Generator) -> "Bearing":
        """A random one."""
        return cls(random.uniform(2.6, 5.4), random.uniform(2_000, 5_000))

    def sound(self, revolutions: Samples, random: Generator) -> Samples:
        """Impacts at the passing of the damage, at their level: (samples,)."""
        if not self.damage:
            return np.zeros_like(revolutions)
        at = passings(revolutions * self.order)
        at = at + random.integers(-8, 9, len(at))
        loaded = 1 + 0.7 * np.cos(2 * np.pi * revolutions[np.minimum(at, len(revolutions) - 1)])
        return self.damage * level(knocks(at, loaded * random.uniform(0.6, 1.4, len(at)), self.frequency, 0.002))


@dataclass(frozen=True)
class Fan:
    """Blades that beat the air, and the air's own noise.

    Attributes:
        shaft: Revolutions per second.
        pitch: (blades,) how each blade is off, relative to the mean beat.
        beat: (harmonics,) levels of the blade pass and its harmonics, dB.
        air: Level of the air's noise beside the beats.
        air_band: Centre and width of that noise, Hz.
        surge: Rate in Hz and depth with which the flow breathes.
        imbalance: Level of the shaft's own rumble; zero in a sound machine.
    """

    housing: Housing
    bearing: Bearing
    shaft: float
    pitch: Floats
    beat: Floats
    air: float
    air_band: tuple[float, float]
    surge: tuple[float, float]
    imbalance: float = 0.0

    @classmethod
    def made(cls, housing: Housing, place_in_line: int, random: Generator) -> "Fan":
        """One individual; the number of blades goes round, the blade pass stays about 230 Hz."""
        blades = (5, 9, 6, 8, 7, 11)[place_in_line % 6]
        return cls(
            housing=housing,
            bearing=Bearing.made(random),
            shaft=random.uniform(215, 245) / blades,
            pitch=random.normal(0, 0.5, blades),
            beat=-2.0 * np.arange(30) + random.normal(0, 5, 30),
            air=random.uniform(0.5, 0.8),
            air_band=(random.uniform(700, 1_100), 1_500.0),
            surge=(random.uniform(1, 7), random.uniform(0.2, 0.5)),
        )

    def sound(self, speed: Samples, load: float, random: Generator) -> Samples:
        """The sound of ten seconds at a relative speed (samples,) and a relative load: (samples,)."""
        turned = turn(self.shaft * speed, random.random())
        n_lines = audible(self.shaft, len(self.beat) * len(self.pitch))
        order = np.arange(1, n_lines + 1)
        off = np.fft.fft(1 + self.pitch) / len(self.pitch)
        envelope = np.interp(order / len(self.pitch), np.arange(1, len(self.beat) + 1), self.beat * load)
        lines = harmonics(envelope, random) * np.abs(off[order % len(self.pitch)])
        breath = 1 + self.surge[1] * cosine(turn(self.surge[0] * speed, random.random()))
        air = self.air * load * hiss(random, *self.air_band) * breath
        rumble = self.imbalance * look_up(wave(harmonics(-9.0 * np.arange(4), random)), turned)
        sway = 1 + 0.6 * min(self.imbalance, 1.0) * cosine(turned)
        return sway * (breath * look_up(wave(lines), turned) + air) + rumble + self.bearing.sound(turned, random)


@dataclass(frozen=True)
class Gearbox:
    """Two meshing wheels: the mesh and its harmonics, with sidebands from both shafts.

    Attributes:
        mesh: Teeth per second.
        teeth: Of the driving and of the driven wheel.
        tone: (harmonics,) levels of the mesh and its harmonics, dB.
        runout: (orders,) depth of the modulation by the driving shaft's harmonics.
        runout_driven: The same for the driven shaft.
        oil: Level of the noise of oil and sliding.
        oil_band: Centre and width of that noise, Hz.
        chip: Loss at one tooth; zero in a sound machine.
        hunting: Rate in Hz and depth of an unsteady load; depth zero in a sound machine.
    """

    housing: Housing
    bearing: Bearing
    mesh: float
    teeth: tuple[int, int]
    tone: Floats
    runout: Floats
    runout_driven: Floats
    oil: float
    oil_band: tuple[float, float]
    chip: float = 0.0
    hunting: tuple[float, float] = (1.0, 0.0)

    @classmethod
    def made(cls, housing: Housing, place_in_line: int, random: Generator) -> "Gearbox":
        """One individual; the teeth go round, the mesh stays about 620 Hz."""
        teeth = ((17, 41), (31, 23), (23, 53), (13, 37), (27, 19), (20, 47))[place_in_line % 6]
        return cls(
            housing=housing,
            bearing=Bearing.made(random),
            mesh=random.uniform(590, 650),
            teeth=teeth,
            tone=-2.0 * np.arange(11) + random.normal(0, 5, 11),
            runout=random.uniform(0.05, 0.6, 3),
            runout_driven=random.uniform(0.05, 0.5, 2),
            oil=random.uniform(0.4, 0.6),
            oil_band=(random.uniform(1_200, 1_800), 2_000.0),
        )

    def sound(self, speed: Samples, load: float, random: Generator) -> Samples:
        """The sound of ten seconds at a relative speed (samples,) and a relative load: (samples,)."""
        meshed = turn(self.mesh * speed, random.random())
        turned, driven = meshed / self.teeth[0], meshed / self.teeth[1]
        tone = wave(harmonics(self.tone * load, random)[: audible(self.mesh, len(self.tone))])
        sway = 1 + self._sway(self.runout, random) - 2.5 * self.chip * bump(0.5 / self.teeth[0])
        sway_driven = 1 + self._sway(self.runout_driven, random)
        hunt = 1 + self.hunting[1] * cosine(turn(self.hunting[0] * speed, random.random()))
        mesh = look_up(tone, meshed) * look_up(sway, turned) * look_up(sway_driven, driven) * hunt
        strikes = passings(turned + 0.5)
        clack = knocks(strikes, random.uniform(0.7, 1.3, len(strikes)), 1.3 * self.bearing.frequency, 0.002)
        oil = self.oil * hiss(random, *self.oil_band)
        return level(mesh) + oil + self.chip * 0.7 * level(clack) + self.bearing.sound(turned, random)

    @staticmethod
    def _sway(depths: Floats, random: Generator) -> Samples:
        phases = random.uniform(0, 2 * np.pi, len(depths))
        turns = np.arange(TABLE) * (2 * np.pi / TABLE)
        return sum(
            (d * np.cos((k + 1) * turns + p) for k, (d, p) in enumerate(zip(depths, phases, strict=True))),
            start=np.zeros(TABLE),
        )


@dataclass(frozen=True)
class Pump:
    """Cylinders that push in turn, a motor's vanes, and the noise of the flow.

    Attributes:
        stroke: Strokes per second, of all cylinders together.
        push: (cylinders,) strength of each cylinder's stroke.
        width: Of a stroke, as a part of the time until the next.
        vane: Vane passes per second, and vanes.
        tone: (harmonics,) levels of the motor's harmonics, dB.
        motor: Level of the motor beside the flow.
        flow_band: Centre and width of the flow's noise, Hz.
        leak: Level of a steady hiss; zero in a sound machine.
        cavitation: Level of bursting bubbles; zero in a sound machine.
    """

    housing: Housing
    bearing: Bearing
    stroke: float
    push: Floats
    width: float
    vane: tuple[float, int]
    tone: Floats
    motor: float
    flow_band: tuple[float, float]
    leak: float = 0.0
    cavitation: float = 0.0

    @classmethod
    def made(cls, housing: Housing, place_in_line: int, random: Generator) -> "Pump":
        """One individual; cylinders and vanes go round, strokes and vane passes stay about 5 and 330 a second."""
        cylinders, vanes = ((3, 6), (4, 9), (5, 7), (2, 8), (4, 5), (3, 10))[place_in_line % 6]
        return cls(
            housing=housing,
            bearing=Bearing.made(random),
            stroke=random.uniform(3.5, 6.5),
            push=random.uniform(0.5, 1.0, cylinders),
            width=random.uniform(0.12, 0.25),
            vane=(random.uniform(310, 350), vanes),
            tone=random.normal(0, 5, 160),
            motor=random.uniform(0.7, 1.0),
            flow_band=(random.uniform(900, 1_500), 1_500.0),
        )

    def sound(self, speed: Samples, load: float, random: Generator) -> Samples:
        """The sound of ten seconds at a relative speed (samples,) and a relative load: (samples,)."""
        turned = turn(self.vane[0] / self.vane[1] * speed, random.random())
        order = np.arange(1, audible(self.vane[0] / self.vane[1], len(self.tone)) + 1)
        falling = self.tone[: len(order)] - 1.2 * load * order / self.vane[1] - 10.0 * (order % self.vane[1] > 0)
        cylinders = len(self.push)
        strokes = sum(
            (p * bump(self.width / cylinders, (c + 0.5) / cylinders) for c, p in enumerate(self.push)),
            start=np.zeros(TABLE),
        )
        pushed = look_up(strokes, turn(self.stroke / cylinders * speed, random.random()))
        flow = level(hiss(random, *self.flow_band) * (0.15 + load * pushed))
        motor = self.motor * look_up(wave(harmonics(falling, random)), turned) * (0.7 + 0.6 * pushed)
        return flow + motor + self._defects(pushed, random) + self.bearing.sound(turned, random)

    def _defects(self, pushed: Samples, random: Generator) -> Samples:
        heard = np.zeros_like(pushed)
        if self.leak:
            heard += self.leak * hiss(random, 3.0 * self.flow_band[0], 1_200.0)
        if self.cavitation:
            at = np.flatnonzero(random.random(len(pushed)) < 0.02 * pushed**2)
            bubbles = knocks(at, random.exponential(1.0, len(at)), 2.2 * self.flow_band[0], 0.001)
            heard += self.cavitation * level(bubbles)
        return heard
