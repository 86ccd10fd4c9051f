"""The machines of each edition and how many clips it has of them, where known. Sources: docs/editions.md."""

from itertools import product
from typing import NamedTuple

from asd.data.clip_names import MACHINES_2021, MACHINES_2022

ONE = range(1)
LOW, HIGH = range(3), range(3, 6)


class Group(NamedTuple):
    """Clips that are counted together; `label` is "unknown" where names hide it, `domain` likewise."""

    folder: str
    machine: str
    section: int
    domain: str
    split: str
    label: str


def train_counts(folder: str, machines: tuple[str, ...], sections: range, source: int, target: int) -> dict[Group, int]:
    """Normal training clips of every machine and section."""
    return {
        Group(folder, machine, section, domain, "train", "normal"): count
        for machine, section in product(machines, sections)
        for domain, count in (("source", source), ("target", target))
    }


def both_labels(folder: str, machines: tuple[str, ...], sections: range, each: int) -> dict[Group, int]:
    """As many normal as anomalous test clips of every machine, section and domain."""
    return {
        Group(folder, machine, section, domain, "test", label): each
        for machine, section, domain, label in product(machines, sections, ("source", "target"), ("normal", "anomaly"))
    }


def hidden_counts(machines: tuple[str, ...], sections: range, domains: tuple[str, ...], each: int) -> dict[Group, int]:
    """Test clips of the evaluation data, whose labels the names hide."""
    return {
        Group("eval_data", machine, section, domain, "test", "unknown"): each
        for machine, section, domain in product(machines, sections, domains)
    }


REGULAR_2021 = ("ToyCar", "ToyTrain", "fan", "pump", "valve")  # 100 + 100 test clips everywhere; the other two are not

# Test clips of the development data in 2021 that are not 100: machine, section, domain → normal, anomaly.
IRREGULAR_2021 = {
    ("gearbox", 0, "source"): (195, 105),
    ("gearbox", 0, "target"): (96, 108),
    ("gearbox", 1, "source"): (108, 108),
    ("gearbox", 1, "target"): (108, 108),
    ("gearbox", 2, "source"): (108, 138),
    ("gearbox", 2, "target"): (105, 120),
    ("slider", 1, "target"): (98, 100),
    ("slider", 2, "source"): (110, 102),
    ("slider", 2, "target"): (102, 102),
}
GEARBOX_SOURCE_2021 = {0: 1001, 1: 1008, 2: 1008, 3: 1005, 4: 1092, 5: 1008}

COUNTS_2021 = {
    **train_counts("dev_data", MACHINES_2021, LOW, 1000, 3),
    **train_counts("eval_data", MACHINES_2021, HIGH, 1000, 3),
    **both_labels("dev_data", MACHINES_2021, LOW, 100),
    **hidden_counts(REGULAR_2021, HIGH, ("source", "target"), 200),
    **{
        Group("dev_data" if section in LOW else "eval_data", "gearbox", section, "source", "train", "normal"): count
        for section, count in GEARBOX_SOURCE_2021.items()
    },
    **{
        Group("dev_data", *key, "test", label): count
        for key, pair in IRREGULAR_2021.items()
        for label, count in zip(("normal", "anomaly"), pair, strict=True)
    },
}


def first_shot(evaluation: tuple[str, ...]) -> dict[Group, int]:
    """Clips of the editions with one section a machine, 2023 to 2025."""
    return {
        **train_counts("dev_data", MACHINES_2022, ONE, 990, 10),
        **train_counts("eval_data", evaluation, ONE, 990, 10),
        **both_labels("dev_data", MACHINES_2022, ONE, 50),
        **hidden_counts(evaluation, ONE, ("unknown",), 200),
    }
