"""Durable files: written beside their place, flushed to the disk, renamed; a reader finds all of a file or none.

A link is never written through, and a file never emptied to be filled again.
"""

import csv
import errno
import fcntl
import io
import json
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from asd.system.processes import is_gone, owner_tag, pid_exists

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
TEMPORARY = re.compile(r"\.(?P<tag>[0-9a-f]{8}-\d+-\d+)(-\d+){0,2}\.tmp$")
EARLIER_TEMPORARY = re.compile(r"[.-](?P<pid>\d+)(-\d+)?\.tmp$")  # before tags had a machine
ABANDONED = 7 * 86400  # seconds after which what a process of another machine left is cleared away
LONGEST_STEM = 160  # bytes of a name that its temporary name repeats: names end at 255


class NoRoomError(OSError):
    """A file could not be written whole: the disk, a quota or a limit on files is full."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what was written there takes its place, flushed to the disk, or nothing does.

    Raises:
        ValueError: A folder or a device is there.
        NoRoomError: The disk is full; the file that was there before is whole.
    """
    refuse_device(path)
    temporary = temporary_beside(path)
    with saying_what_is_free(path):
        make_folder(path.parent)
        try:
            yield temporary
            sync_file(temporary)
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def refuse_device(path: Path) -> None:
    """Raises ValueError where a file would take the place of a folder, a device or, as /dev/stdout, a way to one."""
    if not os.path.lexists(path):
        return
    mode = path.lstat().st_mode
    leads_to_stream = stat.S_ISLNK(mode) and os.readlink(path).startswith("/proc/")
    if leads_to_stream or stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise ValueError(f"{path} is a folder or a device, where a file belongs: move it away, or give another name")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, which takes its place once it is filled, all of it flushed to the disk.

    What earlier processes that were killed left of such folders is removed.

    Raises:
        NoRoomError: The disk is full; the folder that was there before is whole.
    """
    with saying_what_is_free(path):
        make_folder(path.parent)
        remove_leftovers(path.parent, path.name, below=False)
        temporary = temporary_beside(path)
        temporary.mkdir()
        aside = temporary.with_name(temporary.name.replace(".tmp", "-0.tmp"))
        try:
            yield temporary
            sync_tree(temporary)
            if path.exists() or path.is_symlink():
                os.rename(path, aside)
            os.rename(temporary, path)
            sync_folder(path.parent)
        finally:
            for folder in (temporary, aside):
                remove(folder)


def temporary_beside(path: Path) -> Path:
    """A hidden name beside a path, of this thread alone, that tells later processes whether its owner lives."""
    stem = os.fsencode(path.name)[:LONGEST_STEM].decode(errors="ignore")
    return path.with_name(f".{stem}.{owner_tag()}-{threading.get_ident()}.tmp")


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
        raise NoRoomError(error.errno, no_room(path, os.strerror(error.errno or 0))) from error


def no_room(path: Path, reason: str) -> str:
    """What to say where a file does not fit."""
    place = next(folder for folder in path.absolute().parents if folder.exists())
    return (
        f"no room to write {path} ({reason}): {shutil.disk_usage(place).free:,} bytes are free there. "
        f"Earlier files are whole: make room and type the same command again"
    )


def sync_file(path: Path) -> None:
    """Makes the bytes of a file survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Makes a new name in a folder survive a loss of power."""
    sync_file(folder)


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, unless they are there; their names survive a loss of power.

    Raises:
        ValueError: A file, or a link that leads nowhere, has the place of one.
        NoRoomError: The disk is full.
    """
    if not folder.is_dir():
        if os.path.lexists(folder) and not folder.is_dir():  # another process may just have made it
            raise ValueError(
                f"{folder} is a file, or a link that leads nowhere; a folder is needed there: move it away"
            )
        make_folder(folder.parent)
        with saying_what_is_free(folder):
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)


def sync_tree(folder: Path) -> None:
    """Makes every file and name under a folder survive a loss of power."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_file(Path(place, name))
        sync_folder(Path(place))


def remove_leftovers(folder: Path, name: str = "*", *, below: bool = True) -> None:
    """Removes the temporary files and folders that killed processes left; those of living processes stay.

    Args:
        folder: Where they are.
        name: Only those that were to become this.
        below: Whether to look in folders within too.
    """
    found = folder.rglob if below else folder.glob
    for path in sorted(found(f".{name}[.-]*.tmp")):
        if is_left_over(path):
            remove(path)


def is_temporary(path: Path) -> bool:
    """Whether a name is one of ours that nobody but its process is to see."""
    return path.name.startswith(".") and TEMPORARY.search(path.name) is not None


def is_left_over(path: Path) -> bool:
    """Whether a temporary file's process has ended, or is on another machine and was silent for a week."""
    if tagged := TEMPORARY.search(path.name):
        try:
            return is_gone(tagged["tag"]) or time.time() - path.lstat().st_mtime > ABANDONED
        except FileNotFoundError:  # a living process has just given it its place
            return False
    earlier = EARLIER_TEMPORARY.search(path.name)
    return earlier is not None and not pid_exists(int(earlier["pid"]))


def remove(path: Path) -> None:
    """Removes a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def open_own(path: Path, flags: int) -> BinaryIO:
    """Opens a file of ours for writing: not through a link, not emptied, and never a pipe or a device.

    Args:
        path: Made where it is not there.
        flags: Such as os.O_APPEND.

    Raises:
        ValueError: Something else is there.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise ValueError(not_ours(path)) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError(not_ours(path))
    return os.fdopen(handle, "rb+" if not flags & os.O_APPEND else "ab")


def not_ours(path: Path) -> str:
    """What to say where a link, a pipe or a folder has the place of a file of ours."""
    return (
        f"{path} is a link, a pipe or a folder, where a plain file of ours belongs: nothing was written; move it away"
    )


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits until no other process is inside such a block; a process that dies leaves it.

    Args:
        path: A file that stands for the block; stays, and keeps whatever is in it.

    Raises:
        ValueError: Something else is there, or the file system has no locks.
    """
    make_folder(path.parent)
    with open_own(path, 0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise ValueError(
                f"{path}: this file system has no file locks (flock: {os.strerror(error.errno or 0)}), which keep two "
                f"processes from writing the same files. Work in a folder on a local disk, or have this one mounted "
                f"with locks (Lustre: -o flock; NFS: with lockd)"
            ) from None
        yield


def append_line(path: Path, line: str) -> None:
    """Adds a line to a text file, safe on the disk when this returns.

    Raises:
        NoRoomError: The disk is full; part of the line may stand at the end of the file.
    """
    is_new = not path.exists()
    with saying_what_is_free(path), open_own(path, os.O_APPEND) as file:
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file as a whole."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes a text file as a whole."""
    write_bytes(path, text.encode())


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
