"""What breaks. A broken machine is the same machine with other numbers.

Each fault takes a machine, a strength in (0, 1] and a generator, and gives the broken machine. Faults move a machine
away from what tells it from its sisters: the balance of its lines, its sidebands, its resonances, its rhythm.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Fault = Callable[[Any, float, Generator], Any]


def moved(pattern: NDArray[np.float64], decibels: float, random: Generator) -> NDArray[np.float64]:
    """Levels in dB that wear has redistributed: each off by so many dB on average."""
    return pattern + random.normal(0, decibels, len(pattern))


def about(strength: float, random: Generator, most: float) -> float:
    """A factor off one, to either side, by at most `most` at full strength."""
    return 1 + strength * most * random.uniform(0.6, 1) * random.choice([-1, 1])


def loose(machine: Any, strength: float, random: Generator) -> Any:
    """A loose mounting moves the resonances of the housing."""
    return replace(machine, housing=machine.housing.loosened(strength, random))


def bearing(machine: Any, strength: float, random: Generator) -> Any:
    """A damaged race of a bearing."""
    return replace(machine, bearing=replace(machine.bearing, damage=0.8 * strength))


def fan_imbalance(fan: Any, strength: float, random: Generator) -> Any:
    """Mass off centre: rumble, and everything sways once a revolution."""
    return replace(fan, imbalance=1.6 * strength)


def fan_blade(fan: Any, strength: float, random: Generator) -> Any:
    """One blade broken: the shaft's lines between the blade passes."""
    pitch = fan.pitch.copy()
    pitch[random.integers(len(pitch))] += 5 * strength * random.choice([-1, 1])
    return replace(fan, pitch=pitch)


def fan_clog(fan: Any, strength: float, random: Generator) -> Any:
    """A clogged inlet: other beats, deeper surge at another rate."""
    surge = (fan.surge[0] * about(strength, random, 0.6), min(1.0, fan.surge[1] + 0.5 * strength))
    return replace(fan, surge=surge, beat=moved(fan.beat, 6 * strength, random))


def gear_chip(gearbox: Any, strength: float, random: Generator) -> Any:
    """A chipped tooth: a gap and a clack once a revolution."""
    return replace(gearbox, chip=strength)


def gear_wear(gearbox: Any, strength: float, random: Generator) -> Any:
    """Worn flanks: another balance of the mesh's harmonics."""
    return replace(gearbox, tone=moved(gearbox.tone, 8 * strength, random))


def gear_misaligned(gearbox: Any, strength: float, random: Generator) -> Any:
    """Shafts out of line: sidebands grow, most at twice the shaft's rate."""
    return replace(gearbox, runout=gearbox.runout + strength * np.array([0.3, 1.6, 0.8]))


def gear_hunting(gearbox: Any, strength: float, random: Generator) -> Any:
    """An unsteady load."""
    return replace(gearbox, hunting=(random.uniform(1.5, 7), strength))


def pump_missing_stroke(pump: Any, strength: float, random: Generator) -> Any:
    """One cylinder gives less, or nothing."""
    push = pump.push.copy()
    push[random.integers(len(push))] *= 1 - strength
    return replace(pump, push=push, tone=moved(pump.tone, 6 * strength, random))


def pump_leak(pump: Any, strength: float, random: Generator) -> Any:
    """Liquid that escapes: a steady hiss, weaker strokes."""
    return replace(pump, leak=0.7 * strength, motor=pump.motor * (1 - 0.3 * strength))


def pump_clog(pump: Any, strength: float, random: Generator) -> Any:
    """A clogged inlet: strokes come at another rate, longer; the motor labours."""
    stroke = pump.stroke * (1 - 0.35 * strength)
    return replace(pump, stroke=stroke, width=pump.width * (1 + strength), tone=moved(pump.tone, 8 * strength, random))


def pump_cavitation(pump: Any, strength: float, random: Generator) -> Any:
    """Bubbles that burst with each stroke."""
    return replace(pump, cavitation=1.1 * strength)


def slider_slip(slider: Any, strength: float, random: Generator) -> Any:
    """The carriage sticks and slips on its way."""
    return replace(slider, slip=0.9 * strength, squeak=0.5 * strength)


def slider_stop(slider: Any, strength: float, random: Generator) -> Any:
    """One end stop has come off: a harder knock of another ring, and a shorter rest."""
    levels, rings = slider.stops
    hard = (levels[0] + 1.5 * strength, levels[1])
    return replace(slider, stops=(hard, (rings[0] * about(strength, random, 0.4), rings[1])), rest=slider.rest * 0.6)


