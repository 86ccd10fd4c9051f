"""Files of sound below a folder: names that are sound, names that are litter, and one walk that accounts for all."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# What libsndfile reads without being told more. Matlab's, headerless and sampler files stay out: they are rarely sound.
SUFFIXES = frozenset((
    "wav", "wave", "bwf", "rf64", "w64", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "snd",
    "caf", "nist", "sph", "voc", "sf", "ircam", "paf", "pvf", "avr", "svx", "iff",
))  # fmt: skip
OTHER_SUFFIXES = frozenset(
    ("m4a", "aac", "mp4", "wma", "amr", "3gp", "webm", "mka", "ape", "wv", "ac3", "dsf", "dff", "pcm", "raw")
)  # sound, not readable
LITTER = frozenset(("thumbs.db", "desktop.ini", "icon\r", "ehthumbs.db"))
LITTER_FOLDERS = frozenset(("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"))

# Control characters, and bytes that are invalid UTF-8 (as Python decodes them): no file of ours could hold such a name.
UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

FEW = 20  # lines of a message that names files
DEEPEST = 64  # folders within folders


class SoundFile(NamedTuple):
    """One file of sound: its path relative to the data's root with forward slashes, bytes, time of change in ns."""

    path: str
    size: int
    mtime_ns: int


@dataclass
class Listing:
    """What lies below a folder, sorted by path.

    Attributes:
        files: Files of sound.
        excluded: Sound that cannot be used, by path: why.
        ignored: Everything else, by path: why it is passed over.
    """

    files: list[SoundFile] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def is_sound(name: str) -> bool:
    """Whether libsndfile reads files of such a name, in any letter case."""
    return name.rpartition(".")[2].lower() in SUFFIXES and "." in name


def list_sound(folder: Path, root: Path) -> Listing:
    """Lists a folder with everything below it.

    Args:
        folder: Where to look.
        root: What paths are relative to; holds `folder`.

    Raises:
        ValueError: A link in the place of a folder leads nowhere.
    """
    listing = Listing()
    start = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    for path, entry in _walk(os.fspath(folder), start, listing, (os.path.realpath(folder),)):
        try:
            status = check_entry(entry, path)
        except ValueError as error:
            listing.excluded[printable(path)] = str(error)
        else:
            listing.files.append(SoundFile(path, status.st_size, status.st_mtime_ns))
    listing.files.sort()
    listing.excluded = dict(sorted(listing.excluded.items()))
    listing.ignored = dict(sorted(listing.ignored.items()))
    return listing


def _walk(folder: str, prefix: str, listing: Listing, above: tuple[str, ...]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The entries that are called sound; notes the others in the listing."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError as error:
        listing.excluded[printable(prefix)] = f"the folder cannot be opened ({error.strerror})"
        return
    for entry in entries:
        path = prefix + entry.name
        if why := litter(entry.name):
            listing.ignored[printable(path)] = why
        elif is_sound(entry.name):
            yield path, entry
        elif entry.is_symlink() and not os.path.exists(entry.path):
            if "." not in entry.name:
                raise ValueError(f"{printable(entry.path)}: a link that leads nowhere; correct or remove it")
            listing.ignored[printable(path)] = "a link that leads nowhere, not called sound"
        elif entry.is_dir() and len(above) > DEEPEST:
            listing.excluded[printable(path)] = f"more than {DEEPEST} folders deep; move it up"
        elif entry.is_dir():
            yield from _below(entry, path, listing, above)
        elif entry.name.rpartition(".")[2].lower() in OTHER_SUFFIXES:
            listing.excluded[printable(path)] = (
                f"libsndfile does not read .{entry.name.rpartition('.')[2]}; convert it, e.g. ffmpeg -i IN OUT.flac"
            )
        else:
            listing.ignored[printable(path)] = "not a file of sound"


def _below(
    entry: os.DirEntry[str], path: str, listing: Listing, above: tuple[str, ...]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Walks a folder within a folder; links are followed, but not round in circles."""
    real = os.path.realpath(entry.path) if entry.is_symlink() else f"{above[-1]}/{entry.name}"
    if real in above:
        listing.ignored[printable(path)] = "a link to a folder that holds it"
        return
    yield from _walk(entry.path, f"{path}/", listing, (*above, real))


def litter(name: str) -> str:
    """Why a name is passed over: what operating systems leave behind; empty where it is not."""
    if name.startswith("._"):
        return "litter of macOS"
    if name.startswith("."):
        return "hidden"
    if name.lower() in LITTER or name.lower() in LITTER_FOLDERS:
        return "litter of an operating system"
    return ""


def check_entry(entry: os.DirEntry[str], path: str) -> os.stat_result:
    """What the file system says of a file.

    Raises:
        ValueError: It is no regular file, cannot be found out, or has a name that cannot be written down.
    """
    if UNWRITABLE.search(path):
        raise ValueError(
            "its path holds characters that cannot be written down (control characters, invalid UTF-8); rename it"
        )
    try:
        status = entry.stat()
    except OSError as error:
        what = "a link that leads nowhere" if entry.is_symlink() else "cannot be looked at"
        raise ValueError(f"{what} ({error.strerror}); correct or remove it") from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file; remove it, or put the recording itself there")
    return status


def printable(path: str) -> str:
    """A path as it can be shown and kept: characters that cannot be written down are escaped."""
    return UNWRITABLE.sub(lambda sign: ascii(sign[0])[1:-1], path)


def first_few(why: Mapping[str, str], rest: str, most: int = FEW) -> str:
    """Files and reasons, a line each; beyond `most`, how many more there are and where they are listed."""
    lines = [f"\n  {path}: {reason}" for path, reason in list(why.items())[:most]]
    if len(why) > most:
        lines.append(f"\n  … and {len(why) - most} more: {rest}")
    return "".join(lines)
