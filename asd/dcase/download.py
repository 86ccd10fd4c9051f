"""The official archives of an edition: what they will take, fetched, verified, unpacked, and known again."""

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from asd.config.messages import nearest
from asd.dcase.editions import Edition, Part
from asd.dcase.remote import Line, fetch, md5_of, read_small
from asd.dcase.unpack import move, unpack
from asd.system.amounts import n_bytes
from asd.system.files import alone, remove_leftovers, saying_what_is_free, write_json
from asd.system.printable import some_of
from asd.system.progress import say
from asd.system.reading import parse_json, read_json, shaped

ZENODO = "https://zenodo.org"
STORE = ".archives"  # below the root: archives on their way, and receipts of those unpacked
UNPACKED_RATIO = 1.5  # unpacked bytes to a byte of the archive, for the estimate; recordings hardly compress


@dataclass(frozen=True)
class Archive:
    """One published file: where it is and what it must be."""

    record: int
    name: str
    size: int
    md5: str
    url: str
    folder: str
    machine: str


def get(
    edition: Edition,
    parts: Sequence[str],
    machines: Sequence[str],
    root: Path,
    *,
    mirror: str = "",
    keep_archives: bool = False,
    dry_run: bool = False,
    line: Line | None = None,
    say: Callable[[str], None] = say,
) -> None:
    """Fetches and unpacks archives of an edition; what is there already is not fetched again.

    Args:
        edition: The edition.
        parts: Of its parts, by name.
        machines: Empty: all.
        root: Folder that will hold dev_data and eval_data.
        mirror: URL or folder with Zenodo's own paths (`api/records/<record>`, `records/<record>/files/<name>`).
        keep_archives: Leave the archives in `<root>/.archives`.
        dry_run: Only say what it would take.
        line: How patient to be.
        say: Takes each line for the user.

    Raises:
        ValueError: An unknown part or machine, or a record that lacks an archive.
        OSError: No connection, or too little room on the disk.
    """
    line = line or Line()
    wanted = [archive for name in parts for archive in archives_of(edition, name, machines, base_of(mirror), line)]
    if not wanted:
        raise ValueError(
            f"no archive of {', '.join(machines)} in {', '.join(parts)} of {edition.year}; see docs/editions.md"
        )
    records = dict.fromkeys(f"{ZENODO}/records/{archive.record}" for archive in wanted)
    say(f"{edition.licence} Records: {', '.join(records)}")
    if dry_run:
        for archive in look(wanted, root, keep_archives, say):
            say(f"would fetch {archive.url} ({n_bytes(archive.size)})")
        return
    with alone(root / STORE / ".lock"):  # a second one waits, and then finds it all there
        remove_leftovers(root / STORE, below=False)
        missing = look(wanted, root, keep_archives, say)
        for number, archive in enumerate(missing, 1):
            say(f"[{number}/{len(missing)}] {archive.name}, {n_bytes(archive.size)}")
            with saying_what_is_free(root / STORE / archive.name):
                obtain(archive, root, keep_archives, line)
    say(f"{root}: complete. Next: asd data check {root} --edition {edition.year}")


def look(wanted: list[Archive], root: Path, keep_archives: bool, say: Callable[[str], None]) -> list[Archive]:
    """The archives that are not unpacked yet; says what they will take."""
    missing = [archive for archive in wanted if not is_unpacked(archive, root)]
    say(f"{len(wanted) - len(missing)} of {len(wanted)} archives are here already")
    check_disk(missing, root, keep_archives, say)
    return missing


def base_of(mirror: str) -> str:
    """Start of every URL.

    Raises:
        ValueError: Neither a web address nor a folder.
    """
    if not mirror:
        return ZENODO
    if mirror.startswith(("http://", "https://")):
        return mirror.rstrip("/")
    folder = Path(mirror).expanduser()
    if folder.is_dir():
        return folder.resolve().as_uri()
    raise ValueError(f"--mirror {mirror}: neither http(s)://… nor a folder")


def archives_of(edition: Edition, name: str, machines: Sequence[str], base: str, line: Line) -> list[Archive]:
    """The archives of a part, with size and checksum as the record gives them now.

    Raises:
        ValueError: No such part or machine, or the record lacks an archive.
    """
    if name not in edition.parts:
        raise ValueError(
            f"{edition.year} has no part {name!r} whose record is known.{nearest(name, edition.parts)} "
            "See docs/editions.md"
        )
    part = edition.parts[name]
    unknown = [machine for machine in machines if machine not in edition.machines]
    if unknown:
        raise ValueError(f"{edition.year} has no machine {unknown[0]}.{nearest(unknown[0], edition.machines)}")
    url = f"{base}/api/records/{part.record}"
    listed = read_record(read_small(url, line), url)
    names = wanted_names(part, machines, listed)
    lacking = [wanted for wanted in names if wanted not in listed]
    if lacking:
        raise ValueError(f"{url}: the record has no {some_of(lacking)}; it has {some_of(sorted(listed), most=20)}")
    return [
        Archive(part.record, file, *listed[file], f"{base}/records/{part.record}/files/{quote(file)}", part.folder, who)
        for file, who in names.items()
    ]


