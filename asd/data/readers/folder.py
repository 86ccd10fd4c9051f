"""Reader of folders as people keep recordings: normal/ and abnormal/, MIMII, ToyADMOS, a folder for each machine.

The names of folders tell label, split and domain; what they do not tell is asked for by key, not guessed.
"""

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from asd.data.clips import NO_DOMAIN, OWN
from asd.data.readers.contract import Clip, Reading, clip_table, require_machine
from asd.data.readers.dcase import DcaseReader, dcase_root, has_dcase_names
from asd.data.readers.segments import Segment, cut
from asd.data.readers.split import Split
from asd.data.readers.words import (
    ANOMALOUS,
    DOMAINS,
    INDIVIDUAL,
    NORMAL,
    SPLITS,
    LabelWords,
    as_words,
    machine_name,
    number_sections,
)
from asd.data.sound_files import Listing, SoundFile, list_sound

LEVELS = ("machine", "section", "domain", "attribute")
NOISE = ("EnvironmentalNoise*",)  # ToyADMOS's recordings without a machine


class Place(NamedTuple):
    """What the folders that a file lies in say of it; empty where they say nothing.

    Attributes:
        outer: Folders without such a word above the last one that has one: machines, individuals.
        inner: Folders below it.
        label: normal or anomaly.
        split: train or test.
        domain: source or target.
        problem: Why files there cannot be used.
    """

    outer: tuple[str, ...]
    inner: tuple[str, ...]
    label: str = ""
    split: str = ""
    domain: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Recording:
    """One file with all that its folders say of it."""

    file: SoundFile
    place: Place
    machine: str
    section: str
    attributes: str


