"""Reader of DCASE Task 2, 2020 to 2026: `<root>/{dev_data,eval_data}/<machine>/{train,test,…}/*.wav`."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import soundfile

from asd.data.clip_names import (
    BLIND_2022,
    MACHINES_OF,
    NAME_2020,
    NAME_2021,
    NAME_2022,
    SETS,
    SPLIT_BY_DOMAIN,
    SUPPLEMENT,
    TOGETHER,
    match_name,
    read_name,
)
from asd.data.clips import NO_DOMAIN
from asd.data.readers.contract import Clip, Reading, clip_table, require_machine
from asd.data.sound_files import SoundFile, first_few, is_sound, list_sound, litter, printable

CLIP_NAMES = (NAME_2020, NAME_2021, NAME_2022, BLIND_2022)
LATER = ("2022", "2023", "2024", "2025", "2026")  # one layout, one metric rule
WANTED = "; it should hold dev_data/<machine>/train"


@dataclass(frozen=True)
class Layout:
    """How an edition names and sorts its clips.

    Attributes:
        folders: Where clips lie within a machine, and the split they belong to.
        names: Patterns of clip names; the first that fits counts.
    """

    folders: dict[str, str]
    names: tuple[re.Pattern[str], ...]


# Folders of one domain and of both together are read side by side, as names tell where a clip belongs.
LAYOUTS = {
    "2020": Layout(TOGETHER, (NAME_2020,)),
    "2021": Layout(SPLIT_BY_DOMAIN | TOGETHER, (NAME_2021,)),
    **dict.fromkeys(LATER, Layout(SPLIT_BY_DOMAIN | TOGETHER, (NAME_2021, NAME_2022, BLIND_2022))),
}
FOLDERS = LAYOUTS["2021"].folders


class DcaseReader:
    """Reads a data set of DCASE Task 2: development, additional and evaluation data together.

    Args:
        root: Holds dev_data and/or eval_data, or the machines themselves.
        edition: Its year; None: what the files look like.

    Raises:
        ValueError: No such edition.
    """

    def __init__(self, root: Path, *, edition: str | int | None = None) -> None:
        if edition is not None and str(edition) not in LAYOUTS:
            raise ValueError(f"data.edition={edition}: give one of {', '.join(LAYOUTS)}, or null to let the files tell")
        self.root = Path(root)
        self.asked = None if edition is None else str(edition)

    def machines(self) -> list[str]:
        """The machines, by name; none where the root is missing."""
        return sorted({folder.name for folder in self._machine_folders})

    @cached_property
    def _places(self) -> list[Path]:
        """The folders in which machines may lie."""
        return [place for place in (*(self.root / name for name in SETS), self.root) if place.is_dir()]

    @cached_property
    def _machine_folders(self) -> list[Path]:
        return [
            machine
            for place in self._places
            for machine in sorted(place.iterdir())
            if any((machine / folder).is_dir() for folder in FOLDERS)
        ]

    @cached_property
    def editions(self) -> tuple[str, ...]:
        """The editions that the files may be of; the first is taken."""
        return (self.asked,) if self.asked else likely_editions(self._machine_folders)

    def read(self, machine: str) -> Reading:
        """The clips of one machine.

        Raises:
            ValueError: The root or the machine is missing, or none of its files is a clip.
        """
        if not self.root.is_dir():
            raise ValueError(f"{self.root}: no such folder{WANTED}")
        require_machine(machine, self.machines(), self.root, lambda: WANTED)
        found = MachineFiles(self.root, machine, self.editions[0])
        for place in self._places:
            if (place / machine).is_dir():  # without train and test too: all of it may lie one level off
                found.add(place / machine)
            if place != self.root:
                found.exclude_beside(place)
        found.require_clips()
        clips = clip_table(
            machine, self.root, found.clips, edition=self.editions[0], section_names=found.section_names()
        )
        return Reading(clips, dict(sorted(found.excluded.items())), found.ignored, self._notes())

    def _notes(self) -> tuple[str, ...]:
        if len(self.editions) == 1:
            return ()
        others = ", ".join(self.editions[1:])
        return (f"edition {self.editions[0]} by its layout; {others} look the same: data.edition=YEAR says which",)


class MachineFiles:
    """The files of one machine, sorted into clips and others while its folders are gone through."""

    def __init__(self, root: Path, machine: str, edition: str) -> None:
        self.root, self.machine, self.edition = root, machine, edition
        self.layout = LAYOUTS[edition]
        self.clips: list[Clip] = []
        self.excluded: dict[str, str] = {}
        self.ignored: dict[str, str] = {}
        self._seen: dict[str, str] = {}

    def add(self, folder: Path) -> None:
        """Adds a folder of the machine."""
        listing = list_sound(folder, self.root)
        self.excluded |= listing.excluded
        self.ignored |= listing.ignored
        attributes = self._attributes(folder)
        base = len(folder.relative_to(self.root).parts)
        for file in listing.files:
            parts = file.path.split("/")[base:]
            if parts[0] == SUPPLEMENT and self.edition in LATER:
                self.ignored[file.path] = f"{SUPPLEMENT} recordings are not used"
                continue
            try:
                self.clips.append(self._clip(file, parts, attributes))
            except ValueError as error:
                self.excluded[file.path] = str(error)

    def exclude_beside(self, place: Path) -> None:
        """Excludes the sound that lies beside the machines' folders: no name tells whose it is."""
        for name in names_in(place):
            if is_sound(name) and not litter(name):
                why = f"lies in {place.name} itself; clips lie in {place.name}/<machine>/train and so on"
                self.excluded[f"{place.name}/{printable(name)}"] = why

    def _clip(self, file: SoundFile, parts: list[str], attributes: dict[str, str]) -> Clip:
        """Describes a clip.

        Raises:
            ValueError: It lies elsewhere, has another name, or the name of an earlier clip.
        """
        folders = ", ".join(self.layout.folders)
        if len(parts) == 1:
            raise ValueError(f"lies in the folder of {self.machine} itself; clips lie in {folders}")
        if len(parts) > 2:
            raise ValueError(f"lies in {'/'.join(parts[:-1])}; clips lie in {folders}, not in folders below")
        folder, name = parts
        found = read_name(name, folder, folders=self.layout.folders, names=self.layout.names)
        if self.edition != "2020" and self._seen.setdefault(name, file.path) != file.path:
            raise ValueError(f"the same name as {self._seen[name]}; a clip is known by its name: remove one of them")
        domain = NO_DOMAIN if self.edition == "2020" else found.domain
        text = found.attributes or attributes.get(name, "")
        return Clip(file, found.section, domain, found.split, found.label, text)

    def _attributes(self, folder: Path) -> dict[str, str]:
        """The attributes that files beside the clips list, by file name, as they stand in names: car_A1_spd_28V."""
        found: dict[str, str] = {}
        for path in sorted(folder.glob("attributes_*.csv")):
            where = printable(path.relative_to(self.root).as_posix())
            self.ignored[where] = "a list of attributes"
            try:
                found |= read_attributes(path)
            except (ValueError, OSError, csv.Error) as error:
                self.excluded[where] = f"cannot be read as a list of attributes ({error})"
        return found

    def section_names(self) -> dict[int, str]:
        """What 2020 calls its sections."""
        if self.edition != "2020":
            return {}
        return {clip.section: f"id_{clip.section:02d}" for clip in self.clips}

    def require_clips(self) -> None:
        """Raises ValueError where there are none."""
        if self.clips:
            return
        folders = ", ".join(self.layout.folders)
        if not self.excluded:
            raise ValueError(f"{self.root}: {self.machine} has no recordings in {folders}; is the data set unpacked?")
        raise ValueError(
            f"{self.root}: {self.machine} has {len(self.excluded)} files of sound and none is a clip of edition "
            f"{self.edition}:{first_few(self.excluded, 'as odd as these', most=3)}"
        )


