"""A full disk without root: files that may not grow, or that cannot be flushed."""

import errno
import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond a size, in bytes: what a full disk looks like to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def full_at(name: str) -> Iterator[None]:
    """The disk is full as soon as a file or folder is flushed whose path holds a name."""

    def full(descriptor: int) -> None:
        if name in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    sync = os.fsync
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        yield


def files_below(folder: Path) -> Mapping[Path, bytes]:
    """The bytes of every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_message(said: str, name: str) -> None:
    """What a command says of a full disk: one line with the file and the free bytes."""
    assert len(said.strip().splitlines()) == 1, said
    assert "no room to write " in said
    assert name in said
    assert " bytes are free there. Earlier files are whole: make room and type the same command again" in said
