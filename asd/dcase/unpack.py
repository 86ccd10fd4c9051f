"""A ZIP archive from elsewhere, unpacked so that it can only make files in its own folder."""

import filecmp
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from asd.data.sound_files import UNWRITABLE
from asd.system.files import make_folder, sync_file, sync_folder, sync_tree

MAX_RATIO = 20  # unpacked bytes to a byte of the archive; recordings have 1 to 2
LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db")


def unpack(
    archive: Path, folder: Path, machine: str, work: Path, *, replaceable: Collection[str] = ()
) -> dict[str, int]:
    """Unpacks one machine's archive into `<folder>/<machine>/`, all of it or nothing.

    Args:
        archive: A ZIP file.
        folder: Such as `<root>/dev_data`.
        machine: The folder that the archive's paths start with; "" puts them into `folder` itself.
        work: Empty folder on the same disk, for files on their way; removed at the end.
        replaceable: Paths relative to `folder` of files that an earlier unpacking made.

    Returns:
        Sizes in bytes of the files by path, relative to `folder`.

    Raises:
        ValueError: Not a ZIP archive, damaged, or a member that does not belong into a data set.
        OSError: The disk has too little room, or another file is there already.
    """
    shutil.rmtree(work, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            members = plan(archive, file, machine)
            check_room(archive, work, sum(info.file_size for info in members.values()))
            for path, info in members.items():
                write_member(file, info, work / path)
        move(work, folder, list(members), replaceable)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise ValueError(f"{archive}: not a whole ZIP archive ({error}); delete it and fetch it again") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {path: info.file_size for path, info in members.items()}


def plan(archive: Path, file: zipfile.ZipFile, machine: str) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by where they go.

    Raises:
        ValueError: Naming the first member that is not to be trusted.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for info in file.infolist():
        problem = distrust(info)
        if problem:
            raise ValueError(f"{archive}: {info.filename!r} {problem}; nothing was unpacked")
        parts = PurePosixPath(info.filename).parts
        if info.is_dir() or any(part in LITTER for part in parts):
            continue
        path = place(parts, machine)
        if path.casefold() in seen:
            raise ValueError(f"{archive}: {info.filename!r} is there twice; nothing was unpacked")
        seen.add(path.casefold())
        members[path] = info
    total, size = sum(info.file_size for info in members.values()), archive.stat().st_size
    if total > MAX_RATIO * size:
        raise ValueError(f"{archive}: {size} bytes would unpack to {total}; no archive of recordings does")
    if not members:
        raise ValueError(f"{archive}: holds no files")
    return members


def distrust(info: zipfile.ZipInfo) -> str:
    """Why a member is not to be unpacked; "" where it may be."""
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if name.startswith(("/", "\\")) or "\\" in name or ":" in name or "\0" in name:
        return "is an absolute or foreign path"
    if UNWRITABLE.search(name):
        return "has control characters in its name"
    if ".." in PurePosixPath(name).parts:
        return "leads out of the folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return "is encrypted" if info.flag_bits & 1 else ""


def place(parts: tuple[str, ...], machine: str) -> str:
    """Where a member goes below the set's folder: from the machine's name on, whatever stands before it."""
    if not machine:
        return "/".join(parts)
    inner = parts[parts.index(machine) + 1 :] if machine in parts[:-1] else parts
    return "/".join((machine, *inner))


def check_room(archive: Path, work: Path, needed: int) -> None:
    """Makes the folder; raises OSError where the disk has less room than needed."""
    work.mkdir(parents=True)
    free = shutil.disk_usage(work).free
    if needed > free:
        raise OSError(f"{archive}: unpacks to {needed} bytes, {free} are free on the disk of {work}; make room")


def write_member(file: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Writes one member; zipfile compares its checksum at the end and never gives more than the promised bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with file.open(info) as source, open(path, "xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    if path.stat().st_size != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} is cut short")


def move(work: Path, folder: Path, paths: Sequence[str], replaceable: Collection[str] = ()) -> None:
    """Moves finished files to their places, none if one of them would replace a file of somebody else's.

    All of it is flushed to the disk when this returns. A file with the same content, or a link to one, stays.

    Args:
        work: Where the files are.
        folder: Where they belong.
        paths: Of the files, relative to both.
        replaceable: Paths whose files may be replaced whatever is in them.

    Raises:
        OSError: Another file is there already.
    """
    sync_tree(work)
    there = {path for path in paths if os.path.lexists(folder / path)}
    same = {path for path in there if is_same(work / path, folder / path)}
    for path in sorted(there - same - set(replaceable)):
        if (folder / path).is_symlink() or not (folder / path).is_file() or (folder / path).stat().st_size:
            raise FileExistsError(f"{folder / path}: is there already with other content; move it away, then try again")
    for path in paths:
        target = folder / path
        make_folder(target.parent)
        if path in same:
            sync_file(target)
        else:
            os.replace(work / path, target)
    for place in sorted({(folder / path).parent for path in paths}):
        sync_folder(place)
    sync_folder(folder)


def is_same(ours: Path, theirs: Path) -> bool:
    """Whether a file, or what a link leads to, has the content of ours."""
    return theirs.is_file() and filecmp.cmp(ours, theirs, shallow=False)
