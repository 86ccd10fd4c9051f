"""Looks at a folder of recordings: which reader fits, what it makes of them, how they sound, what to type."""

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asd.data.clips import OWN, ClipTable
from asd.data.readers.contract import Reader, Reading
from asd.data.readers.dcase import DcaseReader, has_dcase_names
from asd.data.readers.folder import FolderReader
from asd.data.readers.overview import describe_table
from asd.data.readers.table import TableReader
from asd.data.readers.traits import SoundTraits, measure
from asd.data.sound_files import OTHER_SUFFIXES, SUFFIXES, litter

MOST_ENTRIES = 200_000  # a root such as / is not gone through
TABLES = (".csv", ".tsv")
OF_DATA = ("edition", "sample_rate", "channel")  # keys that are not the reader's own
PLAIN = re.compile(r"[\w.+-]+", re.ASCII)  # texts that need no quotes on the command line


@dataclass
class Description:
    """What was found below a folder.

    Attributes:
        root: The folder, or the table.
        reader: dcase, folder or table; empty: none fits.
        readings: What it makes of each machine.
        problems: What keeps a machine, or everything, from being read.
        questions: What the files leave open, with the keys that answer.
        commands: What to type.
        traits: How the recordings sound.
    """

    root: Path
    reader: str = ""
    readings: list[Reading] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    traits: SoundTraits | None = None

    def as_json(self) -> dict[str, Any]:
        """Everything, every file that is left out included."""
        machines = [
            {
                "machine": reading.table.machine,
                "edition": reading.table.edition,
                "clips": len(reading.table),
                "counts": counts(reading),
                "excluded": dict(reading.excluded),
                "ignored": dict(reading.ignored),
                "notes": list(reading.notes),
            }
            for reading in self.readings
        ]
        return {
            "root": str(self.root),
            "reader": self.reader,
            "machines": machines,
            "problems": self.problems,
            "questions": self.questions,
            "commands": self.commands,
            "sound": self.traits.as_json() if self.traits else None,
        }

    def __str__(self) -> str:
        lines = [f"{self.root}: {f'read by data={self.reader}' if self.reader else 'no reader fits'}", ""]
        lines += [f"{describe_table(reading)}\n" for reading in self.readings]
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += self.traits.lines() if self.traits else []
        lines += ["", *(f"open: {question}" for question in self.questions)] if self.questions else []
        lines += ["", "type:", *(f"  {command}" for command in self.commands)] if self.commands else []
        return "\n".join(lines)


def counts(reading: Reading) -> list[dict[str, Any]]:
    """Clips of each section, domain, split and label."""
    table = reading.table
    keys = ("section", "domain", "split", "label")
    groups = Counter(zip(*(getattr(table, key).tolist() for key in keys), strict=True))
    return [dict(zip(keys, group, strict=True)) | {"clips": count} for group, count in sorted(groups.items())]


def make_reader(root: Path, options: Mapping[str, Any]) -> tuple[str, Reader]:
    """The reader that fits a folder or a table, and its name in conf/data.

    Raises:
        ValueError: An option is none of the reader's, or out of range.
    """
    edition = options.get("edition")
    rest = {name: value for name, value in options.items() if name not in OF_DATA}
    if root.is_file():
        return "table", made("table", TableReader, root, rest)
    if not rest and edition != OWN and (edition is not None or has_dcase_names(root)):
        return "dcase", DcaseReader(root, edition=edition)
    return "folder", made("folder", FolderReader, root, {**rest, "edition": edition})


def made(name: str, reader: Any, root: Path, options: Mapping[str, Any]) -> Reader:
    """A reader with its options.

    Raises:
        ValueError: One of them is none of its own.
    """
    try:
        found: Reader = reader(root, **options)
    except TypeError as error:
        raise ValueError(f"data={name} does not take these options: {error}") from None
    return found


def describe(root: Path, options: Mapping[str, Any] | None = None) -> Description:
    """Looks at a folder of recordings, or at a table of them.

    Args:
        root: The folder or the table.
        options: Options of the reader, and `edition`.

    Raises:
        ValueError: There is no such folder, or an option is out of range.
    """
    if not root.exists():
        raise ValueError(f"{root}: no such folder or table")
    found = Description(root)
    name, reader = make_reader(root, options or {})
    try:
        machines = reader.machines()
    except ValueError as error:
        found.problems.append(str(error))
        machines = []
    for machine in machines:
        try:
            found.readings.append(reader.read(machine))
        except ValueError as error:
            found.problems.append(str(error))
    if found.readings:
        found.reader = name
        found.traits = measure(found.readings)
        found.questions = [*questions(found, options or {}), *other_tables(root)]
        found.commands = [command(found, reading, options or {}) for reading in found.readings]
    elif not found.problems:
        found.problems.append(f"no recordings that a reader knows. {seen(root)}")
        found.questions = other_tables(root)
    return found


