"""Files that are either whole or not there."""

import csv
import errno
import fcntl
import io
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NoRoomError(OSError):
    """A file could not be written whole: the disk, a quota or a limit on files is full."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what was written there takes its place, flushed to the disk, or nothing does.

    Raises:
        NoRoomError: The disk is full; the file that was there before is whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with saying_what_is_free(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def saying_what_is_free(path: Path) -> Iterator[None]:
    """Turns the errors of a full disk into one that says what to do.

    Raises:
        NoRoomError: With the free bytes.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM or isinstance(error, NoRoomError):
            raise
        place = next(folder for folder in path.absolute().parents if folder.exists())
        raise NoRoomError(
            error.errno,
            f"no room to write {path} ({os.strerror(error.errno or 0)}): {shutil.disk_usage(place).free:,} bytes are "
            f"free there. Earlier files are whole: make room and type the same command again",
        ) from error


def sync_folder(folder: Path) -> None:
    """Makes a new name in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Removes the temporary files that killed processes left under a folder, where nobody else writes such files."""
    for path in folder.rglob(f".{name}.*.tmp"):
        path.unlink()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits until no other process is inside such a block; a process that dies leaves it.

    Args:
        path: An empty file that stands for the block; stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def append_line(path: Path, line: str) -> None:
    """Adds a line to a text file, safe on the disk when this returns.

    Raises:
        NoRoomError: The disk is full; part of the line may stand at the end of the file.
    """
    with saying_what_is_free(path), open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Writes a text file as a whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file as a whole."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; numbers read back as the same bits, None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file with a line of column names, as a whole."""
    write_text(path, csv_text([columns, *rows]))
