"""Machines that move and stop: slider and valve. Each is a set of numbers and the mechanism that makes it sound."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import lfilter

from asd.simulator.oscillators import (
    N_SAMPLES,
    RATE,
    TABLE,
    Samples,
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
class Slider:
    """A carriage that travels to and fro: screw and motor sing with its speed, it knocks at both ends.

    Attributes:
        cycle: Cycles (there and back) per second.
        ramp: Part of a travel spent on speeding up, and as much on braking.
        rest: Part of a travel spent at rest.
        back: Speed of the way back, relative to the way there.
        whine: Motor's tone at full speed, Hz.
        tone: (harmonics,) levels of that tone's harmonics, dB.
        thread: Turns of the screw per second at full speed, and depth of its modulation.
        stops: Level and ring in Hz of the knock at each end, as (level, level), (Hz, Hz).
        glide: Level of the sliding noise.
        glide_band: Centre and width of that noise, Hz.
        squeak: Level of a stick-slip tone; zero in a sound machine.
        slip: Depth of the dips of speed; zero in a sound machine.
    """

    housing: Housing
    cycle: float
    ramp: float
    rest: float
    back: float
    whine: float
    tone: Floats
    thread: tuple[float, float]
    stops: tuple[tuple[float, float], tuple[float, float]]
    glide: float
    glide_band: tuple[float, float]
    squeak: float = 0.0
    slip: float = 0.0

    @classmethod
    def made(cls, housing: Housing, place_in_line: int, random: Generator) -> "Slider":
        """One individual; screws go round, the motor's tone stays about 430 Hz."""
        thread = (13, 37, 21, 53, 29, 17)[place_in_line % 6]
        return cls(
            housing=housing,
            cycle=random.uniform(0.45, 0.9),
            ramp=random.uniform(0.1, 0.35),
            rest=random.uniform(0.05, 0.25),
            back=random.uniform(0.8, 1.2),
            whine=random.uniform(410, 450),
            tone=-2.5 * np.arange(14) + random.normal(0, 6, 14),
            thread=(thread * random.uniform(0.95, 1.05), random.uniform(0.5, 0.9)),
            stops=((random.uniform(0.3, 0.8), random.uniform(0.3, 0.8)), tuple(random.uniform(600, 3_000, 2))),
            glide=random.uniform(0.3, 0.5),
            glide_band=(random.uniform(1_800, 2_600), 2_500.0),
        )

    def sound(self, speed: Samples, load: float, random: Generator) -> Samples:
        """The sound of ten seconds at a relative speed (samples,) and a relative load: (samples,)."""
        stage = turn(self.cycle * speed, random.random())
        going = np.abs(look_up(self._travel(), stage)) * (1 - self.slip * self._dips(stage, random))
        motor = turn(self.whine * speed * going, random.random())
        screw = 1 + self.thread[1] * cosine(motor * (self.thread[0] / self.whine))
        sung = look_up(wave(harmonics(self.tone * load, random)), motor) * screw * np.sqrt(going)
        glide = hiss(random, *self.glide_band) * going * screw
        heard = level(sung) + self.glide * load * level(glide) + self._knocks(stage, random)
        if self.squeak:
            shriek = turn(5.3 * self.whine * (0.8 + 0.2 * going), random.random())
            gate = (going > 0.2) & (going < 0.8)
            heard += self.squeak * level(look_up(wave(1 / np.arange(1, 4) + 0j), shriek) * gate)
        return heard

    def _travel(self) -> Samples:
        """Velocity over one cycle, there positive and back negative: (TABLE,)."""
        half = np.arange(TABLE // 2) / (TABLE // 2)
        moving = half / (1 - self.rest)
        one_way = np.clip(np.minimum(moving, 1 - moving) / self.ramp, 0, 1)
        return np.concatenate([one_way, -self.back * one_way])

    def _dips(self, stage: Samples, random: Generator) -> Samples:
        turns = np.arange(TABLE) / TABLE
        dip = np.exp(-0.5 * (((turns * 2 - random.uniform(0.3, 0.6)) % 1 - 0.2) / 0.05) ** 2)
        return look_up(dip, stage)

    def _knocks(self, stage: Samples, random: Generator) -> Samples:
        heard = np.zeros(N_SAMPLES)
        for end, (height, frequency) in enumerate(zip(*self.stops, strict=True)):
            at = passings(stage + 0.5 * end + 0.5 * self.rest)
            heard += height * level(knocks(at, random.uniform(0.7, 1.3, len(at)), frequency, 0.012))
        return heard


@dataclass(frozen=True)
class Valve:
    """A solenoid that opens and closes in a pattern, air that bursts out in between.

    Attributes:
        cycle: Patterns per second.
        opens: (events,) when it opens, as a part of the pattern.
        lasts: (events,) how long it stays open, seconds.
        click: (2,) ring of opening and of closing, Hz.
        click_level: Level of the clicks beside the bursts.
        attack: Time in which the air comes, seconds.
        air_band: Centre and width of the air's noise, Hz.
        whistle: Tone of the air in Hz, and its level.
        coil: Mains hum of the solenoid while open: level.
        leak: Level of air while closed; zero in a sound machine.
        chatter: How often a click repeats itself; zero in a sound machine.
        misses: Part of the openings that fail; zero in a sound machine.
    """

    housing: Housing
    cycle: float
    opens: Floats
    lasts: Floats
    click: tuple[float, float]
    click_level: float
    attack: float
    air_band: tuple[float, float]
    whistle: tuple[float, float]
    coil: float
    leak: float = 0.0
    chatter: float = 0.0
    misses: float = 0.0

    @classmethod
    def made(cls, housing: Housing, place_in_line: int, random: Generator) -> "Valve":
        """One individual; the number of events goes round, a second sees about three."""
        events = (2, 4, 3, 1, 5, 3)[place_in_line % 6]
        opens = (np.arange(events) + random.uniform(-0.2, 0.2, events)) / events
        return cls(
            housing=housing,
            cycle=random.uniform(2.6, 3.4) / events,
            opens=opens % 1,
            lasts=random.uniform(0.06, 0.2, events),
            click=(random.uniform(1_200, 2_600), random.uniform(900, 3_500)),
            click_level=random.uniform(0.5, 0.8),
            attack=random.uniform(0.003, 0.02),
            air_band=(random.uniform(2_200, 3_400), 2_000.0),
            whistle=(random.uniform(1_500, 4_500), random.uniform(0.3, 0.8)),
            coil=random.uniform(0.3, 0.5),
        )

    def sound(self, speed: Samples, load: float, random: Generator) -> Samples:
        """The sound of ten seconds at a relative speed (samples,) and a relative load: (samples,)."""
        opened, closed = self._events(turn(self.cycle * speed, random.random()), random)
        gate = np.zeros(N_SAMPLES + 1)
        np.add.at(gate, np.clip(opened, 0, N_SAMPLES), 1)
        np.add.at(gate, np.clip(closed, 0, N_SAMPLES), -1)
        is_open = np.minimum(np.cumsum(gate)[:-1], 1)
        flow = _smooth(is_open, self.attack)
        tone = self.whistle[1] * load * cosine(turn(self.whistle[0] * speed * (0.96 + 0.04 * flow)))
        air = level((hiss(random, *self.air_band) + 1.4 * tone) * flow)
        hum = self.coil * look_up(wave(1 / np.arange(1, 14, 2) + 0j), turn(100.0)) * is_open
        clicks = self._clicks(opened, self.click[0], random) + self._clicks(closed, self.click[1], random)
        leak = self.leak * hiss(random, 1.25 * self.air_band[0], self.air_band[1]) if self.leak else 0.0
        return air + hum + self.click_level * level(clicks) + leak

    def _events(self, stage: Samples, random: Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The samples at which the valve opens and closes."""
        opened = [passings(stage - start) for start in self.opens]
        lasting = [np.full(len(at), last) for at, last in zip(opened, self.lasts, strict=True)]
        at, last = np.concatenate(opened), np.concatenate(lasting)
        at = at + np.rint(random.normal(0, 0.002 * RATE, len(at))).astype(np.int64)
        kept = random.random(len(at)) >= self.misses
        return at[kept], (at + np.rint(last * RATE).astype(np.int64))[kept]

    def _clicks(self, at: NDArray[np.int64], frequency: float, random: Generator) -> Samples:
        heights = random.uniform(0.7, 1.3, len(at))
        heard = knocks(at, heights, frequency, 0.004)
        for bounce in (1, 2, 3):
            late = at + bounce * int(0.022 * RATE) + random.integers(-40, 41, len(at))
            heard += self.chatter * knocks(late, heights * 0.75**bounce, frequency, 0.004)
        return heard


def _smooth(gate: Samples, seconds: float) -> Samples:
    """Follows a gate with that time constant."""
    keep = np.exp(-1 / (seconds * RATE))
    return lfilter([1 - keep], [1, -keep], gate)
