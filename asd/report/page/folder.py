"""The folder of a page: made anew as a whole, but for what somebody else put there, which stays."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asd.system.files import make_folder, replacing_folder

LISTING = ".files"  # the files of the page, a line each
WITHOUT_LISTING = re.compile(r".*\.(html|css|js|svg|png|flac)|report\.md|compare\.md")  # pages before there was one


@contextmanager
def page_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of a page; the notes of users in the old one are in the new one too.

    Raises:
        ValueError: A link or a file is there, or a user's file has a name that the page needs.
        NoRoomError: The disk is full; the folder that was there before is whole.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ValueError(f"{path} is a link or a file, where the folder of a page belongs: move it away")
    with replacing_folder(path) as folder:
        yield folder
        ours = files_below(folder)
        for name in sorted(others_files(path)):
            if name in ours:
                raise ValueError(f"{path / name} is not ours, and the page needs its name: move it away")
            make_folder((folder / name).parent)
            os.link(path / name, folder / name, follow_symlinks=False)
        (folder / LISTING).write_text("".join(f"{name}\n" for name in sorted(ours)), encoding="utf-8")


def files_below(folder: Path) -> set[str]:
    """All that is in a folder but folders, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def others_files(path: Path) -> set[str]:
    """What in the folder of a page is not the page's."""
    listing = path / LISTING
    if not listing.is_file():
        return {name for name in files_below(path) if not WITHOUT_LISTING.fullmatch(name)}
    return files_below(path) - {LISTING, *listing.read_text(encoding="utf-8", errors="replace").splitlines()}