class FolderReader:
    """Reads a folder of recordings; one in the layout of DCASE Task 2 as `DcaseReader` does.

    Args:
        root: The folder.
        normal: Words for folders of normal recordings, in any letter case; None: those of `words`.
        anomalous: Words for folders of anomalous ones; None: those of `words`.
        levels: What the folders above normal/ (or train/) are, from the top: each of machine, section (an individual),
            domain, attribute. None: one folder is a machine, or an individual where all have names such as id_00;
            of two the second must be such an individual.
        ignore: Patterns of names of folders to pass over.
        split: How test recordings are chosen where no folder tells; keys as of `Split`.
        segment: Cuts long recordings; keys as of `Segment`.
        edition: Of DCASE Task 2, or own: the folder is read by its words even if DCASE names lie there.

    Raises:
        ValueError: An option that is out of range.
    """

    def __init__(
        self,
        root: Path,
        *,
        normal: Sequence[str] | None = None,
        anomalous: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        ignore: Sequence[str] = NOISE,
        split: Mapping[str, Any] | None = None,
        segment: Mapping[str, Any] | None = None,
        edition: str | int | None = None,
    ) -> None:
        self.root = Path(root)
        self.words = LabelWords(NORMAL if normal is None else normal, ANOMALOUS if anomalous is None else anomalous)
        self.asked_levels = None if levels is None else check_levels(as_words(levels))
        self.ignore = as_words(ignore)
        self.split = Split(**(split or {}))
        self.segment = Segment(**(segment or {}))
        self.edition = edition
        self._place = lru_cache(maxsize=None)(self._read_place)  # folders are few, files many
        self._is_ignored = lru_cache(maxsize=None)(self._match_ignored)
        self._values = lru_cache(maxsize=None)(self._read_values)

    @cached_property
    def dcase(self) -> DcaseReader | None:
        """The reader of a DCASE layout, where the folder has one."""
        if self.edition == OWN:
            return None
        if (
            self.edition is not None
            or has_dcase_names(self.root)
            or any((self.root / name).is_dir() for name in ("dev_data", "eval_data"))
        ):
            return DcaseReader(self.root, edition=self.edition)
        return None

    def machines(self) -> list[str]:
        """The machines, by name; none where no folder is called normal, anomalous, train or test.

        Raises:
            ValueError: The folders can be read in several ways.
        """
        if self.dcase:
            return self.dcase.machines()
        return sorted({recording.machine for recording in self._recordings})

    def read(self, machine: str) -> Reading:
        """The clips of one machine.

        Raises:
            ValueError: There is no such machine, or none of its files can be used.
        """
        if self.dcase:
            return self.dcase.read(machine)
        require_machine(machine, self.machines(), self.root)
        ours = [recording for recording in self._recordings if recording.machine == machine]
        excluded = {**self._listing.excluded, **self._unplaced(machine)}
        notes = list(self._level_notes)
        clips = self._clips(ours, excluded, notes)
        if self.segment.seconds is not None:
            clips = cut(clips, self.root, self.segment, excluded)
            notes.append(self.segment.note())
        names = {number: name for name, number in number_sections(one.section for one in ours).items() if name}
        table = clip_table(machine, self.root, clips, section_names=names)
        return Reading(table, dict(sorted(excluded.items())), self._listing.ignored, tuple(notes))

    @cached_property
    def _listing(self) -> Listing:
        """All files, those of ignored folders taken out."""
        listing = list_sound(self.root, self.root) if self.root.is_dir() else Listing()
        kept = []
        for file in listing.files:
            if self._is_ignored(file.path.rpartition("/")[0]):
                listing.ignored[file.path] = "in a folder of data.reader.ignore"
            else:
                kept.append(file)
        listing.files = kept
        return listing

    def _match_ignored(self, folder: str) -> bool:
        """Whether a folder, or one that holds it, is to be passed over."""
        patterns = [pattern.casefold() for pattern in self.ignore]
        return any(fnmatch.fnmatchcase(part, p) for part in folder.casefold().split("/") for p in patterns)

    def _read_place(self, folder: str) -> Place:
        """What the path of a folder, relative to the root, says."""
        parts = tuple(folder.split("/")) if folder else ()
        roles: list[dict[str, str]] = []
        for part in parts:
            word = part.casefold()
            role = {"split": SPLITS.get(word, ""), "domain": word if word in DOMAINS else ""}
            role["label"] = "" if any(role.values()) else self.words.label_of_folder(part)
            roles.append({kind: value for kind, value in role.items() if value})
        last = max((at for at, role in enumerate(roles) if role), default=-1)
        plain = [(at, part) for at, (part, role) in enumerate(zip(parts, roles, strict=True)) if not role]
        outer = tuple(part for at, part in plain if at < last)
        inner = tuple(part for at, part in plain if at > last)
        found: dict[str, str] = {}
        for kind in ("label", "split", "domain"):
            values = {role[kind] for role in roles if kind in role}
            if len(values) > 1:
                kinds = f"its folders name two kinds of {kind}, {' and '.join(sorted(values))}: move it out of one"
                return Place(outer, inner, problem=kinds)
            found |= dict.fromkeys([kind] if values else [], "".join(values))
        if not found.get("label") and not found.get("split"):
            problem = (
                "in no folder called normal or anomalous, train or test; name yours by data.reader.normal=[…] and "
                "data.reader.anomalous=[…], or leave a folder out by data.reader.ignore=[…]"
            )
            return Place(outer, inner, problem=problem)
        return Place(outer, inner, **found)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """What the outer folders are.

        Raises:
            ValueError: They can be read in several ways.
        """
        if self.asked_levels is not None:
            return self.asked_levels
        places = {self._place(file.path.rpartition("/")[0]) for file in self._listing.files}
        outer = {place.outer for place in places if not place.problem}
        return guess_levels(outer, self.root)

    @cached_property
    def _level_notes(self) -> tuple[str, ...]:
        if self.asked_levels is not None or not self.levels:
            return ()
        return (f"folders above the label: {', '.join(self.levels)} (data.reader.levels=[…] says otherwise)",)

    @cached_property
    def _recordings(self) -> list[Recording]:
        """The files that their folders place in a machine.

        Raises:
            ValueError: The folders can be read in several ways, or two machines would have one name.
        """
        self._refuse_dcase_below()
        folders: dict[str, str] = {}
        found = []
        for file in self._listing.files:
            place = self._place(file.path.rpartition("/")[0])
            values = self._values(place)
            if place.problem or values is None:
                continue
            folder = "/".join(values["machine"]) or self.root.resolve().name
            name = machine_name(folder)
            if folders.setdefault(name, folder) != folder:
                raise ValueError(f"{self.root}: {folders[name]} and {folder} are both machine={name}; rename one")
            domain = place.domain or "/".join(values["domain"]).casefold()
            attributes = "/".join((*values["attribute"], *values["rest"]))
            found.append(Recording(file, place._replace(domain=domain), name, "/".join(values["section"]), attributes))
        return found

    def _refuse_dcase_below(self) -> None:
        """Raises ValueError where the folder holds a DCASE layout one or more levels off."""
        if self.edition == OWN:
            return
        roots = (dcase_root(self.root, file.path) for file in self._listing.files)
        if found := next(filter(None, roots), None):
            raise ValueError(
                f"{self.root}: names and folders of DCASE Task 2, at another level. Give data.root={found}, "
                f"or data.edition=own to read the folder by its words all the same"
            )

    def _read_values(self, place: Place) -> dict[str, tuple[str, ...]] | None:
        """The folders of a place by what they are; None where some are missing."""
        plain = place.outer + place.inner if self.asked_levels is not None else place.outer
        if len(plain) < len(self.levels):
            return None
        named = list(zip(self.levels, plain, strict=False))
        rest = plain[len(self.levels) :] if self.asked_levels is not None else place.inner
        return {kind: tuple(part for level, part in named if level == kind) for kind in LEVELS} | {"rest": rest}

    def _unplaced(self, machine: str) -> dict[str, str]:
        """The files that no folder explains and that lie below the machine's folder, or above all machines'."""
        found = {}
        for file in self._listing.files:
            folder = file.path.rpartition("/")[0]
            place, values = self._place(folder), self._values(self._place(folder))
            if not place.problem and values is not None:
                continue
            plain = place.outer + place.inner
            at = self.levels.index("machine") if "machine" in self.levels else None
            if at is None or len(plain) <= at or machine_name(plain[at]) == machine:
                found[file.path] = place.problem or f"lies above the folders of {', '.join(self.levels)}"
        return found

    def _clips(self, ours: list[Recording], excluded: dict[str, str], notes: list[str]) -> list[Clip]:
        """The clips of a machine; their split is told, follows from what is told, or is drawn."""
        numbers = number_sections(one.section for one in ours)
        splits = {one.place.split for one in ours}
        has_domains = any(one.place.domain for one in ours)
        drawn = set() if splits & {"train", "test"} else self._draw_test(ours, notes)
        clips = []
        for one in ours:
            try:
                split, label = self._split(one, splits, drawn)
                domain = check_domain(one.place.domain) if has_domains else NO_DOMAIN
            except ValueError as error:
                excluded[one.file.path] = str(error)
                continue
            clips.append(Clip(one.file, numbers[one.section], domain, split, label, one.attributes))
        return clips

    def _draw_test(self, ours: list[Recording], notes: list[str]) -> set[str]:
        """The normal files that are tested on where no folder tells."""
        by_section: dict[str, list[str]] = defaultdict(list)
        for one in ours:
            if one.place.label == "normal":
                by_section[one.section].append(one.file.path)
        drawn = set().union(*(self.split.test_files(paths) for paths in by_section.values()))
        n_normal = sum(map(len, by_section.values()))
        notes.append(split_note(self.split, n_normal - len(drawn), len(drawn)))
        return drawn

    @staticmethod
    def _split(one: Recording, splits: set[str], drawn: set[str]) -> tuple[str, str]:
        """Split and label of a file.

        Raises:
            ValueError: An anomaly is in train/, or a file is beside both train/ and test/.
        """
        label, split = one.place.label, one.place.split
        if split == "train" and label == "anomaly":
            raise ValueError("an anomaly among the training clips; training clips are normal: move it to test")
        if split:
            return split, label or ("normal" if split == "train" else "unknown")
        if label == "anomaly":
            return "test", label
        if {"train", "test"} <= splits:
            raise ValueError("neither in train nor in test, where others are; move it into one of them")
        if "train" in splits or one.file.path in drawn:
            return "test", label
        return "train", label


