"""Every file of a data set against the rules of its edition, and a report a person can act on."""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial as bind
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile

from asd.data.clips import SETS, printable
from asd.data.containers import missing_bytes
from asd.dcase.counts import Group
from asd.dcase.editions import Edition
from asd.system.cores import n_cores
from asd.system.progress import track

EXAMPLES = 3  # of each kind, in the summary


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
    severity: Literal["problem", "note"] = "problem"


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
    edition: int
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


def check(root: Path, edition: Edition, *, partial: bool = False, workers: int | None = None) -> Report:
    """Reads every clip below a folder.

    Args:
        root: Holds dev_data and/or eval_data, or the machines themselves.
        edition: Whose rules count.
        partial: Missing clips are notes: the data set is a selection on purpose.
        workers: Files read at a time; None: one per core.

    Raises:
        ValueError: No such folder, or no clips in it.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; it should hold dev_data and/or eval_data")
    files, findings = list_files(root, edition)
    if not files:
        raise ValueError(f"{root}: no clips; expected dev_data/<machine>/{next(iter(edition.folders))}/*.wav")
    with ThreadPoolExecutor(workers or n_cores()) as pool:
        found = pool.map(bind(check_file, root, edition), files)
        checked = list(track(found, f"checking {root}", total=len(files), unit="file"))
    counts = Counter(one.group for one in checked if one.group is not None)
    findings += [finding for one in checked for finding in one.findings]
    findings += duplicates(checked)
    findings += count_findings(counts, edition, partial)
    findings += attribute_findings(files, root, edition)
    return Report(root, edition.year, len(files), counts, findings)


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
            for file in sorted(file for file in machine.rglob("*") if not file.is_dir() and file.name[0] != "."):
                if file.suffix.lower() == ".wav":
                    files.append(Place(file, place.name if place != root else SETS[0], machine.name))
                elif file.parent != machine:
                    findings.append(
                        Finding(
                            "place", printable(file.relative_to(root).as_posix()), "not a clip; it is not used", "note"
                        )
                    )
    return files, findings


def check_file(root: Path, edition: Edition, place: Place) -> Checked:
    """Name, place and content of one clip."""
    path = printable(place.file.relative_to(root).as_posix())
    group, findings = None, []
    try:
        clip = edition.read_name(place.file.name, place.file.parent.name)
        group = Group(place.folder, place.machine, clip.section, clip.domain, clip.split, clip.label)
    except ValueError as error:
        findings.append(Finding("name", path, str(error)))
    digest, wrong = check_content(place.file, edition)
    return Checked(path, group, digest, findings + [Finding(kind, path, text) for kind, text in wrong])


def check_content(file: Path, edition: Edition) -> tuple[str, list[tuple[str, str]]]:
    """A digest of the file's bytes, and what is wrong with its sound, as (kind, message)."""
    if not file.is_file():
        return "", [("header", "no regular file, or a link that leads nowhere")]
    try:
        content = file.read_bytes()
        short = missing_bytes(file)
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            wrong = list(format_problems(sound, edition))
            samples = sound.read(dtype="float64", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        return "", [("header", f"cannot be read as sound ({error}); fetch it again")]
    if short:
        wrong.append(("truncated", f"{short} bytes fewer than its header promises; fetch it again"))
    return hashlib.blake2b(content).hexdigest(), wrong + list(sample_problems(samples, edition))


def format_problems(sound: soundfile.SoundFile, edition: Edition) -> Iterator[tuple[str, str]]:
    """What the header says that the edition's clips do not have."""
    if sound.samplerate != edition.sample_rate:
        yield "rate", f"{sound.samplerate} Hz, expected {edition.sample_rate} Hz"
    if sound.channels != edition.channels:
        yield "channels", f"{sound.channels} channels, expected {edition.channels}"


def sample_problems(samples: np.ndarray, edition: Edition) -> Iterator[tuple[str, str]]:
    """What is wrong with samples (frames, channels)."""
    low, high = edition.seconds
    seconds = len(samples) / edition.sample_rate
    if not low <= seconds <= high:
        expected = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        yield "length", f"{seconds:g} s ({len(samples)} samples), expected {expected} s"
    if not np.isfinite(samples).all():
        yield "finite", "holds values that are no numbers (NaN or infinite)"
    elif len(samples) and np.ptp(samples, axis=0).min() == 0:
        yield "silent", "a channel never changes: no sound"


def duplicates(checked: Iterable[Checked]) -> list[Finding]:
    """Clips with the very same bytes as an earlier one."""
    first: dict[str, str] = {}
    findings = []
    for one in checked:
        if one.digest and first.setdefault(one.digest, one.path) != one.path:
            findings.append(Finding("duplicate", one.path, f"the same bytes as {first[one.digest]}"))
    return findings


def count_findings(counts: Counter[Group], edition: Edition, partial: bool) -> Iterator[Finding]:
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
            severity: Literal["problem", "note"] = "note" if partial and found < expected else "problem"
            yield Finding("count", f"{group.folder}/{group.machine}", text, severity)


def attribute_findings(files: Iterable[Place], root: Path, edition: Edition) -> Iterator[Finding]:
    """Machines that lack the attribute file of their edition."""
    homes = {file.parent.parent for file, _, _ in files}
    for home in sorted(homes) if edition.attribute_files else ():
        if not list(home.glob(edition.attribute_files)):
            path = home.relative_to(root).as_posix()
            yield Finding("place", path, f"no {edition.attribute_files}; attributes are unknown then", "note")


def summary(report: Report) -> str:
    """The report for a person: what there is, then each kind of finding with its first examples."""
    lines = [f"{report.root}: {report.n_files} clips checked against edition {report.edition}"]
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