def slider_dry(slider: Any, strength: float, random: Generator) -> Any:
    """No grease: squeaks at low speed, more sliding noise."""
    return replace(slider, squeak=0.8 * strength, glide=slider.glide * (1 + 0.8 * strength))


def slider_thread(slider: Any, strength: float, random: Generator) -> Any:
    """A worn screw: its modulation and the balance of the tone change."""
    thread = (slider.thread[0] * about(strength, random, 0.5), slider.thread[1] * (1 + strength))
    return replace(slider, thread=thread, tone=moved(slider.tone, 5 * strength, random))


def valve_leak(valve: Any, strength: float, random: Generator) -> Any:
    """Air that escapes while it should be closed."""
    return replace(valve, leak=0.5 * strength)


def valve_misses(valve: Any, strength: float, random: Generator) -> Any:
    """A weak coil: it does not always open, and hums."""
    return replace(valve, misses=0.6 * strength, coil=valve.coil * (1 + strength))


def valve_chatter(valve: Any, strength: float, random: Generator) -> Any:
    """A click that bounces, with another ring."""
    click = (valve.click[0] * about(strength, random, 0.35), valve.click[1])
    return replace(valve, chatter=1.2 * strength, click=click)


def valve_clog(valve: Any, strength: float, random: Generator) -> Any:
    """A dirty seat: the air comes late, closes late and whistles at another pitch."""
    whistle = (valve.whistle[0] * about(strength, random, 0.3), valve.whistle[1] + 0.5 * strength)
    return replace(valve, attack=valve.attack + 0.03 * strength, lasts=valve.lasts * (1 + strength), whistle=whistle)


def car_shaft(car: Any, strength: float, random: Generator) -> Any:
    """A bent shaft: the wheels wobble."""
    return replace(car, wobble=(car.wobble[0] + 0.9 * strength, car.wobble[1] + 0.6 * strength))


def toy_gears(toy: Any, strength: float, random: Generator) -> Any:
    """A chipped tooth of the car."""
    return replace(toy, chip=0.8 * strength, mesh=moved(toy.mesh, 4 * strength, random))


def car_wheel(car: Any, strength: float, random: Generator) -> Any:
    """A wheel that scrapes and brakes the motor."""
    motor = replace(car.motor, rate=car.motor.rate * (1 - 0.04 * strength))
    return replace(car, scrape=0.5 * strength, motor=motor)


def voltage(toy: Any, strength: float, random: Generator) -> Any:
    """Another voltage: the motor turns faster or slower, and everything with it."""
    motor = replace(toy.motor, rate=toy.motor.rate * about(strength, random, 0.07))
    return replace(toy, motor=motor)


def brushes(toy: Any, strength: float, random: Generator) -> Any:
    """Worn brushes: sparks, and another balance of the motor's lines."""
    motor = replace(toy.motor, sparks=0.7 * strength, tone=moved(toy.motor.tone, 5 * strength, random))
    return replace(toy, motor=motor)


def train_flat(train: Any, strength: float, random: Generator) -> Any:
    """A flat wheel."""
    return replace(train, flat=1.6 * strength)


def train_joint(train: Any, strength: float, random: Generator) -> Any:
    """A broken joint of the track, and axles out of place."""
    return replace(train, gap=strength, axles=train.axles * about(strength, random, 0.5))


def train_worm(train: Any, strength: float, random: Generator) -> Any:
    """A worn worm gear."""
    worm = moved(train.worm, 8 * strength, random)
    return replace(train, worm=worm, gears=train.gears * (1 + 0.5 * strength))


FAULTS: dict[str, dict[str, Fault]] = {
    "fan": {"imbalance": fan_imbalance, "blade": fan_blade, "clog": fan_clog, "bearing": bearing, "loose": loose},
    "gearbox": {
        "chip": gear_chip,
        "wear": gear_wear,
        "misaligned": gear_misaligned,
        "hunting": gear_hunting,
        "bearing": bearing,
    },
    "pump": {
        "missing stroke": pump_missing_stroke,
        "leak": pump_leak,
        "clog": pump_clog,
        "cavitation": pump_cavitation,
        "bearing": bearing,
    },
    "slider": {"slip": slider_slip, "stop": slider_stop, "dry": slider_dry, "thread": slider_thread, "loose": loose},
    "valve": {"leak": valve_leak, "misses": valve_misses, "chatter": valve_chatter, "clog": valve_clog, "loose": loose},
    "ToyCar": {"shaft": car_shaft, "gears": toy_gears, "wheel": car_wheel, "voltage": voltage, "brushes": brushes},
    "ToyTrain": {
        "flat wheel": train_flat,
        "joint": train_joint,
        "worm": train_worm,
        "voltage": voltage,
        "brushes": brushes,
    },
}