def split_note(split: Split, n_train: int, n_test: int) -> str:
    """How normal recordings were split, in a sentence."""
    by = {"file": "by file", "folder": "by folder"}.get(split.by, f"by session ({split.by})")
    text = f"normal recordings split {by}, seed {split.seed}: {n_train} for training, {n_test} for test"
    if n_test or not split.test_share:
        return f"{text} (data.reader.split.test_share, .by, .seed)"
    return f"{text}: a single session is not divided. There is no AUC without normal test clips: add recordings"


def check_levels(levels: Sequence[str]) -> tuple[str, ...]:
    """Raises ValueError where levels are not of those that there are, or one is given twice that can be only once."""
    counts = Counter(levels)
    if wrong := [level for level in counts if level not in LEVELS or (counts[level] > 1 and level != "attribute")]:
        raise ValueError(
            f"data.reader.levels=[{','.join(map(str, levels))}]: {wrong[0]} is not allowed there; give "
            f"{', '.join(LEVELS)}, from the top, each once (attribute: any number)"
        )
    return tuple(levels)


def check_domain(domain: str) -> str:
    """A domain; unknown where it is not told.

    Raises:
        ValueError: It is another word.
    """
    if domain and domain not in DOMAINS:
        raise ValueError(f"the folder of its domain is called {domain}; name it source or target")
    return domain or "unknown"


def guess_levels(outer: set[tuple[str, ...]], root: Path) -> tuple[str, ...]:
    """What folders above the labels are, where that is plain.

    Raises:
        ValueError: It is not.
    """
    depths = {len(folders) for folders in outer}
    if depths <= {0}:
        return ()
    examples = ", ".join(sorted("/".join(folders) or "." for folders in outer)[:4])
    if len(depths) > 1:
        raise ValueError(
            f"{root}: recordings lie below unlike numbers of folders ({examples}). Say what they are from the top: "
            f"data.reader.levels=[machine,section], [machine,attribute], [section] …, or leave some out by "
            f"data.reader.ignore=[…]"
        )
    are_individuals = all(INDIVIDUAL.fullmatch(folders[-1]) for folders in outer)
    if depths == {1}:
        return ("section",) if are_individuals else ("machine",)
    if depths == {2} and are_individuals:
        return ("machine", "section")
    n_levels = next(iter(depths))
    choices = "[machine,section] or [machine,attribute]" if n_levels == 2 else "[attribute,machine,section] or another"
    raise ValueError(
        f"{root}: {n_levels} folders above the label ({examples}). Say what they are from the top: "
        f"data.reader.levels={choices}"
    )
