"""Every file of a data set against the rules of training, or of an edition, and a report a person can act on.

Without an edition, a problem is what a training refuses; where the data differ from the edition that they look like is
a note. With one, a problem is whatever the edition's own data do not have: was it fetched as a whole?
"""

import hashlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial as bind
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile

from asd.data.clip_names import SETS
from asd.data.clips import OWN
from asd.data.readers.contract import Reading
from asd.data.readers.describe import make_reader, seen
from asd.data.sound_files import is_sound, litter, printable
from asd.dcase.counts import Group
from asd.dcase.editions import EDITIONS, Edition
from asd.system.cores import n_cores
from asd.system.progress import track
from asd_runtime.containers import missing_bytes

Severity = Literal["problem", "note"]
EXAMPLES = 3  # of each kind, in the summary
TRAINED_RATE = 16_000  # Hz, of the inputs


class Expected(NamedTuple):
    """What the sound of a clip should be.

    Attributes:
        sample_rate: In Hz.
        channels: Their number.
        seconds: Lowest and highest length.
        or_else: What to do about another rate or number of channels.
    """

    sample_rate: int
    channels: int
    seconds: tuple[float, float]
    or_else: Mapping[str, str] = MappingProxyType({})


# Of a training without further keys. How short a clip may be is the input's matter, said when it is trained.
TRAINED = Expected(
    TRAINED_RATE,
    1,
    (0, float("inf")),
    {"rate": ", or give data.sample_rate=resample", "channels": ", or give data.channel=0 (or another), or mean"},
)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        kind: What about: name, header, truncated, rate, channels, length, finite, silent, duplicate, count, place.
        path: File or folder, relative to the root.
        message: What was found and what was expected.
        severity: A note does not change the exit code.
    """

    kind: str
    path: str
    message: str
    severity: Severity = "problem"


class Checked(NamedTuple):
    """What one file gave: its group (None where its name is none), its content's digest, and what is wrong."""

    path: str
    group: Group | None
    digest: str
    findings: list[Finding]


@dataclass(frozen=True)
class Report:
    """All findings about a data set."""

    root: Path
    edition: str
    n_files: int
    counts: Counter[Group]
    findings: list[Finding] = field(default_factory=list)

    @property
    def problems(self) -> list[Finding]:
        """The findings that make the data set unfit."""
        return [finding for finding in self.findings if finding.severity == "problem"]

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        counts = [{**group._asdict(), "clips": count} for group, count in sorted(self.counts.items())]
        return {
            "root": str(self.root),
            "edition": self.edition,
            "files": self.n_files,
            "problems": len(self.problems),
            "findings": [asdict(finding) for finding in self.findings],
            "counts": counts,
        }


def check(root: Path, edition: Edition | None, *, partial: bool = False, workers: int | None = None) -> Report:
    """Reads every clip below a folder.

    Args:
        root: Holds dev_data and/or eval_data, or the machines themselves; without an edition any folder or table that
            a reader reads.
        edition: Whose rules count; None: those of a training.
        partial: Missing clips are notes: the data set is a selection on purpose.
        workers: Files read at a time; None: one per core.

    Raises:
        ValueError: No such folder, or no clips in it.
    """
    if not root.exists() or (edition and not root.is_dir()):
        raise ValueError(f"{root}: no such folder; it should hold dev_data and/or eval_data")
    if edition is None:
        return check_as_trained(root, workers)
    files, findings = list_files(root, edition)
    if not files:
        raise ValueError(f"{root}: no clips; expected dev_data/<machine>/{next(iter(edition.folders))}/*.wav")
    expected = Expected(edition.sample_rate, edition.channels, edition.seconds)
    checked = read_all(root, [(place, bind(named, edition, place)) for place in files], expected, workers)
    counts = Counter(one.group for one in checked if one.group is not None)
    findings += [finding for one in checked for finding in one.findings]
    findings += duplicates(checked)
    findings += count_findings(counts, edition, partial)
    findings += attribute_findings(files, root, edition)
    return Report(root, str(edition.year), len(files), counts, findings)


def check_as_trained(root: Path, workers: int | None) -> Report:
    """Reads every clip of a folder or a table as a training would.

    Raises:
        ValueError: No reader finds clips there.
    """
    _, reader = make_reader(root, {})
    readings = [reader.read(machine) for machine in reader.machines()]
    if not readings:
        raise ValueError(f"{root}: no clips. {seen(root)} Try asd data describe {root}")
    home = readings[0].table.root
    findings = [finding for reading in readings for finding in reading_findings(reading)]
    tasks = [task for reading in readings for task in clips_of(reading)]
    checked = read_all(home, tasks, TRAINED, workers)
    counts = Counter(group for reading in readings for group in groups_of(reading))
    findings += [finding for one in checked for finding in one.findings]
    findings += [replace(finding, severity="note") for finding in duplicates(checked)]
    edition = readings[0].table.edition
    if edition != OWN:
        findings += count_findings(counts, EDITIONS[int(edition)], partial=True, severity="note")
    return Report(root, edition, len(tasks), counts, findings)


