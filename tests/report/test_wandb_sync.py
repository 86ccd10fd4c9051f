"""asd wandb sync: W&B runs made again from the files that are the record."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from asd.cli import main
from asd.evaluation import evaluate
from asd.experiment import train
from asd.report.wandb import runs as wandb_runs
from asd.runs.folder import RunFolder
from asd.runs.lock import hold
from asd.runs.record import read_record
from tests.support.originals import Originals
from tests.support.wandb_files import recorded

Job = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("offline_wandb")


@pytest.fixture
def grid(workplace: Path, originals: Originals, job: Job) -> Path:
    """Two trained runs without W&B, one fine-tuned, all evaluated."""

    def make() -> None:
        for seed in (0, 1):
            train(job("train", "name=grid", f"seed={seed}", "trainer.max_steps=4"))
        train(job("finetune", "name=grid"))
        evaluate(job("evaluate", "name=grid"))

    originals.lay_out("grid", make)
    return Path("outputs/grid")


@pytest.mark.ci
@pytest.mark.slow
def test_everything_on_disk_becomes_a_run(grid: Path) -> None:
    assert main(["wandb", "sync", "outputs/grid", "--offline", "--clips-mb", "1"]) == 0
    found = recorded(Path("outputs"))
    assert sorted((told.job_type, told.name) for told in found) == [
        ("ensemble", "grid: all systems"),
        ("evaluate", "fan/small-512x32-s0/finetune-none"),
        ("evaluate", "fan/small-512x32-s0/train"),
        ("evaluate", "fan/small-512x32-s1/train"),
        ("finetune", "fan/small-512x32-s0/finetune-none"),
        ("train", "fan/small-512x32-s0/train"),
        ("train", "fan/small-512x32-s1/train"),
    ]
    assert {told.group for told in found} == {"grid"}
    assert {told.exit_code for told in found} == {0}
    assert len({told.id for told in found}) == 7
    assert all("results/clips.path" in told.summary for told in found if told.job_type == "evaluate")
    trained = next(told for told in found if told.job_type == "train")
    assert [line["trainer/global_step"] for line in trained.history] == [2, 4]


@pytest.mark.ci
@pytest.mark.slow
def test_again_is_the_same_and_live_is_the_same(workplace: Path, job: Job) -> None:
    train(job("train", "logger=wandb", "logger.wandb.mode=offline", "logger.wandb.project=mine"))
    (live,) = recorded(Path("outputs"))
    for _ in range(2):
        assert main(["wandb", "sync", "--offline"]) == 0
    (synced,) = recorded(Path("outputs"))
    clock = ("_timestamp", "_runtime")
    plain = [[{k: v for k, v in line.items() if k not in clock} for line in run.history] for run in (live, synced)]
    assert plain[0] == plain[1]
    assert (live.id, live.name, live.project) == (synced.id, synced.name, synced.project)
    assert synced.project == "mine"
    assert main(["wandb", "sync", "--offline", "--project", "other"]) == 0
    assert recorded(Path("outputs"))[0].project == "other"


@pytest.mark.ci
@pytest.mark.slow
def test_a_broken_run_does_not_keep_the_others(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = grid / "fan/small-512x32-s0/train"
    (broken / "metrics.jsonl").write_text('{"epoch": 0, "step": }\n')
    (grid / "fan/small-512x32-s1/train/scores/cosine/scores.csv").write_text("gone")
    capsys.readouterr()
    assert main(["wandb", "sync", "outputs/grid", "--offline"]) == 1
    err = capsys.readouterr().err
    assert "2 could not be sent:" in err
    assert f"{broken}/metrics.jsonl" in err
    assert "s1/train/scores/cosine: ValueError: outputs/grid/fan/small-512x32-s1/train/scores/cosine: files are" in err
    assert len(recorded(Path("outputs"))) == 5


@pytest.mark.ci
@pytest.mark.slow
def test_a_run_without_an_epoch_is_named(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (grid / "fan/small-512x32-s1/train/metrics.jsonl").unlink()
    assert main(["wandb", "sync", "grid", "--offline"]) == 1
    assert "small-512x32-s1/train/metrics.jsonl holds no epoch yet" in capsys.readouterr().err


@pytest.mark.ci
@pytest.mark.slow
def test_dry_run_sends_nothing(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["wandb", "sync", "outputs/grid", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert "outputs/grid/fan/small-512x32-s0/train/scores/cosine" in lines
    assert recorded(Path("outputs")) == []


@pytest.mark.ci
@pytest.mark.slow
def test_sending_needs_an_account(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    assert main(["wandb", "sync", "outputs/grid"]) == 1
    assert "nothing can be sent without a W&B account: wandb login first, or record with --offline" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_what_keeps_all_from_being_sent_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    assert main(["wandb", "sync", "outputs/grid"]) == 1
    assert f"WANDB_MODE={mode} keeps all from being sent: unset it" in capsys.readouterr().err


@pytest.mark.ci
@pytest.mark.slow
def test_an_account_is_used(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def init(**settings: Any) -> Any:
        asked.append(settings)
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr(wandb_runs, "choose_mode", lambda mode: "online")
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(wandb, "init", init)
    assert main(["wandb", "sync", "outputs/grid", "--entity", "team"]) == 1
    assert len(asked) == 7  # tried one by one
    assert {(settings["mode"], settings["entity"], settings["resume"]) for settings in asked} == {
        ("online", "team", None)
    }


def test_no_grid(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wandb", "sync", "--offline"]) == 1
    assert "change to the folder that train.py was started in" in capsys.readouterr().err
    assert main(["wandb", "sync", "outputs/nothing", "--offline"]) == 1
    assert "outputs/nothing: no runs there" in capsys.readouterr().err


@pytest.mark.ci
@pytest.mark.slow
def test_a_run_that_is_being_trained_is_left_out(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(grid / "fan/small-512x32-s0/train")
    with hold(run):
        assert main(["wandb", "sync", "outputs/grid", "--offline"]) == 0
    assert f"{run.path} is being worked on: left out" in capsys.readouterr().out
    assert len(recorded(Path("outputs"))) == 5


@pytest.mark.slow
@pytest.mark.ci
def test_after_kill_9_sync_makes_it_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    smoke = ["experiment=smoke", "machine=fan", "progress=false", "logger=wandb", "logger.wandb.mode=offline"]
    command = [sys.executable, str(ROOT / "train.py"), *smoke, "trainer.max_steps=100000"]
    folder = Path("outputs/smoke/fan/small-512x32-s0/train")
    alone = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # else W&B shares ours
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=alone) as process:
        deadline = time.monotonic() + 60
        while len((folder / "metrics.jsonl").read_text() if (folder / "metrics.jsonl").exists() else "") < 2000:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    for lost in folder.glob("wandb/offline-run-*"):
        shutil.rmtree(lost)
    (folder / "lock.json").unlink(missing_ok=True)
    assert main(["wandb", "sync", "outputs/smoke", "--offline"]) == 0
    (told,) = recorded(Path("outputs"))
    record = read_record(RunFolder(folder))
    assert len(record) > 10
    assert [line["trainer/global_step"] for line in told.history] == [line["step"] for line in record]
    assert [json.dumps(line["train/loss"]) for line in told.history] == [json.dumps(line["loss"]) for line in record]
    assert told.exit_code == 1  # it did not finish