def wanted_names(part: Part, machines: Sequence[str], listed: dict[str, tuple[int, str]]) -> dict[str, str]:
    """Archives of a part and the machine of each; "" where the record's files belong to all."""
    if not part.archive:
        return dict.fromkeys(sorted(listed), "")
    return {part.archive_of(machine): machine for machine in part.machines if not machines or machine in machines}


@dataclass(frozen=True)
class RecordFile:
    """A file of a Zenodo record."""

    key: str
    size: int
    checksum: str


@dataclass(frozen=True)
class Record:
    """What is read of a Zenodo record."""

    files: list[RecordFile]


def read_record(content: bytes, url: str) -> dict[str, tuple[int, str]]:
    """Size and MD5 of a record's files by name.

    Raises:
        ValueError: Not a record in Zenodo's JSON.
    """
    try:
        files = parse_json(content, Record, url).files
    except ValueError as error:
        raise ValueError(f"{error}: not a Zenodo record; a web page in between?") from None
    for file in files:
        key, size, checksum = file.key, file.size, file.checksum
        if not checksum.startswith("md5:") or size <= 0 or "/" in key or "\\" in key or key.startswith("."):
            raise ValueError(f"{url}: strange entry {key!r} ({size} bytes, {checksum!r}); expected a file with its md5")
    return {file.key: (file.size, file.checksum.removeprefix("md5:")) for file in files}


def check_disk(missing: Sequence[Archive], root: Path, keep_archives: bool, say: Callable[[str], None]) -> None:
    """Says what it will take.

    Raises:
        OSError: More than the disk has.
    """
    there = sum(size_of(root / STORE / name) for a in missing for name in (a.name, f"{a.name}.part"))
    total = sum(archive.size for archive in missing)
    held = total if keep_archives else max((archive.size for archive in missing), default=0)
    needed = int(total * UNPACKED_RATIO) + held - there
    home = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(home).free
    say(f"to download: {n_bytes(total - there)}; on the disk about {n_bytes(max(0, needed))}; free: {n_bytes(free)}")
    if missing and needed > free:
        raise OSError(
            f"{root}: about {n_bytes(needed)} needed, {n_bytes(free)} free; choose fewer machines or another disk"
        )


def obtain(archive: Archive, root: Path, keep_archives: bool, line: Line) -> None:
    """Fetches, verifies and unpacks one archive, then writes its receipt; the archive goes last."""
    path = root / STORE / archive.name
    if not (size_of(path) == archive.size and md5_of(path) == archive.md5):
        fetch(archive.url, path, size=archive.size, md5=archive.md5, line=line)
    folder, work = root / archive.folder, root / STORE / f"{archive.name}.unpacking"
    ours = noted_files(archive, root)
    if archive.name.endswith(".zip"):
        files = unpack(path, folder, archive.machine, work, replaceable=ours)
    else:
        files = put(path, folder, archive.name, work, ours)
    write_json(receipt(archive, root), {**asdict(archive), "files": files})
    if not keep_archives:
        path.unlink()


def put(path: Path, folder: Path, name: str, work: Path, replaceable: Collection[str]) -> dict[str, int]:
    """Puts a file that is no archive in its place, unless something of somebody else's is there; gives its size.

    Raises:
        OSError: Another file is there already.
    """
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        shutil.copyfile(path, work / name)
        move(work, folder, [name], replaceable)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {name: path.stat().st_size}


def receipt(archive: Archive, root: Path) -> Path:
    """Where it is noted that an archive was unpacked."""
    return root / STORE / f"{archive.record}-{archive.name}.json"


def noted_files(archive: Archive, root: Path, md5: str | None = None) -> dict[str, int]:
    """Sizes by path of the files that an archive's receipt vouches for; empty where there is no receipt.

    Args:
        archive: The archive.
        root: The data's root.
        md5: Only a receipt of these bytes counts; None: any.
    """
    try:
        noted = read_json(receipt(archive, root), dict[str, Any])
        files = shaped(noted.get("files"), dict[str, int], str(receipt(archive, root)))
    except (OSError, ValueError):
        return {}
    return files if md5 in (None, noted.get("md5")) else {}


def is_unpacked(archive: Archive, root: Path) -> bool:
    """Whether the same archive was unpacked here and all of its files are still there, by size."""
    files, folder = noted_files(archive, root, archive.md5), root / archive.folder
    return bool(files) and all(size_of(folder / path) == size for path, size in files.items())


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0
