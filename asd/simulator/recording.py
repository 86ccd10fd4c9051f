"""One recording of the simulated factory: which individual, where, how it runs today, what is broken."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from asd.data.clips import MACHINES
from asd.simulator.faults import FAULTS
from asd.simulator.oscillators import wander
from asd.simulator.rotating import Fan, Gearbox, Pump
from asd.simulator.surroundings import Housing, Place, find_place, hear, record
from asd.simulator.switching import Slider, Valve
from asd.simulator.toys import ToyCar, ToyTrain

MECHANISMS: dict[str, Any] = {
    "fan": Fan,
    "gearbox": Gearbox,
    "pump": Pump,
    "slider": Slider,
    "valve": Valve,
    "ToyCar": ToyCar,
    "ToyTrain": ToyTrain,
}

# What a generator is for; the first number after the seed.
PRODUCT, INDIVIDUAL, PLACE, DAY, CLIP, HIDDEN_LABELS = range(6)
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Difficulty:
    """How much a machine's recordings differ for reasons that are no fault, and how strong its faults are.

    Attributes:
        snr: Lowest and highest level over the background, dB.
        unsteadiness: Deviation of the microphone's colouring from clip to clip, dB.
        fault: Weakest and strongest fault.
    """

    snr: tuple[float, float]
    unsteadiness: float
    fault: tuple[float, float]


DIFFICULTY = {
    "fan": Difficulty((2.0, 10.0), 1.0, (0.5, 1.0)),
    "gearbox": Difficulty((2.0, 10.0), 1.0, (0.4, 1.0)),
    "pump": Difficulty((2.0, 10.0), 1.25, (0.4, 1.0)),
    "slider": Difficulty((4.0, 9.0), 0.8, (0.4, 1.0)),
    "valve": Difficulty((2.0, 10.0), 1.25, (0.4, 1.0)),
    "ToyCar": Difficulty((2.0, 10.0), 1.3, (0.4, 1.0)),
    "ToyTrain": Difficulty((2.0, 10.0), 1.0, (0.4, 1.0)),
}


@dataclass(frozen=True)
class Recording:
    """What a clip is, before it sounds.

    Attributes:
        label: "normal" or "anomaly", also where the clip's name keeps it to itself.
        index: Its number within section, domain, split and label.
    """

    seed: int
    machine: str
    section: int
    domain: str
    split: str
    label: str
    index: int

    @property
    def fault(self) -> str | None:
        """The name of what is broken: the machine's faults take turns."""
        names = list(FAULTS[self.machine])
        return names[self.index % len(names)] if self.label == "anomaly" else None

    @property
    def strength(self) -> float:
        """How badly, evenly spread between the weakest and the strongest fault of the machine."""
        weakest, strongest = DIFFICULTY[self.machine].fault
        turn = self.index // len(FAULTS[self.machine]) + 3 * self.index + self.section
        return weakest + (strongest - weakest) * ((turn * GOLDEN) % 1)

    def day(self) -> Generator:
        """The generator of what has nothing to do with faults: a normal and an anomalous clip share their day.

        Whatever differs between the two is thus the fault, or chance of a moment, in every statistic.
        """
        return default_rng([DAY, *self._address(), self.index])

    def random(self) -> Generator:
        """The clip's own generator."""
        return default_rng([CLIP, *self._address(), self.index, ("normal", "anomaly").index(self.label)])

    def _address(self) -> tuple[int, ...]:
        domain, split = ("source", "target").index(self.domain), ("train", "test").index(self.split)
        return self.seed, MACHINES.index(self.machine), self.section, domain, split


@dataclass(frozen=True, eq=False)
class Site:
    """A section in one domain: where it stands and how it is run.

    Attributes:
        speed: Relative speed.
        load: Relative load.
        attributes: The same as text, for the names of training clips.
    """

    place: Place
    speed: float
    load: float
    attributes: str


@lru_cache(maxsize=64)
def individual(seed: int, machine: str, section: int) -> Any:
    """The machine of a section: the product's housing, but its own numbers."""
    product = default_rng([PRODUCT, seed, MACHINES.index(machine)])
    random = default_rng([INDIVIDUAL, seed, MACHINES.index(machine), section])
    return MECHANISMS[machine].made(Housing.design(product).made(random), section, random)


@lru_cache(maxsize=16)
def site(seed: int, machine: str, section: int, domain: str) -> Site:
    """Where and how a section is run in a domain: the target has another place, speed, load and noise."""
    difficulty, shifted = DIFFICULTY[machine], domain == "target"
    random = default_rng([PLACE, seed, MACHINES.index(machine), section, int(shifted)])
    speed = 1 + shifted * random.choice([-1, 1]) * random.uniform(0.06, 0.12)
    load = 1 + shifted * random.choice([-1, 1]) * random.uniform(0.15, 0.3)
    low, high = difficulty.snr
    place = find_place(random, (low - 2 * shifted, high - 2 * shifted), difficulty.unsteadiness)
    attributes = f"speed_{100 * speed:.0f}_load_{100 * load:.0f}_{'hall' if shifted else 'bench'}"
    return Site(place, speed, load, attributes)


def render(recording: Recording, nearness: float = 0.0) -> NDArray[np.int16]:
    """The recording: int16 (`N_SAMPLES`,).

    Args:
        recording: What is recorded.
        nearness: How much louder over the background the machine is than at the usual microphone, dB.
    """
    day, random = recording.day(), recording.random()
    machine = individual(recording.seed, recording.machine, recording.section)
    if recording.fault is not None:
        machine = FAULTS[recording.machine][recording.fault](machine, recording.strength, random)
    here = site(recording.seed, recording.machine, recording.section, recording.domain)
    if nearness:
        low, high = here.place.snr
        here = replace(here, place=replace(here.place, snr=(low + nearness, high + nearness)))
    return run(machine, here, day, random)


def run(machine: Any, here: Site, day: Generator, random: Generator) -> NDArray[np.int16]:
    """Lets a machine run for ten seconds on some day and records it: int16 (`N_SAMPLES`,)."""
    speed = here.speed * (1 + 0.012 * day.standard_normal()) * (1 + 0.003 * wander(random))
    load = here.load * float(np.exp(0.1 * day.standard_normal()))
    sound = machine.sound(speed, load, random)
    return record(hear(sound, machine.housing, here.place, day, random), day)
