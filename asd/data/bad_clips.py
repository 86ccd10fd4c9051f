"""Which clips of a machine are used: all of them or none, or under data.on_bad_clip=skip those that can be.

What is wrong with a clip shows only when it is decoded. A list of the unusable ones lies beside the decoded samples,
so that they are decoded once and the next opening leaves out the same clips and says so again.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np

from asd.data.clips import ClipTable
from asd.data.decoding import Decoding
from asd.data.readers.contract import Reader, Reading
from asd.data.sound_files import first_few
from asd.system.files import write_json
from asd.system.progress import say
from asd.system.reading import read_json

OnBadClip = Literal["error", "skip"]
REST = "asd data describe DIR --json lists all; data.on_bad_clip=skip lists them in skipped.csv"
Bank = TypeVar("Bank")  # data/waveforms, which imports torch


class BadClipsError(ValueError):
    """Clips that cannot be used.

    Attributes:
        why: Of each clip, by its name (`ClipTable.clip_names`) or the path of its whole file: what is wrong with it.
    """

    def __init__(self, root: Path, why: Mapping[str, str]) -> None:
        self.why = dict(why)
        lines = first_few({str(root.absolute() / name): reason for name, reason in why.items()}, REST)
        super().__init__(
            f"{len(why)} clips cannot be used; correct or remove them, or leave them out with "
            f"data.on_bad_clip=skip:{lines}"
        )


def refuse(root: Path, why: Mapping[str, str]) -> None:
    """Raises BadClipsError where there are any, with all of them."""
    if why:
        raise BadClipsError(root, why)


@dataclass(frozen=True)
class Usable(Generic[Bank]):
    """The clips that are used.

    Attributes:
        table: Their rows.
        bank: Their waveforms, row by row.
        skipped: Of each file that is left out, by its path relative to the data's root: why.
    """

    table: ClipTable
    bank: Bank
    skipped: dict[str, str]

    def announce(self) -> None:
        """Says on the terminal that clips are left out."""
        if self.skipped:
            first, why = next(iter(self.skipped.items()))
            n_all = len(self.table) + len(self.skipped)
            say(f"{self.table.machine}: {len(self.skipped)} of {n_all} clips are SKIPPED, such as {first}: {why}")


def read_clips(reader: Reader, machine: str, on_bad_clip: OnBadClip) -> Reading:
    """What a reader makes of a machine's recordings; under `error` all of its files must be clips.

    Raises:
        ValueError: As of the reader and of `check_sections`, or files cannot be used; some of them are named.
    """
    reading = reader.read(machine)
    if on_bad_clip == "error":
        refuse_excluded(reading)
    check_sections(reading.table)
    return reading


def refuse_excluded(reading: Reading) -> None:
    """Raises ValueError where a reader found files that cannot be used; some of them are named."""
    if reading.excluded:
        raise ValueError(
            f"{reading.table.root}: {len(reading.excluded)} files of {reading.table.machine} do not fit the layout; "
            f"correct or remove them, or leave them out with data.on_bad_clip=skip:{first_few(reading.excluded, REST)}"
        )


def check_sections(table: ClipTable) -> None:
    """Looks for sections of which no clip could be scored: better said before a training than after it.

    Raises:
        ValueError: No clips, test clips without training clips of their section, or a training clip without another.
    """
    problems = [] if len(table) else ["there are no clips"]
    for section in np.unique(table.section):
        title, n_train = table.section_title(section), int((table.is_train & (table.section == section)).sum())
        if n_train == 0:
            problems.append(f"{title} has test clips, but no training clips to compare them with")
        elif n_train == 1:
            problems.append(f"{title} has one training clip, which has no other to be compared with")
    if problems:
        raise ValueError(
            f"{table.root}, {table.machine}: {'; '.join(problems)}. Add training clips or remove the section"
        )


def open_usable(
    reading: Reading,
    cache: Path,
    open_bank: Callable[[ClipTable], Bank],
    decoding: Decoding,
    *,
    on_bad_clip: OnBadClip,
) -> Usable[Bank]:
    """The bank of all clips, or of those that can be used.

    Args:
        reading: The clips, as `read_clips` gave them.
        cache: Folder for the list of unusable clips.
        open_bank: Decodes the clips of a table and raises BadClipsError.
        decoding: That `open_bank` asks for.
        on_bad_clip: error or skip.

    Raises:
        ValueError: Under `error` clips are unusable; under `skip` a section is left without enough training clips.
    """
    table = reading.table
    if on_bad_clip == "error":
        return Usable(table, open_bank(table), {})
    key = clips_key(table, *decoding.identity, decoding.min_samples)
    file = cache.absolute() / f"{table.machine}-{key}.unusable.json"
    bad = read_verdict(file, table)
    if bad is None:
        try:
            open_bank(table)
            bad = {}
        except BadClipsError as error:
            bad = error.why
        write_json(file, bad)
    usable = table.select(~np.isin(table.path, list(bad)) & ~np.isin(table.clip_names, list(bad)))
    refuse_lost_sections(table, usable, bad)
    return Usable(usable, open_bank(usable), dict(sorted({**reading.excluded, **bad}.items())))


def refuse_lost_sections(table: ClipTable, usable: ClipTable, bad: Mapping[str, str]) -> None:
    """Raises ValueError where leaving clips out leaves a section without the training clips that it needs."""
    lost = [table.section_title(section) for section in table.sections if section not in usable.sections]
    if lost:
        raise ValueError(
            f"{table.machine}: no training clip of {', '.join(lost)} can be used; replace or remove the "
            f"section:{first_few(bad, REST)}"
        )
    check_sections(usable)


def clips_key(table: ClipTable, *settings: object) -> str:
    """Identity of clips on this machine and of what was asked of them, without opening a file.

    Beside sizes and times of change the times of the last change of status count, which no program can set back.
    """
    digest, root = hashlib.sha256(repr(settings).encode()), table.root.absolute()
    for row in zip(table.path.tolist(), table.size, table.mtime_ns, table.start, table.stop, strict=True):
        path = f"{root}/{row[0]}"
        digest.update(os.fsencode("\0".join(map(str, (path, changed_ns(path), *row[1:]))) + "\n"))
    return digest.hexdigest()[:32]


def changed_ns(path: str) -> int:
    """When a file's content, owner or rights last changed, in nanoseconds; 0 where it is gone."""
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return 0


def read_verdict(file: Path, table: ClipTable) -> dict[str, str] | None:
    """The unusable clips that an earlier opening found; None where there was none, or its list is damaged."""
    try:
        found = read_json(file, dict[str, str])
    except (OSError, ValueError):
        return None
    return found if set(found) <= {*table.path.tolist(), *table.clip_names.tolist()} else None
