"""asd status: what each run of a grid is doing, from its folder alone."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from asd.cli import main
from asd.runs.folder import RunFolder
from asd.runs.lock import hold, this_process
from asd.runs.manifest import write_manifest
from asd.runs.overview import last_lines, summary, survey, table
from asd.runs.status import write_status
from asd.system.files import write_json


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(machine: str = "fan", **status: Any) -> RunFolder:
    """A run with a status."""
    folder = RunFolder(Path(f"outputs/main/{machine}/small-512x32-s0/train"))
    write_status(folder, **status)
    return folder


def record(folder: RunFolder, *steps: int, seconds: float = 10.0) -> None:
    """Lines of the record."""
    lines = [{"epoch": i, "step": s, "loss": 1.5, "accuracy": 0.5, "seconds": seconds} for i, s in enumerate(steps)]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_run_at_work_tells_what_is_left() -> None:
    folder = run(state="running", step=40, n_steps=100)
    record(folder, 20, 40)
    with hold(folder):
        found = survey(folder)
    assert (found.state, found.epoch, found.step, found.n_steps) == ("running", 2, 40, 100)
    assert found.seconds_left == pytest.approx(60 * 10 / 20, abs=2)
    assert found.why.startswith(f"process {os.getpid()} on ")


def test_a_run_whose_process_is_gone_is_stale() -> None:
    folder = run(state="running", step=40, n_steps=100)
    record(folder, 20, 40)
    found = survey(folder)
    assert found.state == "stale"
    assert found.seconds_left is None
    assert f"process {os.getpid()}" in found.why


def test_before_the_first_epoch_nothing_is_estimated() -> None:
    folder = run(state="running")
    with hold(folder):
        assert survey(folder).seconds_left is None
    assert survey(run("pump", state="pending")).state == "pending"


def test_a_status_is_believed_only_with_its_manifest() -> None:
    folder = run(state="done", step=2)
    assert survey(folder).state == "done"
    assert survey(folder, verify=True).state == "stale"
    folder.config.write_text("a: 1")
    write_manifest(folder.manifest, {"config.yaml": folder.config})
    assert survey(folder, verify=True).state == "done"
    write_status(folder, "failed", why="an evaluation")
    assert survey(folder, verify=True).state == "done"


def test_a_line_cut_short_is_no_line(here: Path) -> None:
    path = here / "metrics.jsonl"
    first, second = (json.dumps({"epoch": 0, "step": step, "loss": 1.0, "seconds": 1}).encode() for step in (1, 2))
    path.write_bytes(first + b"\n" + second + b'\n{"st')
    assert [line["step"] for line in last_lines(path, 2)] == [1, 2]
    path.write_bytes(first[:-1] + b', "filling": "' + b"x" * 70000 + b'"}\n' + second + b"\n")
    assert [line["step"] for line in last_lines(path, 2)] == [2]
    assert last_lines(here / "nothing", 2) == []


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", "null", "5", '{"state": 5}', '{"state": "done", "step": "many"}', "[" * 100_000, '{"state": NaN}',
     '{"state": "dancing"}', "{", "", '{"state": "running", "heartbeat": "x"}', "\xff\xfe"],
)  # fmt: skip
def test_a_damaged_status_is_named_and_hides_no_other_run(
    text: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("pump", state="pending")
    damaged = run("fan", state="pending")
    damaged.status.write_bytes(text.encode("latin-1"))
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert f"{damaged.status}: " in said
    assert said.endswith("2 runs: 1 damaged, 1 pending\n")


@pytest.mark.parametrize(
    "line", ["{bad}", "[]", '{"epoch": "x"}', "{}", "[" * 100_000, '{"epoch": 0, "step": 1, "loss": 1, "lr": []}']
)
def test_a_damaged_record_is_named(line: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run("fan", state="done")
    folder.metrics.write_text(f"{line}\n")
    assert main(["status"]) == 0
    assert "metrics.jsonl" in capsys.readouterr().out


def test_nothing_in_a_file_steers_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run("fan", state="failed", why="\x1b[31mred\x1b]0;title\x07 \u202egnp")
    write_json(folder.lock, {**asdict(this_process()), "host": "\x1b[2J"})
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert said.replace("\n", "").isprintable()


def test_the_table_says_why() -> None:
    states = [survey(run("fan", state="failed", why="ValueError: no\nmore")), survey(run("pump", state="pending"))]
    lines = table(states).splitlines()
    assert lines[0].split() == ["run", "state", "epoch", "step", "left", "loss", "accuracy"]
    assert lines[1].endswith("ValueError: no")
    assert lines[1].startswith("main/fan/small-512x32-s0/train   failed")
    assert summary(states) == "2 runs: 1 failed, 1 pending"
    assert summary(states[:1]) == "1 run: 1 failed"


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    run("fan", state="interrupted", step=3)
    for grid in ("outputs/main", "outputs/main/", "main"):
        assert main(["status", grid]) == 0
        assert "1 run: 1 interrupted" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["run"] == "outputs/main/fan/small-512x32-s0/train"
    assert (found["state"], found["step"]) == ("interrupted", 3)


def test_another_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1
    assert "train.py makes runs" in capsys.readouterr().err
    run("fan", state="pending")
    assert main(["status", "outputs/mian"]) == 1
    assert "Did you mean main?" in capsys.readouterr().err


def test_watching_ends_when_nothing_is_left_to_wait_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run("fan", state="pending")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        write_status(folder, "done", step=2)

    monkeypatch.setattr(time, "sleep", sleep)
    assert main(["status", "--watch", "3"]) == 0
    assert slept == [3]
    assert "1 pending" in capsys.readouterr().out


def test_ctrl_c_ends_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    run("fan", state="pending")

    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    assert main(["status", "--watch"]) == 130
