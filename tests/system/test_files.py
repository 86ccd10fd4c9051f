"""Durable files: whole or not there, flushed, never through a link; leftovers of the dead are cleared away."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asd.system import files
from asd.system.files import (
    NoRoomError,
    append_line,
    make_folder,
    open_own,
    remove_leftovers,
    replacing_folder,
    temporary_beside,
    write_bytes,
    write_json,
)
from asd.system.processes import is_gone, owner_tag, place
from tests.support.full_disk import full_at
from tests.support.power import Disk


@pytest.mark.parametrize("n_operations", range(12))
def test_power_lost_while_a_folder_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_operations: int
) -> None:
    """After a loss at any moment the folder is the old one, the new one, or for a moment none; never a mixture."""
    disk = Disk(tmp_path, monkeypatch)
    with replacing_folder(tmp_path / "page") as folder:
        (folder / "a").write_text("old")
        (folder / "b").write_text("old")
    disk.stop_after(n_operations)
    with disk.losing_power(), replacing_folder(tmp_path / "page") as folder:
        (folder / "a").write_text("new")
        (folder / "b").write_text("new")
    disk.drop_unflushed()
    found = {path.name: path.read_text() for path in (tmp_path / "page").glob("*")}
    assert found in ({"a": "old", "b": "old"}, {"a": "new", "b": "new"}, {})
    with replacing_folder(tmp_path / "page") as folder:
        (folder / "a").write_text("repaired")
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["a"]


@pytest.mark.parametrize("write", [lambda p: write_bytes(p, b"new"), lambda p: write_json(p, "new")])
def test_what_was_written_survives_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    disk = Disk(tmp_path, monkeypatch)
    write(tmp_path / "file")
    append_line(tmp_path / "lines", "one")
    disk.drop_unflushed()
    assert "new" in (tmp_path / "file").read_text()
    assert (tmp_path / "lines").read_text() == "one\n"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_not_ours_is_not_written(tmp_path: Path, kind: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "run.log"
    victim.write_text("precious")
    {"link": lambda: path.symlink_to(victim), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises(ValueError, match=r"run\.log is a link, a pipe or a folder"):
        open_own(path, os.O_APPEND)
    with pytest.raises(ValueError, match=r"run\.log is a link"):
        append_line(path, "x")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("place", ["folder", "stream"])
def test_a_folder_or_a_device_is_not_replaced(tmp_path: Path, place: str) -> None:
    """`--out /dev/stdout` of root would put a file in its place for the whole machine."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "stream").symlink_to("/proc/self/fd/1")
    with pytest.raises(ValueError, match=rf"{place} is a folder or a device"):
        write_bytes(tmp_path / place, b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "stream"]
    with pytest.raises(ValueError, match="/dev/null is a folder or a device"):
        files.refuse_device(Path("/dev/null"))


@pytest.mark.parametrize("put", [Path.touch, lambda path: path.symlink_to("/nowhere/at/all")])
def test_what_is_no_folder_is_named(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "outputs")
    with pytest.raises(ValueError, match=r"outputs is a file, or a link that leads nowhere.*move it away"):
        write_bytes(tmp_path / "outputs" / "main" / "last.ckpt", b"x")


def test_an_own_file_is_not_emptied(tmp_path: Path) -> None:
    path = tmp_path / ".claim"
    path.write_text("kept")
    with files.alone(path):
        assert path.read_text() == "kept"


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = [f".a.{place()}-4194305-7-1.tmp", ".report-4194305.tmp", ".last.ckpt.4194305-4.tmp"]
    alive = [temporary_beside(tmp_path / "a").name, ".a.00000000-4194305-7-1.tmp", ".mine.tmp"]
    for name in (*dead, *alive):
        (tmp_path / name).touch()
    (tmp_path / dead[1]).unlink()
    (tmp_path / dead[1]).mkdir()
    (tmp_path / dead[1] / "media.flac").touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(alive)


def test_the_next_start_clears_away_what_a_killed_one_left_of_the_same_folder(tmp_path: Path) -> None:
    """As `asd report` and `asd official submit` leave it, and those of the version before; another's stays."""
    dead = [f".sub.{place()}-4194305-7-1.tmp", f".sub.{place()}-4194305-7-1-0.tmp", ".sub-4194305.tmp"]
    for name in (*dead, f".other.{place()}-4194305-7-1.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "media.flac").touch()
    with replacing_folder(tmp_path / "sub") as folder:
        (folder / "new").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".other.{place()}-4194305-7-1.tmp", "sub"]


def test_a_long_name_has_a_temporary_name_too(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("ü" * 120), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["ü" * 120]


def test_a_process_is_known_by_pid_and_start() -> None:
    where, pid, started = owner_tag().split("-")
    assert not is_gone(owner_tag())
    assert is_gone(f"{where}-{pid}-{int(started) + 1}")
    assert not is_gone(f"00000000-{pid}-{int(started) + 1}")


@pytest.mark.parametrize("n_folders", [1, 2, 3])
def test_a_full_disk_names_the_folder_that_it_has_no_room_for(tmp_path: Path, n_folders: int) -> None:
    folder = tmp_path.joinpath(*"abc"[:n_folders])
    with full_at(folder.parent.name), pytest.raises(NoRoomError, match=r"no room to write .*/a.* bytes are free"):
        make_folder(folder)
    make_folder(folder)


def test_a_full_disk_names_the_folder(tmp_path: Path) -> None:
    def fill() -> None:
        with replacing_folder(tmp_path / "sub"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(NoRoomError, match=r"no room to write .*sub .* bytes are free"):
        fill()
    assert not list(tmp_path.iterdir())
