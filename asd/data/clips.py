"""Clips on disk: their names, and a data set's folders as one table of columns.

The layout is that of DCASE 2021 Task 2: `<root>/{dev_data,eval_data}/<machine>/{train,source_test,target_test}/*.wav`.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

MACHINES = ("ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve")
SETS = ("dev_data", "eval_data")
WHOLE = (0, -1)  # start and stop of a clip that is a whole file
FOLDERS = ("train", "source_test", "target_test", "test")  # "test": both domains together, from 2022 on

NAME = re.compile(
    r"section_(?P<section>\d{2})_(?P<domain>source|target)_(?P<split>train|test)"
    r"(?:_(?P<label>normal|anomaly))?_(?P<index>\d{4})(?:_(?P<attributes>.+))?\.wav",
    re.ASCII,
)


# Control signs, and bytes that are no UTF-8 (as Python decodes them): no file of ours could hold such a name.
UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Clip:
    """One recording, as its folder and its name describe it.

    Attributes:
        machine: Its machine; the name of the folder.
        section: Its section, the class within a machine.
        domain: Where it was recorded: in source conditions or in target ones.
        split: For training or for testing.
        label: "unknown" where the name has none (the evaluation test).
        index: Its number within section, domain, split and label; gaps are normal.
        attributes: Free text of the name, kept as it stands; often empty.
    """

    machine: str
    section: int
    domain: Literal["source", "target"]
    split: Literal["train", "test"]
    label: Literal["normal", "anomaly", "unknown"]
    index: int
    attributes: str


def parse_name(name: str, machine: str = "") -> Clip:
    """Reads the name of a clip.

    Args:
        name: File name without folders.
        machine: Machine of the folder, which the name does not tell.

    Raises:
        ValueError: The name is not one of DCASE 2021 Task 2.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name}: not the name of a clip; a name looks like section_00_source_train_normal_0000_attributes.wav "
            "(section_NN, source or target, train or test, normal or anomaly or neither, four digits, any text)"
        )
    found: dict[str, Any] = match.groupdict()
    found["section"], found["index"] = int(found["section"]), int(found["index"])
    found["label"], found["attributes"] = found["label"] or "unknown", found["attributes"] or ""
    return Clip(machine=machine, **found)


@dataclass(frozen=True, eq=False)
class ClipTable:
    """The clips of one machine as columns, sorted by path.

    Attributes:
        machine: Name of the machine.
        root: Folder that the paths start from.
        path: (clips,) relative to `root`, with forward slashes. Clips that are parts of one file share its path.
        section: (clips,) int16.
        domain: (clips,) "source" or "target".
        split: (clips,) "train" or "test".
        label: (clips,) "normal", "anomaly" or "unknown".
        attributes: (clips,) free text of the names.
        size: (clips,) int64, bytes of the file.
        mtime_ns: (clips,) int64, time of the last change in nanoseconds.
        start: (clips,) int64, first sample of the clip in its file, counted at the file's own rate.
        stop: (clips,) int64, the sample after its last one; −1: the end of the file.
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
        columns = [field.name for field in fields(self) if field.name not in ("machine", "root")]
        return replace(self, **{name: getattr(self, name)[mask] for name in columns})

    @property
    def sections(self) -> list[int]:
        """The sections that have training clips, in order: the classes of a classifier."""
        return [int(section) for section in np.unique(self.section[self.is_train])]

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
        """(clips,) bool."""
        return self.domain == "source"

    @property
    def is_target(self) -> np.ndarray:
        """(clips,) bool."""
        return self.domain == "target"

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
        """Identity of the data in hexadecimal digits: relative names and sizes, not times of change."""
        digest = hashlib.sha256()
        for path, size in zip(self.path, self.size, strict=True):
            digest.update(os.fsencode(f"{path}\0{size}\n"))
        return digest.hexdigest()


def machines_in(root: Path) -> list[str]:
    """The machines of a data set, by name; none where the folder is missing."""
    found = {
        machine.name
        for place in places(root)
        for machine in place.iterdir()
        if any((machine / folder).is_dir() for folder in FOLDERS)
    }
    return sorted(found)


def places(root: Path) -> list[Path]:
    """The folders that may hold machines: those of both sets, and the root itself."""
    return [place for place in (*(root / name for name in SETS), root) if place.is_dir()]


def scan_machine(root: Path, machine: str) -> ClipTable:
    """Lists the clips of one machine: development and additional data together.

    Args:
        root: Holds dev_data and/or eval_data, or the machines themselves.
        machine: Name of the machine's folder.

    Raises:
        ValueError: The folder or the machine is missing, there are no clips, or files do not belong where they lie;
            then the message names every one of them.
    """
    table, misfits = scan_fitting(root, machine)
    if misfits:
        raise ValueError(
            f"{root}: {len(misfits)} files of {machine} do not fit the data set's layout; correct or remove them, or "
            "leave them out with data.on_bad_clip=skip:\n  "
            + "\n  ".join(f"{path}: {why}" for path, why in misfits.items())
        )
    return table


def scan_fitting(root: Path, machine: str) -> tuple[ClipTable, dict[str, str]]:
    """As `scan_machine`, but lists the clips that fit and says of each other file what is wrong with it.

    Raises:
        ValueError: The folder or the machine is missing, or there are no clips.
    """
    rows, misfits = read_folders(root, machine, machine_folders(root, machine))
    if not rows and not misfits:
        raise ValueError(f"{root}: {machine} has no .wav files in {', '.join(FOLDERS)}; is the data set unpacked?")
    if not rows:
        path, why = next(iter(misfits.items()))
        raise ValueError(
            f"{root}: {machine} has {len(misfits)} .wav files and none is a clip. The first, {path}: {why}"
        )
    return build_table(root, machine, sorted(rows, key=lambda row: row[0])), misfits


def machine_folders(root: Path, machine: str) -> list[Path]:
    """The folders of a machine, one per set.

    Raises:
        ValueError: There is none.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; it should hold dev_data/<machine>/train")
    there = machines_in(root)
    if machine not in there:
        known = f"there are {', '.join(there)}" if there else "there are none; it should hold dev_data/<machine>/train"
        raise ValueError(f"{root}: no machine {machine!r}; {known}")
    return [place / machine for place in places(root) if (place / machine).is_dir()]