def reading_findings(reading: Reading) -> Iterator[Finding]:
    """What a reader left out."""
    for path, why in reading.excluded.items():
        yield Finding("name", path, why)
    for path, why in reading.ignored.items():
        yield Finding("place", path, f"{why}; it is not used", "note")


def groups_of(reading: Reading) -> Iterator[Group]:
    """The group of each clip."""
    table = reading.table
    columns = (table.path, table.section, table.domain, table.split, table.label)
    for path, section, domain, split, label in zip(*(column.tolist() for column in columns), strict=True):
        folder = path.split("/")[0]
        yield Group(folder if folder in SETS else SETS[0], table.machine, section, domain, split, label)


Task = tuple["Place", Callable[[], Group]]


def clips_of(reading: Reading) -> list[Task]:
    """The files of a reading, each once, with their groups."""
    table = reading.table
    groups = dict(zip(table.path.tolist(), groups_of(reading), strict=True))
    return [
        (Place(table.root / path, group.folder, table.machine), bind(Group._make, group))
        for path, group in groups.items()
    ]


def read_all(root: Path, tasks: list[Task], expected: Expected, workers: int | None) -> list[Checked]:
    """Reads files, several at a time."""
    with ThreadPoolExecutor(workers or n_cores()) as pool:
        found = pool.map(lambda task: check_file(root, task[0], task[1], expected), tasks)
        return list(track(found, f"checking {root}", total=len(tasks), unit="file"))


def named(edition: Edition, place: "Place") -> Group:
    """The group of a file by its name and folder.

    Raises:
        ValueError: They are not of the edition.
    """
    clip = edition.read_name(place.file.name, place.file.parent.name)
    return Group(place.folder, place.machine, clip.section, clip.domain, clip.split, clip.label)


class Place(NamedTuple):
    """A file's machine, and the set it belongs to."""

    file: Path
    folder: str
    machine: str


def list_files(root: Path, edition: Edition) -> tuple[list[Place], list[Finding]]:
    """The clips, and what lies where no clip should."""
    files: list[Place] = []
    findings: list[Finding] = []
    for place in [root / name for name in SETS if (root / name).is_dir()] or [root]:
        for machine in sorted(folder for folder in place.iterdir() if folder.is_dir() and folder.name[0] != "."):
            if machine.name not in edition.machines:
                text = f"not a machine of {edition.year}; these are {', '.join(edition.machines)}"
                findings.append(Finding("place", machine.relative_to(root).as_posix(), text))
            for file in sorted(file for file in machine.rglob("*") if not file.is_dir() and not litter(file.name)):
                if is_sound(file.name):
                    files.append(Place(file, place.name if place != root else SETS[0], machine.name))
                elif file.parent != machine:
                    findings.append(
                        Finding(
                            "place", printable(file.relative_to(root).as_posix()), "not a clip; it is not used", "note"
                        )
                    )
    return files, findings


def check_file(root: Path, place: Place, group_of: Callable[[], Group], expected: Expected) -> Checked:
    """Name, place and content of one clip."""
    path = printable(os.path.relpath(place.file, root))
    group, findings = None, []
    try:
        group = group_of()
    except ValueError as error:
        findings.append(Finding("name", path, str(error)))
    digest, wrong = check_content(place.file, expected)
    return Checked(path, group, digest, findings + [Finding(kind, path, text) for kind, text in wrong])


