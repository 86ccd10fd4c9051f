"""What a run leaves on disk: whole files, identity, manifest, status."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from asd.cli import main
from asd.config.compose import plan
from asd.runs.folder import RunFolder, find_runs, grid_names
from asd.runs.manifest import (
    commit,
    differences,
    essential,
    is_done,
    read_manifest,
    refuse_other,
    scorer_settings,
    write_manifest,
)
from asd.runs.record import read_record, to_csv
from asd.runs.status import Status, read_status, write_status
from asd.system.files import replacing, write_json, write_text

CONFIG = {
    "name": "main",
    "machine": "fan",
    "seed": 0,
    "phase": "train",
    "overwrite": False,
    "method": {"_target_": "asd.methods.arcface.ArcFaceMethod"},
    "progress": True,
    "backbone": {"name": "small"},
    "input": {"name": "512x32", "n_fft": 2046},
    "loss": {"margin": 0.05},
    "data": {"root": "here", "workers": 0, "simulate": None, "fingerprint": "abc"},
    "trainer": {"max_epochs": 3, "accelerator": "auto"},
    "logger": {"kind": "csv"},
}


def test_a_pipe_in_the_place_of_a_configuration_is_refused(tmp_path: Path) -> None:
    """And never waited for: nobody writes to it."""
    run = RunFolder(tmp_path)
    write_text(run.checkpoint, "begun")
    os.mkfifo(run.config)
    with pytest.raises(ValueError, match=r"config\.yaml: not a plain file"):
        refuse_other(run, CONFIG)
    with pytest.raises(OSError, match=r"config\.yaml: not a plain file"):
        write_manifest(run.manifest, {"config.yaml": run.config})


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "whole")

    def fail_halfway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_halfway()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_json_never_holds_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert not list(tmp_path.iterdir())


def test_the_commit_is_that_of_the_checkout_that_holds_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "asd"
    (package / "runs").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr("asd.runs.manifest.__file__", str(package / "runs" / "manifest.py"))

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    assert commit.__wrapped__() is None
    git("add", ".")
    git("commit", "-qm", "first")
    known = git("rev-parse", "--short", "HEAD")
    assert commit.__wrapped__() == known
    (package / "__init__.py").write_text("changed = True\n")
    assert commit.__wrapped__() == f"{known}+"


def test_addresses() -> None:
    words = ["machine=fan", "backbone=small"]
    (config,) = plan("train", words)[1].configs
    assert config.folder() == Path("outputs/main/fan/small-512x32-s0/train")
    (finetune,) = plan("finetune", [*words, "freeze.parts=[until_last_block,arcface]"])[1].configs
    assert finetune.folder().name == "finetune-until_last_block+arcface"
    (nothing,) = plan("finetune", words)[1].configs
    assert nothing.folder().name == "finetune-none"
    run = RunFolder(finetune.folder("train"))
    assert (run.machine, run.system, run.phase) == ("fan", "small-512x32-s0/train", "train")


def test_runs_are_found_by_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for machine in ("pump", "fan"):
        RunFolder(Path("outputs/main") / machine / "small-512x32-s0/train").write_config(CONFIG)
    assert [run.machine for run in find_runs("main")] == ["fan", "pump"]
    assert [run.machine for run in find_runs("main", ["pump"])] == ["pump"]
    assert find_runs("other") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("overwrite", True), ("progress", False), ("data", CONFIG["data"] | {"root": "there", "workers": 2}),
     ("trainer", {"max_epochs": 3, "accelerator": "cpu"}), ("logger", {"kind": "wandb", "project": "p"})],
)  # fmt: skip
def test_noise_is_no_difference(key: str, value: object) -> None:
    assert differences(CONFIG | {key: value}, CONFIG) == []


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("seed", 1, "seed: 0 → 1"),
        ("loss", {"margin": 0.2}, "loss.margin: 0.05 → 0.2"),
        ("trainer", {"max_epochs": 4, "accelerator": "auto"}, "trainer.max_epochs: 3 → 4"),
        ("data", CONFIG["data"] | {"fingerprint": "def"}, "data.fingerprint: abc → def"),
        ("extra", 1, "extra: (absent) → 1"),
    ],
)
def test_differences_are_named(key: str, value: object, line: str) -> None:
    assert differences(CONFIG | {key: value}, CONFIG) == [line]


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "train")
    refuse_other(run, CONFIG)
    run.write_config(CONFIG)
    refuse_other(run, CONFIG)
    refuse_other(run, CONFIG | {"loss": {"margin": 0.2}})  # before the first checkpoint: nothing owned
    write_text(run.checkpoint, "weights")
    refuse_other(run, CONFIG)
    with pytest.raises(ValueError, match=r"(?s)belongs to another.*loss\.margin: 0\.05 → 0\.2.*name='main-\$\{loss"):
        refuse_other(run, CONFIG | {"loss": {"margin": 0.2}})


def test_the_configuration_reads_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "Ü b" / "train")
    run.write_config(CONFIG)
    assert run.read_config() == CONFIG
    assert essential(run.read_config()) == essential(CONFIG)


def test_done_means_that_the_manifest_verifies(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_text(run.config, "a: 1\n")
    assert not is_done(run)
    write_manifest(run.manifest, {"config.yaml": run.config}, data="abc")
    assert is_done(run)
    manifest = read_manifest(run.manifest)
    assert manifest is not None
    assert manifest["data"] == "abc"
    assert "torch" in manifest["versions"]
    write_text(run.config, "a: 2\n")
    assert not is_done(run)
    run.config.unlink()
    assert not is_done(run)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"files": 3}', '{"files": {"no": "such"}}', '{"files": {}, "versions": {"torch": {}}}',
     '{"files": {}, "parts": 5}', '{"files": {}, "commit": [[]]}'],
)  # fmt: skip
def test_a_broken_manifest_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert read_manifest(tmp_path / "manifest.json") is None


def test_settings_of_another_shape_name_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert scorer_settings({"scorer": {"stride": 16}}, path) == {"stride": 16}
    for settings in (1.5, None, [], "x"):
        with pytest.raises(ValueError, match=r"manifest\.json: scorer: "):
            scorer_settings({"scorer": settings}, path)


def test_status(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert read_status(run) == Status("pending")
    write_status(run, "failed", why="no space")
    status = read_status(run)
    assert (status.state, status.why, status.pid) == ("failed", "no space", os.getpid())
    assert time.time() - status.heartbeat < 60


def test_a_line_that_a_crash_cut_short_is_no_record(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert read_record(run) == []
    line = {"epoch": 0, "loss": 2.0, "step": 5, "seconds": 1}
    run.metrics.write_text(json.dumps(line) + "\n" + '{"epoch": 1, "lo')
    assert read_record(run) == [line]
    assert list(read_record(run)[0]) == list(line)
    assert to_csv(read_record(run)) == "epoch,loss,step,seconds\n0,2.0,5,1\n"


def test_a_grid_is_named_by_its_folder_here_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert grid_names(["a", "outputs/a/", str(tmp_path / "outputs/b"), "./outputs/a"]) == ["a", "b"]
    for command in (["status"], ["leaderboard"], ["wandb", "sync", "--dry-run"]):
        for elsewhere in ("/other/outputs/a", "../outputs/a", "outputs/a/fan", "..", "."):
            assert main([*command, elsewhere]) == 1
            assert f"{elsewhere} is no grid in {tmp_path}/outputs: go to" in capsys.readouterr().err