Row = tuple[str, Clip, int, int]


def read_folders(root: Path, machine: str, folders: list[Path]) -> tuple[list[Row], dict[str, str]]:
    """The clips (path, description, bytes, time of change) of a machine's folders, and what is wrong with others."""
    rows: list[Row] = []
    misfits: dict[str, str] = {}
    seen: dict[str, str] = {}
    for folder, entry in wav_files(folders):
        path = f"{folder.relative_to(root).as_posix()}/{entry.name}"
        try:
            clip, status = check_place(parse_name(entry.name, machine), folder.name), check_entry(entry)
        except ValueError as error:
            misfits[printable(path)] = str(error).removeprefix(f"{entry.name}: ")
            continue
        if seen.setdefault(entry.name, path) != path:
            misfits[path] = f"the same name as {seen[entry.name]}; a clip is known by its name"
        else:
            rows.append((path, clip, status.st_size, status.st_mtime_ns))
    return rows, dict(sorted(misfits.items()))


def wav_files(folders: list[Path]) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    """Every file of sound below the folders of a machine, with the folder it lies in; hidden files are passed over.

    Raises:
        ValueError: A link in the place of a folder leads nowhere.
    """
    for folder in folders:
        for inner in sorted(path for path in folder.iterdir() if path.is_dir() or path.is_symlink()):
            if not inner.exists():
                raise ValueError(f"{inner}: a link that leads nowhere; correct or remove it")
            with os.scandir(inner) if inner.is_dir() else nullcontext(()) as entries:
                for entry in entries:
                    if entry.name.lower().endswith(".wav") and not entry.name.startswith("."):
                        yield inner, entry


def check_entry(entry: os.DirEntry[str]) -> os.stat_result:
    """What the file system says of a file.

    Raises:
        ValueError: It is no regular file, cannot be found out, or has a name that cannot be written down.
    """
    if UNWRITABLE.search(entry.name):
        raise ValueError("its name holds signs that cannot be written down (control signs, no UTF-8); rename it")
    try:
        status = entry.stat()
    except OSError as error:
        what = "a link that leads nowhere" if entry.is_symlink() else "cannot be looked at"
        raise ValueError(f"{what} ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    return status


def printable(path: str) -> str:
    """A path as it can be shown and kept: signs that cannot be written down are escaped."""
    return UNWRITABLE.sub(lambda sign: ascii(sign[0])[1:-1], path)


def check_place(clip: Clip, folder: str) -> Clip:
    """The clip, if it belongs into the folder.

    Raises:
        ValueError: It does not.
    """
    if folder not in FOLDERS:
        raise ValueError(f"lies in {folder}; clips lie in {', '.join(FOLDERS)}")
    expected = "train" if clip.split == "train" else f"{clip.domain}_test"
    if folder not in (expected, clip.split):
        raise ValueError(f"lies in {folder}; by its name it belongs into {expected}")
    if clip.split == "train" and clip.label == "anomaly":
        raise ValueError("an anomaly among the training clips; training clips are normal")
    return clip


def build_table(root: Path, machine: str, rows: list[Row]) -> ClipTable:
    """The rows as columns."""
    paths, clips, sizes, times = zip(*rows, strict=True)
    return ClipTable(
        machine=machine,
        root=root,
        path=np.array(paths),
        section=np.array([clip.section for clip in clips], dtype=np.int16),
        domain=np.array([clip.domain for clip in clips], dtype="U6"),
        split=np.array([clip.split for clip in clips], dtype="U5"),
        label=np.array([clip.label for clip in clips], dtype="U7"),
        attributes=np.array([clip.attributes for clip in clips]),
        size=np.array(sizes, dtype=np.int64),
        mtime_ns=np.array(times, dtype=np.int64),
    )
