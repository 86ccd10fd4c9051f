"""What a reader of recordings is. One of your own is named in the configuration: data.reader._target_=mylab.Reader.

It takes the data's root as first argument and its own options by name, knows its machines, and reads one of them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from asd.data.clips import OWN, ClipTable
from asd.data.sound_files import SoundFile


@dataclass(frozen=True)
class Reading:
    """What a reader made of the recordings of one machine.

    Attributes:
        table: The clips.
        excluded: Files that cannot be used, by path relative to the root: why. Refused under data.on_bad_clip=error,
            listed under skip.
        ignored: Files that are passed over on purpose, such as litter: why. Only listed.
        notes: What was understood or decided, a sentence each, such as how a test set was split off.
    """

    table: ClipTable
    excluded: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """Reads the recordings below a root."""

    def machines(self) -> list[str]:
        """The machines that are there, by name; empty where there is nothing that this reader reads.

        Raises:
            ValueError: What is there can be read in several ways; the message names the keys that decide.
        """

    def read(self, machine: str) -> Reading:
        """The clips of one machine.

        Raises:
            ValueError: There is no such machine, or nothing of it can be used.
        """


class Clip(NamedTuple):
    """One row of a table: a file, or a part of one, and what is known of it."""

    file: SoundFile
    section: int
    domain: str
    split: str
    label: str
    attributes: str
    start: int = 0
    stop: int = -1


def clip_table(
    machine: str,
    root: Path,
    clips: Iterable[Clip],
    *,
    edition: str = OWN,
    section_names: Mapping[int, str] | None = None,
) -> ClipTable:
    """The clips as columns, sorted by path and place in the file."""
    rows = sorted(clips, key=lambda clip: (clip.file.path, clip.start, clip.stop))
    files, section, domain, split, label, attributes, start, stop = zip(*rows, strict=True) if rows else [()] * 8
    return ClipTable(
        machine=machine,
        root=root,
        path=np.array([file.path for file in files], dtype=np.str_),
        section=np.array(section, dtype=np.int16),
        domain=np.array(domain, dtype="U7"),
        split=np.array(split, dtype="U5"),
        label=np.array(label, dtype="U7"),
        attributes=np.array(attributes, dtype=np.str_),
        size=np.array([file.size for file in files], dtype=np.int64),
        mtime_ns=np.array([file.mtime_ns for file in files], dtype=np.int64),
        start=np.array(start, dtype=np.int64),
        stop=np.array(stop, dtype=np.int64),
        edition=edition,
        section_names=section_names or {},
    )


def require_machine(machine: str, there: Iterable[str], root: Path, wanted: Callable[[], str] = str) -> None:
    """Raises ValueError where a machine is none of those that are there; `wanted` says what should lie there."""
    names = sorted(there)
    if machine not in names:
        known = f"there are {', '.join(names)}" if names else f"there are none{wanted()}"
        raise ValueError(f"{root}: no machine {machine!r}; {known}")