def check_content(file: Path, expected: Expected) -> tuple[str, list[tuple[str, str]]]:
    """A digest of the file's bytes, and what is wrong with its sound, as (kind, message)."""
    if not file.is_file():
        return "", [("header", "no regular file, or a link that leads nowhere")]
    try:
        content = file.read_bytes()
        short = missing_bytes(file)
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            wrong = list(format_problems(sound, expected))
            rate, samples = sound.samplerate, sound.read(dtype="float64", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        return "", [("header", f"cannot be read as sound ({error}); fetch it again")]
    if short:
        wrong.append(("truncated", f"{short} bytes fewer than its header promises; fetch it again"))
    return hashlib.blake2b(content).hexdigest(), wrong + list(sample_problems(samples, rate, expected))


def format_problems(sound: soundfile.SoundFile, expected: Expected) -> Iterator[tuple[str, str]]:
    """What the header says that is not as expected."""
    if sound.samplerate != expected.sample_rate:
        more = expected.or_else.get("rate", "")
        yield "rate", f"{sound.samplerate} Hz, expected {expected.sample_rate} Hz{more}"
    if sound.channels != expected.channels:
        yield (
            "channels",
            f"{sound.channels} channels, expected {expected.channels}{expected.or_else.get('channels', '')}",
        )


def sample_problems(samples: np.ndarray, rate: int, expected: Expected) -> Iterator[tuple[str, str]]:
    """What is wrong with samples (frames, channels) at the file's own rate in Hz."""
    low, high = expected.seconds
    seconds = len(samples) / rate
    if not low <= seconds <= high:
        wanted = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        yield "length", f"{seconds:g} s ({len(samples)} samples at {rate} Hz), expected {wanted} s"
    if not len(samples):
        yield "length", "holds no sound (0 samples)"
    elif not np.isfinite(samples).all():
        yield "finite", "holds non-finite values (NaN or infinite)"
    elif np.ptp(samples, axis=0).min() == 0:
        yield "silent", "a channel never changes: no sound"


def duplicates(checked: Iterable[Checked]) -> list[Finding]:
    """Clips with the very same bytes as an earlier one."""
    first: dict[str, str] = {}
    findings = []
    for one in checked:
        if one.digest and first.setdefault(one.digest, one.path) != one.path:
            findings.append(Finding("duplicate", one.path, f"the same bytes as {first[one.digest]}"))
    return findings


def count_findings(
    counts: Counter[Group], edition: Edition, partial: bool, severity: Severity = "problem"
) -> Iterator[Finding]:
    """Numbers of clips against the edition's, where these are known; what is wholly absent was not fetched: a note."""
    present = {(group.folder, group.machine, group.split) for group in counts}
    known = {(group.folder, group.machine, group.split) for group in edition.counts}
    here = {group.machine for group in counts}
    if absent := sorted({group.machine for group in edition.counts} - here):
        yield Finding("count", ".", f"no clips of {', '.join(absent)}; not fetched?", "note")
    for folder, machine, split in sorted(known - present):
        if machine in here:
            yield Finding("count", f"{folder}/{machine}", f"no {split} clips at all; not fetched?", "note")
    for group in sorted(edition.counts.keys() | counts.keys()):
        where = (group.folder, group.machine, group.split)
        if where not in known or where not in present:
            continue
        found, expected = counts[group], edition.counts.get(group, 0)
        text = f"section {group.section:02d} {group.domain} {group.split} {group.label}: {found} clips, not {expected}"
        if found != expected:
            how: Severity = "note" if partial and found < expected else severity
            yield Finding("count", f"{group.folder}/{group.machine}", text, how)


def attribute_findings(files: Iterable[Place], root: Path, edition: Edition) -> Iterator[Finding]:
    """Machines that lack the attribute file of their edition."""
    homes = {file.parent.parent for file, _, _ in files}
    for home in sorted(homes) if edition.attribute_files else ():
        if not list(home.glob(edition.attribute_files)):
            path = home.relative_to(root).as_posix()
            yield Finding("place", path, f"no {edition.attribute_files}; attributes are unknown then", "note")


def rules(report: Report) -> str:
    """Whose rules counted."""
    return "the rules of training" if report.edition == OWN else f"edition {report.edition}"


def summary(report: Report) -> str:
    """The report for a person: what there is, then each kind of finding with its first examples."""
    lines = [f"{report.root}: {report.n_files} clips checked against {rules(report)}"]
    totals: Counter[tuple[str, str, str]] = Counter()
    for group, count in report.counts.items():
        totals[group.folder, group.machine, group.split] += count
    lines += [f"  {folder}/{machine} {split}: {count}" for (folder, machine, split), count in sorted(totals.items())]
    kinds: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in report.findings:
        kinds[finding.severity, finding.kind].append(finding)
    for (severity, kind), found in sorted(kinds.items(), reverse=True):
        lines.append(f"{severity}: {kind} ({len(found)})")
        lines += [f"  {finding.path}: {finding.message}" for finding in found[:EXAMPLES]]
        if len(found) > EXAMPLES:
            lines.append(f"  … and {len(found) - EXAMPLES} more (--json FILE lists all)")
    n_problems = len(report.problems)
    lines.append(f"{n_problems} problems" if n_problems else "no problems")
    return "\n".join(lines)