def questions(found: Description, answers: Collection[str]) -> list[str]:
    """What the recordings leave open, with the keys that answer; `answers` are keys that were given."""
    asked = [text for key, text in (found.traits.questions() if found.traits else {}).items() if key not in answers]
    for reading in found.readings:
        table = reading.table
        if len(table.sections) == 1:
            told = "classes=attributes, " if n_attributes(table) > 1 else ""
            asked.append(
                f"{table.machine} has one section: a classifier tells apart {told}classes=clusters-8 (groups of "
                f"similar clips), or sections that you name; method=autoencoder needs none"
            )
        if reading.excluded:
            asked.append(
                f"{len(reading.excluded)} files of {table.machine} cannot be used: mend them, or data.on_bad_clip=skip"
            )
    return list(dict.fromkeys(asked))


def n_attributes(table: ClipTable) -> int:
    """How many different attributes the training clips have."""
    return len(np.unique(table.attributes[table.is_train]))


def other_tables(root: Path) -> list[str]:
    """Tables in a folder that list its recordings as well."""
    if not root.is_dir():
        return []
    found = []
    for file in sorted(path for path in root.iterdir() if path.suffix.lower() in TABLES):
        try:
            machines = TableReader(file).machines()
        except ValueError:
            continue
        if machines:
            found.append(f"{file.name} lists recordings ({', '.join(machines[:5])}): data=table data.table={file}")
    return found


def command(found: Description, reading: Reading, options: Mapping[str, Any]) -> str:
    """The line that trains on one machine."""
    place = f"data.table={quoted(found.root)}" if found.reader == "table" else f"data.root={quoted(found.root)}"
    words = [f"asd train data={found.reader} {place} {machine_word(reading.table.machine)}"]
    words += [
        f"'data.{name}={written(value)}'" if name in OF_DATA else f"'data.reader.{name}={written(value)}'"
        for name, value in options.items()
    ]
    if len(reading.table.sections) < 2:
        words.append("classes=attributes" if n_attributes(reading.table) > 1 else "method=autoencoder")
    own = [word for word in (found.traits.keys() if found.traits else []) if word.partition("=")[0][5:] not in options]
    return " ".join([*words, *own])


def machine_word(machine: str) -> str:
    """The word that names a machine; letters beyond ASCII are quoted for Hydra."""
    return f"machine={machine}" if machine.isascii() else f"'machine=\"{machine}\"'"


def written(value: Any) -> str:
    """A value as Hydra's command line takes it within quotes of the shell."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        return '"' + value.replace('"', '\\"').replace("'", "'\\''") + '"'
    return "null" if value is None else str(value)


def quoted(path: Path) -> str:
    """A path as a shell and Hydra take it."""
    text = str(path)
    plain = all(letter.isascii() and (letter.isalnum() or letter in "/._-") for letter in text)
    if plain:
        return text
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return "'\"" + inner.replace("'", "'\\''") + "\"'"


def seen(root: Path) -> str:
    """What lies below a folder, in a sentence: files of sound by folder and suffix."""
    if not root.is_dir():
        return f"{root} does not exist." if not root.exists() else f"{root} is a file."
    found: Counter[tuple[str, str]] = Counter()
    n_entries = n_other = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not litter(name))
        inner = Path(folder).relative_to(root).parts
        where = "/".join(inner[:2]) + ("/…" if len(inner) > 2 else "")
        for name in files:
            suffix = name.rpartition(".")[2].lower() if "." in name else ""
            if suffix in SUFFIXES | OTHER_SUFFIXES and not litter(name):
                found[where, suffix] += 1
            else:
                n_other += 1
        n_entries += len(files) + len(folders)
        if n_entries > MOST_ENTRIES:
            break
    if not found:
        return f"No sound lies there, {n_other} other files." if n_other else "The folder is empty."
    few = ", ".join(
        f"{count} .{suffix} in {where or 'the folder itself'}" for (where, suffix), count in found.most_common(4)
    )
    more = f" and {len(found) - 4} more folders" if len(found) > 4 else ""
    return f"There are {few}{more}."


def explain_missing(root: Path) -> str:
    """Why nothing is read at a root, what lies there, and what to type."""
    if root.is_file() and root.suffix.lower() not in TABLES:
        return f"data.root={root} is a file: give the folder of the recordings"
    lines = [f"no data at data.root={root}. {seen(root)}"]
    near = nearby(root)
    if near is not None:
        lines.append(f"A data set of DCASE Task 2 lies at another level: give data.root={near}")
    elif root.is_file() and root.suffix.lower() in TABLES:
        lines.append(f"A table is read by data=table data.table={quoted(root)}")
    elif root.is_dir():
        try:
            machines = FolderReader(root).machines()
        except ValueError as error:
            lines.append(str(error))
        else:
            lines += [
                f"It is read by data=folder data.root={quoted(root)} machine={machine}" for machine in machines[:3]
            ]
        lines += other_tables(root)
        lines.append(f"More: asd data describe {quoted(root)}")
    return "\n".join(lines)


def nearby(root: Path) -> Path | None:
    """A folder above or below that a DCASE layout has as its root."""
    absolute = root.absolute()
    above = [absolute.parent, absolute.parent.parent] if root.is_dir() else []
    below = [folder for depth in ("*", "*/*", "*/*/*") for folder in sorted(root.glob(depth))[:100] if folder.is_dir()]
    places = [place for place in (*below, *above) if has_dcase_names(place)]
    found = next(iter(places), None)
    return found.parent if found is not None and found.name in ("dev_data", "eval_data") else found
