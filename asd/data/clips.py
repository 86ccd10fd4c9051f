"""The clips of one machine as one table of columns: what every reader of recordings gives."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

MACHINES = ("ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve")  # of DCASE 2021
OWN = "own"  # the edition of recordings that are of no edition
NO_DOMAIN = "none"  # the domain of recordings that have none
WHOLE = (0, -1)  # start and stop of a clip that is a whole file
PART = re.compile(r"(.+)\[(\d+):(-?\d+)\]")  # the name of a clip that is a part of its file


def file_of(clip: str) -> tuple[str, int, int]:
    """The path of a clip's file, and the samples that are the clip, by its name in lists (`ClipTable.clip_names`)."""
    part = PART.fullmatch(clip)
    return (part[1], int(part[2]), int(part[3])) if part else (clip, *WHOLE)


@dataclass(frozen=True, eq=False)
class ClipTable:
    """The clips of one machine, or of all machines, as columns, sorted by path.

    Attributes:
        machine: Name of the machine.
        root: Folder that the paths start from.
        path: (clips,) relative to `root`, with forward slashes. Clips that are parts of one file share its path.
        section: (clips,) int16.
        domain: (clips,) "source" or "target", "unknown" where a test hides it, "none" where the data have no domains.
        split: (clips,) "train" or "test".
        label: (clips,) "normal", "anomaly" or "unknown".
        attributes: (clips,) free text: of the names, of an attribute file, or the folders below the label.
        size: (clips,) int64, bytes of the file.
        mtime_ns: (clips,) int64, time of the last change in nanoseconds.
        start: (clips,) int64, first sample of the clip in its file, counted at the file's own rate.
        stop: (clips,) int64, the sample after its last one; −1: the end of the file.
        edition: Year of DCASE Task 2 whose layout and rules the data have, or "own".
        section_names: Of each section, what its recordings call it, such as id_00; empty for DCASE 2021 and later.
        class_name: (clips,) what a classifier tells training clips apart by; None: their sections.
        owner: (clips,) the machine of each clip, in a table of several machines, whose sections are numbered through
            and called by `section_names`; None: all are of `machine`.
    """

    machine: str
    root: Path
    path: np.ndarray
    section: np.ndarray
    domain: np.ndarray
    split: np.ndarray
    label: np.ndarray
    attributes: np.ndarray
    size: np.ndarray
    mtime_ns: np.ndarray
    start: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    stop: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    edition: str = OWN
    section_names: Mapping[int, str] = field(default_factory=dict)
    class_name: np.ndarray | None = None
    owner: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Fills `start` and `stop` where they are left out: clips are whole files."""
        for name, value in zip(("start", "stop"), WHOLE, strict=True):
            if len(getattr(self, name)) != len(self.path):
                object.__setattr__(self, name, np.full(len(self.path), value, np.int64))

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.path)

    def select(self, mask: np.ndarray) -> "ClipTable":
        """The clips that a mask (or an array of row numbers) chooses."""
        columns = [column.name for column in fields(self) if isinstance(getattr(self, column.name), np.ndarray)]
        return replace(self, **{name: getattr(self, name)[mask] for name in columns})

    @property
    def sections(self) -> list[int]:
        """The sections that have training clips, in order."""
        return [int(section) for section in np.unique(self.section[self.is_train])]

    @property
    def classes(self) -> list[str]:
        """The names of what a classifier tells apart, in order: the sections unless a run says otherwise."""
        if self.class_name is None:
            return [self.section_title(section) for section in self.sections]
        return np.unique(self.class_name[self.is_train]).tolist()

    def section_title(self, section: int) -> str:
        """What a section is called: «section 00», of a table of several machines «fan, section 00»."""
        return f"section {section:02d}" if self.owner is None else self.section_names[section]

    @property
    def class_index(self) -> np.ndarray:
        """(clips,) int64, place of each training clip's class in `classes`; of other clips any number."""
        if self.class_name is None:
            return np.searchsorted(self.sections, self.section).astype(np.int64)
        return np.searchsorted(self.classes, self.class_name).astype(np.int64)

    @property
    def is_train(self) -> np.ndarray:
        """(clips,) bool."""
        return self.split == "train"

    @property
    def is_test(self) -> np.ndarray:
        """(clips,) bool."""
        return self.split == "test"

    @property
    def is_source(self) -> np.ndarray:
        """(clips,) bool: all that is not target. Recordings without domains are trained on like source."""
        return self.domain != "target"

    @property
    def is_target(self) -> np.ndarray:
        """(clips,) bool."""
        return self.domain == "target"

    @property
    def has_domains(self) -> bool:
        """Whether the recordings are of domains, even if a test hides which."""
        return bool((self.domain != NO_DOMAIN).any())

    @property
    def is_part(self) -> np.ndarray:
        """(clips,) bool: whether a clip is a part of its file."""
        return (self.start != WHOLE[0]) | (self.stop != WHOLE[1])

    @property
    def clip_names(self) -> np.ndarray:
        """(clips,) what a clip is called in lists: its path, and of a part of a file its samples too. No two alike."""
        parts = self.is_part
        if not parts.any():
            return self.path
        spans = zip(self.path, self.start, self.stop, parts, strict=True)
        return np.array([f"{path}[{start}:{stop}]" if part else path for path, start, stop, part in spans])

    def absolute(self, row: int) -> Path:
        """Where the clip of a row lies; symbolic links are left as they are."""
        return self.root.absolute() / str(self.path[row])

    def fingerprint(self) -> str:
        """Identity of the data in hexadecimal digits: names and sizes, and whatever the names do not tell of a clip.

        Times of change do not count. The names of an edition of DCASE tell all but the attributes of some.
        """
        digest = hashlib.sha256()
        told = [self.path, self.size]
        if self.is_part.any():
            told += [self.start, self.stop]
        if self.edition == OWN:
            told += [self.section, self.domain, self.split, self.label]
        if self.owner is not None:
            told += [self.owner]
        if any(text not in path for text, path in zip(self.attributes.tolist(), self.path.tolist(), strict=True)):
            told += [self.attributes]
        for row in zip(*told, strict=True):
            digest.update(os.fsencode("\0".join(map(str, row)) + "\n"))
        return digest.hexdigest()