def read_attributes(path: Path) -> dict[str, str]:
    """Reads a list of attributes: file_name, then names and values in turn (d1p, d1v, d2p, d2v, …).

    Raises:
        ValueError: It has no column file_name, or is not text.
    """
    with open(path, newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        if "file_name" not in (rows.fieldnames or ()):
            raise ValueError(f"no column file_name, but {', '.join(rows.fieldnames or ('nothing',))}")
        found = {}
        for row in rows:
            words = [word for key, word in row.items() if key and key != "file_name" and word and word != "noAttribute"]
            found[(row["file_name"] or "").rpartition("/")[2]] = "_".join(words)
    return found


def dcase_root(root: Path, path: str) -> Path | None:
    """The root that a DCASE layout has, by the path of one of its clips relative to another folder; None for others."""
    *parents, folder, name = (*root.absolute().parts, *path.split("/"))
    if folder not in FOLDERS or match_name(name, CLIP_NAMES) is None:
        return None
    above = parents[:-1]  # without the machine
    return Path(*(above[:-1] if above and above[-1] in SETS else above))


def has_dcase_names(root: Path) -> bool:
    """Whether clips lie below a root as in DCASE Task 2: in its folders, and at least one with one of its names."""
    return any(
        match_name(name, CLIP_NAMES) is not None
        for machine in DcaseReader(root)._machine_folders
        for folder in FOLDERS
        for name in names_in(machine / folder)
    )


def names_in(folder: Path) -> list[str]:
    """The names of all files in a folder; none where it is missing or cannot be read."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def likely_editions(machine_folders: list[Path]) -> tuple[str, ...]:
    """The editions whose layout folders of machines have, the likeliest first.

    2020 is told by names, 2021 by folders of one domain. The later ones share a layout: machines, sections, and two
    channels (2026) tell some of them apart. Training clips alone count as 2021's where its machines have such names.
    """
    machines = {folder.name for folder in machine_folders}
    folders = {name for machine in machine_folders for name in (*FOLDERS, SUPPLEMENT) if (machine / name).is_dir()}
    folders_of = [machine / folder for machine in machine_folders[:1] for folder in FOLDERS]
    paths = [folder / name for folder in folders_of for name in names_in(folder)]
    clips = [path.name for path in paths]
    if any(match_name(name, (NAME_2020,)) for name in clips):
        return ("2020",)
    later = [year for year in LATER if machines <= MACHINES_OF[year]]
    is_2021 = machines <= MACHINES_OF["2021"] or not later
    if folders & {"source_test", "target_test"} or (folders == {"train"} and is_2021):
        return ("2021",)
    if SUPPLEMENT in folders:
        return ("2025",)
    later = later or list(LATER)
    sections = {clip.section for name in clips if (clip := match_name(name, (NAME_2021, NAME_2022, BLIND_2022)))}
    if sections - {0} and "2022" in later:
        return ("2022",)
    channels = n_channels(paths)
    likely = [year for year in later if channels is None or (year == "2026") == (channels > 1)] or later
    return tuple(year for year in likely if year != "2022" or len(likely) == 1)


def n_channels(paths: Iterable[Path]) -> int | None:
    """The channels of the first recording; None where there is none, or it cannot be read."""
    first = next((path for path in paths if is_sound(path.name)), None)
    try:
        return None if first is None else int(soundfile.info(first).channels)
    except (OSError, soundfile.SoundFileError):
        return None
