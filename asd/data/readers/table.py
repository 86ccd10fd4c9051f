"""Reader of a table: a CSV or TSV file with a row for each recording, or for each part of one."""

import csv
import io
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import soundfile

from asd.data.clips import NO_DOMAIN
from asd.data.readers.contract import Clip, Reading, clip_table, require_machine
from asd.data.readers.folder import split_note
from asd.data.readers.segments import Segment, cut
from asd.data.readers.split import Split
from asd.data.readers.words import ANOMALOUS, DOMAINS, NORMAL, SPLITS, LabelWords, machine_name, number_sections
from asd.data.sound_files import UNWRITABLE, SoundFile, list_sound, printable
from asd.system.files import write_text

COLUMNS = ("path", "label", "split", "section", "domain", "attributes", "machine", "start", "stop")
DELIMITERS = ",;\t"


class Row(NamedTuple):
    """One row as it was understood; texts are empty where nothing is known.

    Attributes:
        line: Number of its line in the file, from 1.
        start: First second of the part, None: the beginning.
        stop: Last second of the part, None: the end.
    """

    line: int
    file: SoundFile
    machine: str
    section: str
    domain: str
    split: str
    label: str
    attributes: str
    start: float | None
    stop: float | None


class OddCellError(ValueError):
    """A cell that cannot be used: its column and what is wrong with it."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"column {column}: {why}")


class TableReader:
    """Reads the recordings that a table lists.

    Args:
        root: The table: .csv (separated by comma, semicolon or tab) or .tsv, UTF-8, with a line of column names. Paths
            in it are relative to its folder; start and stop are seconds.
        columns: Names of columns where they differ, such as {path: Datei, label: Zustand}.
        normal: Words for normal in the column of labels, in any letter case; an empty cell is unknown; None:
            those of `words`.
        anomalous: Words for anomalous; None: those of `words`.
        split: How test recordings are chosen where the table does not say; keys as of `Split`.
        segment: Cuts long recordings; keys as of `Segment`.

    Raises:
        ValueError: An option that is out of range.
    """

    def __init__(
        self,
        root: Path,
        *,
        columns: Mapping[str, str] | None = None,
        normal: Sequence[str] | None = None,
        anomalous: Sequence[str] | None = None,
        split: Mapping[str, Any] | None = None,
        segment: Mapping[str, Any] | None = None,
    ) -> None:
        self.file = Path(root)
        self.root = self.file.parent
        unknown = sorted(set(columns or {}) - set(COLUMNS))
        if unknown:
            raise ValueError(f"data.reader.columns.{unknown[0]}: no such column; give one of {', '.join(COLUMNS)}")
        self.asked = {kind: str(name) for kind, name in (columns or {}).items() if name not in (None, "")}
        self.words = LabelWords(NORMAL if normal is None else normal, ANOMALOUS if anomalous is None else anomalous)
        self.split = Split(**(split or {}))
        self.segment = Segment(**(segment or {}))

    def machines(self) -> list[str]:
        """The machines of the table, by name.

        Raises:
            ValueError: The file is no such table.
        """
        return sorted({row.machine for row in self._rows[0]})

    def read(self, machine: str) -> Reading:
        """The clips of one machine.

        Raises:
            ValueError: The file is no such table, or it lists no such machine.
        """
        rows, odd = self._rows
        require_machine(machine, self.machines(), self.file)
        ours, excluded = [row for row in rows if row.machine == machine], dict(odd)
        names = number_sections(row.section for row in ours)
        has_domains = any(row.domain for row in ours)
        drawn, notes = self._draw_test(ours)
        clips = []
        for row in ours:
            split = row.split or ("test" if row.label != "normal" or row.file.path in drawn else "train")
            domain = (row.domain or "unknown") if has_domains else NO_DOMAIN
            label = row.label or ("normal" if split == "train" else "unknown")
            clip = Clip(row.file, names[row.section], domain, split, label, row.attributes)
            try:
                clips.append(with_span(clip, row, self.root))
            except ValueError as error:
                excluded[self._where(row.line, row.file.path)] = str(error)
        if self.segment.seconds is not None:
            clips, notes = cut(clips, self.root, self.segment, excluded), [*notes, self.segment.note()]
        section_names = {number: name for name, number in names.items() if name}
        return Reading(clip_table(machine, self.root, clips, section_names=section_names), excluded, {}, tuple(notes))

    def _where(self, line: int, path: str = "") -> str:
        return f"{self.file.name} line {line}" + (f", {printable(path)}" if path else "")

    def _draw_test(self, rows: list[Row]) -> tuple[set[str], list[str]]:
        """The normal files that are tested on, where the table tells no split at all."""
        open_rows: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            if not row.split and row.label == "normal":
                open_rows[row.section].append(row.file.path)
        if not open_rows:
            return set(), []
        drawn = set().union(*(self.split.test_files(list(dict.fromkeys(paths))) for paths in open_rows.values()))
        n_normal = sum(len(set(paths)) for paths in open_rows.values())
        return drawn, [split_note(self.split, n_normal - len(drawn), len(drawn))]

    @cached_property
    def _rows(self) -> tuple[list[Row], dict[str, str]]:
        """The rows that can be used, and what is wrong with the others."""
        rows: list[Row] = []
        odd: dict[str, str] = {}
        seen: dict[tuple[str, float | None, float | None], int] = {}
        for line, cells in self._cells():
            try:
                row = self._row(line, cells)
                first = seen.setdefault((row.file.path, row.start, row.stop), line)
                if first != line:
                    raise OddCellError("path", f"the same clip as in line {first}; remove one of the two")
                rows.append(row)
            except OddCellError as error:
                odd[self._where(line, cells.get("path", ""))] = str(error)
        if not rows and odd:
            where, why = next(iter(odd.items()))
            raise ValueError(f"{self.file}: none of its {len(odd)} rows can be used. The first, {where}: {why}")
        return rows, odd

    def _cells(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The cells of each row by what they are, without spaces around them; empty rows are passed over.

        Raises:
            ValueError: The file cannot be read as a table, or lacks a column.
        """
        check_table_file(self.file)
        try:
            with open(self.file, newline="", encoding="utf-8-sig") as stream:
                head = stream.readline()
                stream.seek(0)
                delimiter = "\t" if self.file.suffix.lower() == ".tsv" else max(DELIMITERS, key=head.count)
                reader = csv.reader(stream, delimiter=delimiter)
                names = [name.strip() for name in next(reader, [])]
                places = self._places(names)
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield (
                            reader.line_num,
                            {kind: cells[at].strip() if at < len(cells) else "" for kind, at in places.items()},
                        )
        except (UnicodeDecodeError, csv.Error, OSError) as error:
            raise ValueError(
                f"{self.file}: cannot be read as a table in UTF-8 ({error}); save it as CSV UTF-8"
            ) from None

    def _places(self, names: list[str]) -> dict[str, int]:
        """Where each known column is.

        Raises:
            ValueError: A column that was named is missing, is there twice, or there is none of paths.
        """
        places: dict[str, int] = {}
        for kind in COLUMNS:
            wanted = self.asked.get(kind, kind)
            found = [at for at, name in enumerate(names) if name.casefold() == wanted.casefold()]
            if len(found) > 1:
                raise ValueError(f"{self.file}: {len(found)} columns are called {wanted}; rename all but one")
            if not found and (kind in self.asked or kind == "path"):
                there = ", ".join(filter(None, names)) or "none"
                raise ValueError(
                    f"{self.file}: no column {wanted}; there are {there}. Say which it is: "
                    f"data.reader.columns.{kind}=NAME"
                )
            if found:
                places[kind] = found[0]
        return places

    def _row(self, line: int, cells: dict[str, str]) -> Row:
        """Understands one row.

        Raises:
            OddCellError: A cell cannot be used.
        """
        file = self._sound_file(cells["path"])
        label = self.words.label(cells.get("label", ""))
        if cells.get("label") and not label and cells["label"].casefold() != "unknown":
            raise OddCellError(
                self.asked.get("label", "label"),
                f"{cells['label']!r} is neither {', '.join(self.words.normal)} nor {', '.join(self.words.anomalous)}; "
                "name your words by data.reader.normal=[…] and data.reader.anomalous=[…], or leave the cell empty",
            )
        split = self._word(cells, "split", SPLITS)
        if split == "train" and label == "anomaly":
            raise OddCellError(
                self.asked.get("label", "label"),
                "an anomaly among the training clips; training clips are normal: give test in column "
                f"{self.asked.get('split', 'split')}",
            )
        start, stop = (self._seconds(cells, kind) for kind in ("start", "stop"))
        if stop is not None and stop <= (start or 0):
            raise OddCellError(
                self.asked.get("stop", "stop"), f"{stop:g} s is not after the start, {start or 0:g} s: give a later one"
            )
        return Row(
            line=line,
            file=file,
            machine=machine_name(cells.get("machine") or self.file.stem),
            section=cells.get("section", ""),
            domain=self._word(cells, "domain", {word: word for word in DOMAINS} | {"unknown": "unknown", "none": ""}),
            split=split,
            label=label,
            attributes=cells.get("attributes", ""),
            start=start,
            stop=stop,
        )

    def _word(self, cells: dict[str, str], kind: str, words: Mapping[str, str]) -> str:
        """The meaning of a cell that holds one of a few words, or nothing.

        Raises:
            OddCellError: It holds another.
        """
        text = cells.get(kind, "")
        if text and text.casefold() not in words:
            raise OddCellError(self.asked.get(kind, kind), f"{text!r}: give {', '.join(words)}, or leave it empty")
        return words.get(text.casefold(), "")

    def _seconds(self, cells: dict[str, str], kind: str) -> float | None:
        """A time in seconds; None for an empty cell.

        Raises:
            OddCellError: It is no such number.
        """
        text = cells.get(kind, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise OddCellError(self.asked.get(kind, kind), f"{text!r}: give seconds such as 12.5, or leave it empty")
        return value

    def _sound_file(self, text: str) -> SoundFile:
        """The file that a cell names.

        Raises:
            OddCellError: There is no such file.
        """
        column = self.asked.get("path", "path")
        if not text:
            raise OddCellError(column, "is empty; give the path of a recording")
        if UNWRITABLE.search(text):
            raise OddCellError(column, "holds control characters; rename the file")
        for spelling in dict.fromkeys((text, text.replace("\\", "/"))):
            try:
                status = os.stat(os.path.join(self.root, spelling))
            except (OSError, ValueError):
                continue
            if not stat.S_ISREG(status.st_mode):
                raise OddCellError(column, f"{text}: not a regular file; give the path of a recording")
            path = os.path.relpath(spelling, self.root) if os.path.isabs(spelling) else os.path.normpath(spelling)
            return SoundFile(path, status.st_size, status.st_mtime_ns)
        raise OddCellError(column, f"no such file; give a path relative to {self.root}")


def check_table_file(file: Path) -> None:
    """Raises ValueError where a file is none that the reader of tables can read."""
    if file.is_dir():
        raise ValueError(f"{file} is a folder: give the table itself, data.table={file}/NAME.csv")
    if not file.is_file():
        raise ValueError(f"{file}: no such table; give data.table=FILE.csv")
    if file.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise ValueError(f"{file}: a table is a .csv or .tsv file; save it as CSV UTF-8")


def with_span(clip: Clip, row: Row, root: Path) -> Clip:
    """The clip as the part of its file that a row names, in samples of the file.

    Raises:
        ValueError: The file's rate cannot be read, or the part lies beyond its end.
    """
    if row.start is None and row.stop is None:
        return clip
    try:
        header = soundfile.info(root / clip.file.path)
    except (OSError, soundfile.SoundFileError) as error:
        raise ValueError(f"cannot be read as sound ({error})") from None
    start = round((row.start or 0) * header.samplerate)
    stop = -1 if row.stop is None else round(row.stop * header.samplerate)
    if max(start + 1, stop) > header.frames:
        raise ValueError(
            f"columns start and stop: the file ends after {header.duration:g} s, before the part from "
            f"{row.start or 0:g} s is over; give a part of it, or leave stop empty"
        )
    return clip._replace(start=start, stop=stop)


def write_table(file: Path, readings: Sequence[Reading], root: Path) -> None:
    """Writes clips as a table that `TableReader` reads, for a person to complete.

    Args:
        file: New; paths in it are relative to its folder.
        readings: Of each machine. Where there are none, all sound below `root` is listed without a description.
        root: Folder of the recordings.

    Raises:
        ValueError: The file exists.
    """
    if file.exists():
        raise ValueError(f"{file} exists already and is not replaced; give another name")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    here = file.absolute().parent
    for reading in readings:
        writer.writerows(_table_rows(reading, here))
    if not readings:
        writer.writerows([os.path.relpath(root / one.path, here)] for one in list_sound(root, root).files)
    write_text(file, text.getvalue())


def _table_rows(reading: Reading, here: Path) -> Iterator[list[object]]:
    """The rows of one machine's clips."""
    table = reading.table
    for row in range(len(table)):
        span: list[object] = ["", ""]
        if table.is_part[row]:
            rate = soundfile.info(table.absolute(row)).samplerate
            stop = table.stop[row] / rate if table.stop[row] >= 0 else ""
            span = [table.start[row] / rate, stop]
        section = int(table.section[row])
        yield [
            os.path.relpath(table.absolute(row), here),
            "" if table.label[row] == "unknown" else table.label[row],
            table.split[row],
            table.section_names.get(section, f"{section:02d}"),
            "" if table.domain[row] in (NO_DOMAIN, "unknown") else table.domain[row],
            table.attributes[row],
            table.machine,
            *span,
        ]
