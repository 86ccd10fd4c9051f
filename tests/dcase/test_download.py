"""Fetching from a real server that cuts, refuses, lies and forgets."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asd.cli import main
from asd.dcase import download, remote
from asd.dcase.download import get
from asd.dcase.editions import EDITIONS
from asd.dcase.remote import Line
from tests.support.archives import Shelf, make_zip, serving
from tests.support.power import Disk

EDITION = EDITIONS[2021]
FAN = "dev_data_fan.zip"
CLIP = "fan/train/section_00_source_train_normal_0000.wav"
LINE = Line(attempts=3, wait=0.0, timeout=5.0)


@pytest.fixture
def shelf() -> Shelf:
    noise = os.urandom(300_000)
    return Shelf(
        {
            4562016: {
                FAN: make_zip({CLIP: noise}),
                "dev_data_pump.zip": make_zip({"dev_data/pump/train/a.wav": b"ab"}),
            },
            4660992: {"eval_data_fan_train.zip": make_zip({"fan/train/b.wav": b"abc"})},
            7882613: {"dev_bearing.zip": b"x"},
            5257674: {"truth.zip": make_zip({"truth/fan.csv": b"1,2"}), "readme.txt": b"hello"},
        }
    )


@pytest.fixture
def base(shelf: Shelf) -> Iterator[str]:
    with serving(shelf) as url:
        yield url


def fetch_fan(root: Path, base: str, **options: bool) -> list[str]:
    said: list[str] = []
    get(EDITION, ["dev"], ["fan"], root, mirror=base, line=LINE, say=said.append, **options)
    return said


def leftovers(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".archives").glob("*") if path.name != ".lock")


def test_fetches_unpacks_and_knows_it_again(tmp_path: Path, shelf: Shelf, base: str) -> None:
    said = fetch_fan(tmp_path, base)
    assert (tmp_path / "dev_data" / CLIP).stat().st_size == 300_000
    assert "CC BY-NC-SA" in said[0]
    assert "https://zenodo.org/records/4562016" in said[0]
    assert leftovers(tmp_path) == [f"4562016-{FAN}.json"]
    assert "1 of 1 archives are here already" in fetch_fan(tmp_path, base)
    assert shelf.asked[f"/records/4562016/files/{FAN}"] == 1


def test_a_lost_clip_is_fetched_again(tmp_path: Path, base: str) -> None:
    fetch_fan(tmp_path, base)
    (tmp_path / "dev_data" / CLIP).unlink()
    fetch_fan(tmp_path, base)
    assert (tmp_path / "dev_data" / CLIP).exists()


def test_a_cut_connection_is_resumed_where_it_broke(tmp_path: Path, shelf: Shelf, base: str) -> None:
    shelf.cut = [1000, 5000]
    fetch_fan(tmp_path, base)
    assert shelf.starts == [0, 1000, 6000]


def test_a_partial_file_of_an_earlier_run_is_gone_on_with(tmp_path: Path, shelf: Shelf, base: str) -> None:
    part = tmp_path / ".archives" / f"{FAN}.part"
    part.parent.mkdir()
    part.write_bytes(shelf.records[4562016][FAN][:7000])
    fetch_fan(tmp_path, base)
    assert shelf.starts == [7000]


def test_a_server_that_ignores_ranges_gives_the_file_from_its_start(tmp_path: Path, shelf: Shelf, base: str) -> None:
    shelf.ranges, shelf.cut = False, [1000]
    fetch_fan(tmp_path, base)
    assert shelf.starts == [0, 0]
    assert (tmp_path / "dev_data" / CLIP).exists()


def test_a_busy_server_is_asked_again(tmp_path: Path, shelf: Shelf, base: str) -> None:
    shelf.busy = 2
    fetch_fan(tmp_path, base)
    assert shelf.starts == [0]


def test_a_server_busy_for_good_is_given_up_and_the_part_kept(tmp_path: Path, shelf: Shelf, base: str) -> None:
    shelf.busy = 99
    with pytest.raises(OSError, match=r"no progress in 3 attempts \(HTTP 503\)"):
        fetch_fan(tmp_path, base)
    assert not (tmp_path / "dev_data").exists()


def test_wrong_bytes_once_are_fetched_again(tmp_path: Path, shelf: Shelf, base: str) -> None:
    shelf.wrong = 1
    fetch_fan(tmp_path, base)
    assert (tmp_path / "dev_data" / CLIP).exists()


def test_wrong_bytes_twice_leave_nothing(tmp_path: Path, shelf: Shelf, base: str) -> None:
    shelf.wrong = 2
    with pytest.raises(OSError, match="wrong bytes twice"):
        fetch_fan(tmp_path, base)
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "dev_data").exists()


def test_a_web_page_is_no_archive(tmp_path: Path, shelf: Shelf, base: str) -> None:
    shelf.html = True
    with pytest.raises(OSError, match="a web page instead of the archive"):
        fetch_fan(tmp_path, base)
    assert leftovers(tmp_path) == []


def test_more_bytes_than_the_record_says(
    tmp_path: Path, shelf: Shelf, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller = {"files": [{"key": FAN, "size": 10, "checksum": "md5:0"}]}
    monkeypatch.setattr(shelf, "record", lambda _: json.dumps(smaller).encode())
    with pytest.raises(OSError, match="more than the 10 bytes"):
        fetch_fan(tmp_path, base)


def test_a_full_disk_is_said_before_the_first_byte(
    tmp_path: Path, shelf: Shelf, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match=r"needed, 1000 B free"):
        fetch_fan(tmp_path, base)
    assert not shelf.starts


def test_a_disk_that_fills_up_underway(tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remote, "append", full)
    with pytest.raises(OSError, match=r"no room to write .*dev_data_fan"):
        fetch_fan(tmp_path, base)


def test_a_dry_run_fetches_nothing(tmp_path: Path, shelf: Shelf, base: str) -> None:
    said = fetch_fan(tmp_path / "new", base, dry_run=True)
    assert any("to download: 293.2 KiB" in line for line in said)
    assert not shelf.starts
    assert not (tmp_path / "new").exists()


def test_archives_can_be_kept_and_are_used(tmp_path: Path, shelf: Shelf, base: str) -> None:
    fetch_fan(tmp_path, base, keep_archives=True)
    (tmp_path / ".archives" / f"4562016-{FAN}.json").unlink()
    fetch_fan(tmp_path, base, keep_archives=True)
    assert shelf.starts == [0]
    assert (tmp_path / ".archives" / FAN).read_bytes() == shelf.records[4562016][FAN]


def test_labels_belong_to_all_machines(tmp_path: Path, base: str) -> None:
    get(EDITION, ["labels"], [], tmp_path, mirror=base, line=LINE, say=lambda _: None)
    assert (tmp_path / "ground_truth/truth/fan.csv").read_bytes() == b"1,2"
    assert (tmp_path / "ground_truth/readme.txt").read_bytes() == b"hello"


def test_a_folder_is_a_mirror(tmp_path: Path, shelf: Shelf) -> None:
    mirror = tmp_path / "mirror"
    (mirror / "api/records").mkdir(parents=True)
    (mirror / "api/records/4562016").write_bytes(shelf.record(4562016))
    (mirror / "records/4562016/files").mkdir(parents=True)
    (mirror / "records/4562016/files/dev_data_pump.zip").write_bytes(shelf.records[4562016]["dev_data_pump.zip"])
    arguments = ["data", "get", "--machine", "pump", "--part", "dev", "--mirror", str(mirror), "--root", str(tmp_path)]
    assert main(arguments) == 0
    assert (tmp_path / "dev_data/pump/train/a.wav").read_bytes() == b"ab"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--edition", "2019"], "no edition 2019"),
        (["--machine", "fann"], "Did you mean fan"),
        (["--part", "test"], "no part 'test'"),
        (["--edition", "2022", "--part", "labels"], "whose record is known"),
        (["--mirror", "ftp://x"], "neither http"),
        (["--machine", "valve", "--part", "dev"], "the record has no dev_data_valve.zip"),
        (["--part", "evaluation"], "the server refuses"),
        (["--edition", "2023", "--part", "dev", "--machine", "bandsaw"], "no archive of bandsaw in dev of 2023"),
    ],
)
def test_wrong_wishes(
    tmp_path: Path, base: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["data", "get", "--root", str(tmp_path), "--mirror", base, *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"files": [{"key": "../x", "size": 1, "checksum": "md5:1"}]}'])
def test_a_record_that_is_none(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a Zenodo record|strange entry"):
        download.read_record(content, "here")


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no answer after 2 attempts"):
        get(EDITION, ["dev"], [], tmp_path, mirror="http://127.0.0.1:9", line=Line(2, 0.0, 1.0))


@pytest.mark.slow
def test_killed_anywhere_the_same_command_ends_it(tmp_path: Path) -> None:
    names = [f"fan/train/section_00_source_train_normal_{index:04d}.wav" for index in range(60)]
    shelf = Shelf({4562016: {FAN: make_zip({name: os.urandom(500_000) for name in names})}})
    part, work = tmp_path / ".archives" / f"{FAN}.part", tmp_path / ".archives" / f"{FAN}.unpacking"
    moments = (
        lambda: part.exists() and part.stat().st_size > 3_000_000,
        lambda: part.exists() and part.stat().st_size > 20_000_000,
        lambda: len(list(work.rglob("*.wav"))) > 20,
        lambda: len(list(tmp_path.glob("dev_data/fan/train/*"))) > 10,
    )
    code = "import sys; from asd.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "data", "get", "--part", "dev", "--machine", "fan", "--root", str(tmp_path)]
    with serving(shelf) as base:
        for moment in moments:
            process = subprocess.Popen([*command, "--mirror", base], stdout=subprocess.DEVNULL)
            while process.poll() is None and not moment():
                time.sleep(0.0005)
            process.kill()
            process.wait()
        subprocess.run([*command, "--mirror", base], check=True, stdout=subprocess.DEVNULL)
    assert {path.stat().st_size for path in (tmp_path / "dev_data/fan/train").iterdir()} == {500_000}
    assert len(list((tmp_path / "dev_data/fan/train").iterdir())) == 60
    assert leftovers(tmp_path) == [f"4562016-{FAN}.json"]
    assert len(shelf.starts) >= 2
    assert shelf.starts[1] > 3_000_000


def test_two_at_once_fetch_each_archive_once(tmp_path: Path, shelf: Shelf, base: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: fetch_fan(tmp_path, base), range(3)))
    assert shelf.starts == [0]
    assert (tmp_path / "dev_data" / CLIP).is_file()


def test_a_server_that_forgets_what_it_gave_is_not_asked_for_ever(tmp_path: Path, shelf: Shelf, base: str) -> None:
    shelf.ranges, shelf.cut = False, [200_000, 100_000] * 50
    with pytest.raises(OSError, match="no progress in 3 attempts"):
        fetch_fan(tmp_path, base)
    assert len(shelf.starts) <= 4


@pytest.mark.parametrize("text", ["[]", "3", '{"md5": 1}', '{"files": []}', "null"])
def test_a_receipt_of_another_shape_is_none(tmp_path: Path, base: str, text: str) -> None:
    fetch_fan(tmp_path, base)
    (note,) = (tmp_path / ".archives").glob("*.json")
    whole = note.read_text()
    note.write_text(text)
    fetch_fan(tmp_path, base)
    assert note.read_text() == whole


def test_a_web_page_that_calls_itself_an_archive(tmp_path: Path, shelf: Shelf, base: str) -> None:
    page = b"\n<!doctype html><title>Log in</title>" * 10
    shelf.records = {**shelf.records, 4562016: {FAN: page, "dev_data_pump.zip": b"x"}}
    with pytest.raises(OSError, match="a web page instead of the archive"):
        fetch_fan(tmp_path, base)
    assert not (tmp_path / "dev_data").exists()


def test_quiet_is_quiet(tmp_path: Path, base: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "get", "--root", str(tmp_path), "--mirror", base, "--machine", "fan", "--part", "dev", "--quiet"]
    assert main(command) == 0
    assert capsys.readouterr() == ("", "")


def test_what_the_receipt_vouches_for_survives_a_loss_of_power(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, monkeypatch)
    fetch_fan(tmp_path, base)
    disk.drop_unflushed()
    assert all(path.stat().st_size for path in (tmp_path / "dev_data").rglob("*.wav"))


def test_clips_that_an_earlier_loss_of_power_emptied_are_fetched_again(tmp_path: Path, base: str) -> None:
    fetch_fan(tmp_path, base)
    content = (tmp_path / "dev_data" / CLIP).read_bytes()
    for damaged in (b"", b"half"):
        (tmp_path / "dev_data" / CLIP).write_bytes(damaged)
        fetch_fan(tmp_path, base)
        assert (tmp_path / "dev_data" / CLIP).read_bytes() == content


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_a_file_of_the_users_own_is_never_replaced(tmp_path: Path, kind: str) -> None:
    folder, work, own = tmp_path / "ground_truth", tmp_path / "work", tmp_path / "own.txt"
    folder.mkdir()
    own.write_text("mine")
    (tmp_path / "archive").write_text("theirs")
    target = folder / "readme.txt"
    if kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(own if kind == "link" else tmp_path / "nothing")
    with pytest.raises(OSError, match=r"readme\.txt: is there already with other content; move it away"):
        download.put(tmp_path / "archive", folder, "readme.txt", work, ())
    assert own.read_text() == "mine"
    assert target.is_symlink() == (kind != "file")
    assert not work.exists()
