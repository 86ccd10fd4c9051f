"""Archives that must not be unpacked, and what is left of the attempt: nothing."""

import io
import stat
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from asd.dcase import unpack as module
from asd.dcase.unpack import unpack
from tests.support.archives import make_zip


def tried(tmp_path: Path, content: bytes, message: str, error: type[Exception] = ValueError) -> None:
    archive = tmp_path / "x.zip"
    archive.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=message):
        unpack(archive, tmp_path / "dev_data", "fan", tmp_path / "work")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../evil.wav", "fan/../../evil.wav", "/etc/evil.wav", "C:/evil.wav", "fan\\..\\evil.wav"]
)
def test_paths_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    tried(tmp_path, make_zip({"fan/train/a.wav": b"1", name: b"2"}), "nothing was unpacked")


def test_links(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        link = zipfile.ZipInfo("fan/train/a.wav")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    tried(tmp_path, stream.getvalue(), "is a link")


def test_bombs(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("fan/train/a.wav", bytes(5_000_000))
    tried(tmp_path, stream.getvalue(), "would unpack to 5000000")


def test_members_twice(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr("fan/train/a.wav", b"1")
        file.writestr("fan/train/A.wav", b"2")
    tried(tmp_path, stream.getvalue(), "is there twice")


def test_damaged_members(tmp_path: Path) -> None:
    content = bytearray(make_zip({"fan/train/a.wav": b"sound" * 100}))
    content[60] ^= 1
    tried(tmp_path, bytes(content), "not a whole ZIP archive")


@pytest.mark.parametrize(
    "content",
    [b"<html>no</html>", b"", make_zip({"fan/train/a.wav": b"1"})[:-30]],
    ids=["a page", "nothing", "cut short"],
)
def test_no_archive_at_all(tmp_path: Path, content: bytes) -> None:
    tried(tmp_path, content, "not a whole ZIP archive")


def test_an_empty_archive(tmp_path: Path) -> None:
    tried(tmp_path, make_zip({"__MACOSX/x": b"1"}), "holds no files")


def test_too_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=3))
    tried(tmp_path, make_zip({"fan/train/a.wav": b"12345"}), "unpacks to 5 bytes, 3 are free", OSError)


def test_other_content_is_never_replaced(tmp_path: Path) -> None:
    there = tmp_path / "dev_data/fan/train/b.wav"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"mine")
    archive = make_zip({"fan/train/a.wav": b"1", "fan/train/b.wav": b"other"})
    tried(tmp_path, archive, "is there already with other content", OSError)
    assert there.read_bytes() == b"mine"


def test_unpacks_from_the_machine_on(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(make_zip({"deep/fan/train/a.wav": b"1", "fan/c.csv": b"22", "test/b.wav": b"333"}))
    sizes = unpack(tmp_path / "x.zip", tmp_path / "dev_data", "fan", tmp_path / "work")
    assert sizes == {"fan/train/a.wav": 1, "fan/c.csv": 2, "fan/test/b.wav": 3}
    assert all((tmp_path / "dev_data" / path).stat().st_size == size for path, size in sizes.items())
    assert not (tmp_path / "work").exists()


def test_a_move_that_is_interrupted_is_finished_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.zip").write_bytes(make_zip({"fan/train/a.wav": b"1", "fan/train/b.wav": b"2"}))
    replace = module.os.replace

    def once(source: Path, target: Path) -> None:
        monkeypatch.setattr(module.os, "replace", refuse)
        replace(source, target)

    def refuse(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        unpack(tmp_path / "x.zip", tmp_path / "dev_data", "fan", tmp_path / "work")
    assert len(list(tmp_path.rglob("*.wav"))) == 1
    monkeypatch.setattr(module.os, "replace", replace)
    unpack(tmp_path / "x.zip", tmp_path / "dev_data", "fan", tmp_path / "work")
    assert len(list(tmp_path.rglob("*.wav"))) == 2


def test_a_damaged_compressed_member(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("fan/train/a.wav", np.random.default_rng(0).integers(0, 64, 10_000, np.uint8).tobytes())
    content = bytearray(buffer.getvalue())
    content[200:230] = b"\xff" * 30
    tried(tmp_path, bytes(content), "not a whole ZIP archive")


@pytest.mark.parametrize("name", ["fan/train/a\nb.wav", "fan/train/\x1b[2J.wav"])
def test_names_that_would_garble_a_terminal(tmp_path: Path, name: str) -> None:
    tried(tmp_path, make_zip({name: b"1"}), "has control characters in its name")
