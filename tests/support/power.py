"""A loss of power without root: the order of flushes and renames is recorded, and what was not flushed is dropped.

The model is a disk that keeps names at once and bytes only when they are flushed: the hardest case for «write, rename»,
and what ext4 without its heuristics does. A file that was never flushed has 0 bytes after the loss; one that was
flushed earlier has the bytes of that moment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class PowerLostError(BaseException):
    """Nothing after this happens."""


class Disk:
    """What of the files under a folder has reached the disk.

    Args:
        root: The folder; what is there already is on the disk.
        patch: Puts the recording versions of os.fsync, os.replace and os.rename in place.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.flushed: dict[tuple[int, int], bytes] = {key(path): path.read_bytes() for path in self.files()}
        self.left: int | None = None
        self.n_operations = 0
        sync = os.fsync

        def fsync(descriptor: Any) -> None:
            self.count()
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            sync(number)
            path = Path(os.readlink(f"/proc/self/fd/{number}"))
            if path.is_file() and path.is_relative_to(root):
                self.flushed[key(path)] = path.read_bytes()

        patch.setattr(os, "fsync", fsync)
        for name in ("replace", "rename"):
            patch.setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, operation: Any) -> Any:
        """An operation that does not happen once the power is gone."""

        def happen(*arguments: Any, **options: Any) -> None:
            self.count()
            operation(*arguments, **options)

        return happen

    def count(self) -> None:
        """One more operation, unless the power is gone."""
        self.n_operations += 1
        if self.left is not None:
            if self.left == 0:
                raise PowerLostError
            self.left -= 1

    def stop_after(self, n: int | None) -> None:
        """The power goes after so many operations; None: it stays."""
        self.left = n

    @contextmanager
    def losing_power(self) -> Iterator[None]:
        """A block that may end by the loss; afterwards the power is back."""
        try:
            yield
        except PowerLostError:
            pass
        finally:
            self.left = None

    def files(self) -> list[Path]:
        """All regular files."""
        return [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]

    def drop_unflushed(self) -> list[Path]:
        """Gives each file the bytes that were flushed last; returns those that lost some."""
        lost = []
        for path in self.files():
            kept = self.flushed.get(key(path), b"")
            if path.read_bytes() != kept:
                path.write_bytes(kept)
                lost.append(path)
        return lost


def key(path: Path) -> tuple[int, int]:
    """What stays the same when a file is renamed."""
    found = path.stat()
    return found.st_dev, found.st_ino
