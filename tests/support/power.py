"""A loss of power without root: the order of flushes and renames is recorded, and what was not flushed is dropped.

Two disks are modelled. Both keep the bytes of a file only as they were when it was flushed last; 0 bytes are left of a
file that never was. One keeps names at once: the hardest case for «write, rename», and what ext4 without its
heuristics does. The other keeps the names in a folder only as they were when the folder was flushed last, which is all
that POSIX promises.
"""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from asd.system.files import remove

Inode = tuple[int, int]


class PowerLostError(BaseException):
    """Nothing after this happens."""


class Disk:
    """What of the files under a folder has reached the disk.

    Args:
        root: The folder, made where it is not there; what is in it already is on the disk.
        patch: Puts the recording versions of os.fsync, os.replace and os.rename in place.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.content: dict[Inode, bytes] = {}
        self.names: dict[Inode, dict[str, tuple[Inode, bool]]] = {}  # of a folder: inode, whether it is a folder
        self.held: list[int] = []  # open, so that no later file gets the inode of one that was flushed
        self.left: int | None = None
        self.n_operations = 0
        self.lose: Callable[[], NoReturn] = self.stop
        self.one_at_a_time = threading.RLock()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        root.mkdir(parents=True, exist_ok=True)
        for path in (root, *root.rglob("*")):
            self.flush(path)
        sync = os.fsync

        def fsync(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            sync(number)
            path = Path(os.readlink(f"/proc/self/fd/{number}"))
            if path.is_relative_to(root):
                self.flush(path)

        for name, operation in (("fsync", fsync), ("replace", os.replace), ("rename", os.rename)):
            patch.setattr(os, name, self.counted(operation))

    def counted(self, operation: Any) -> Any:
        """An operation that does not happen once the power is gone."""

        def happen(*arguments: Any, **options: Any) -> None:
            with self.one_at_a_time:
                if self.left == 0:
                    self.lose()
                self.left = None if self.left is None else self.left - 1
                self.n_operations += 1
                operation(*arguments, **options)

        return happen

    def flush(self, path: Path) -> None:
        """Keeps a file's bytes, or a folder's names, as they are now."""
        inode = inode_of(path)
        if inode not in self.content and inode not in self.names:
            self.held.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
        if path.is_dir():
            self.names[inode] = {inner.name: (inode_of(inner), inner.is_dir()) for inner in path.iterdir()}
        elif path.is_file():
            self.content[inode] = path.read_bytes()

    def stop_after(self, n: int | None) -> None:
        """The power goes after so many operations; None: it stays."""
        self.left = n

    def stop(self) -> NoReturn:
        """Ends a block of `losing_power`."""
        raise PowerLostError

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

    def on_disk(self, names_at_once: bool) -> dict[Path, bytes]:
        """Every file with the bytes that are left of it."""
        if names_at_once:
            return {path: self.content.get(inode_of(path), b"") for path in self.files()}
        return dict(self.below(self.root, inode_of(self.root)))

    def below(self, path: Path, inode: Inode) -> Iterator[tuple[Path, bytes]]:
        """The files that the flushed names of a folder lead to."""
        for name, (inner, is_folder) in self.names.get(inode, {}).items():
            if is_folder:
                yield from self.below(path / name, inner)
            else:
                yield path / name, self.content.get(inner, b"")

    def drop_unflushed(self, *, names_at_once: bool = True) -> list[Path]:
        """Leaves of the folder what is on the disk; returns the files that lost bytes."""
        kept = self.on_disk(names_at_once)
        lost = [path for path in self.files() if path.read_bytes() != kept.get(path, b"")]
        if not names_at_once:
            for entry in list(self.root.iterdir()):
                remove(entry)
        for path, content in kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return lost


def inode_of(path: Path) -> Inode:
    """What stays the same when a file is renamed."""
    found = path.lstat()
    return found.st_dev, found.st_ino
