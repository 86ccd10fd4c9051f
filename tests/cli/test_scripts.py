"""The scripts as a user runs them, each a process of its own."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script of the project in another working directory."""
    command = [sys.executable, str(ROOT / script), *arguments]
    environment = os.environ | {"CUDA_HOME": "/usr/local/cuda"}  # torch remarks on it where there is no GPU
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.slow
@pytest.mark.ci
def test_the_three_commands_of_the_readme(tmp_path: Path) -> None:
    smoke = ["-m", "experiment=smoke", "machine=fan,pump", "progress=false"]
    trained = run("train.py", *smoke, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    tuned = run("finetune.py", *smoke, "freeze=none,until_last_block", cwd=tmp_path)
    assert tuned.returncode == 0, tuned.stderr
    table = run("evaluate.py", "name=smoke", "phase=finetune-none", "progress=false", cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    assert "(published)" not in table.stdout  # published rows stand beside the report's own data alone
    assert "submission4" in table.stdout
    runs = sorted(path.parent for path in tmp_path.glob("outputs/smoke/*/*/*/manifest.json"))
    assert len(runs) == 6
    again = run("train.py", *smoke, cwd=tmp_path)
    assert again.stdout.count("is finished: nothing to do") == 2
    for said in (trained, tuned, table):
        assert "Warning" not in said.stderr
        assert "CUDA" not in said.stderr + said.stdout
    clip = next(tmp_path.glob("data/smoke/dev_data/fan/source_test/*anomaly*.wav"))
    scored = subprocess.run(
        [Path(sys.executable).with_name("asd"), "score", runs[0], clip, "--json"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(scored.stdout)[str(clip)]["score"] > 0


@pytest.mark.slow
@pytest.mark.ci
def test_a_mistake_in_one_job_of_a_sweep_stops_before_the_first(tmp_path: Path) -> None:
    said = run("train.py", "-m", "experiment=smoke", "machine=fan,fun", cwd=tmp_path)
    assert said.returncode == 1
    assert "machine=fun: not in the simulated factory. Did you mean fan" in said.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
@pytest.mark.ci
def test_a_run_that_another_configuration_owns(tmp_path: Path) -> None:
    smoke = ["experiment=smoke", "machine=fan", "progress=false"]
    assert run("train.py", *smoke, cwd=tmp_path).returncode == 0
    said = run("train.py", *smoke, "loss.margin=0.2", cwd=tmp_path)
    assert said.returncode == 1
    assert "loss.margin: 0.05 → 0.2" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.slow
@pytest.mark.ci
def test_sigterm_is_an_interruption_not_an_end(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "train.py", "experiment=smoke", "machine=fan", "progress=false"]
    command += ["trainer.max_steps=2000", "loss.margin=0.1", "name=stopped"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        folder = tmp_path / "outputs/stopped/fan/small-512x32-s0/train"
        wait_for(folder / "metrics.jsonl")
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert json.loads((folder / "status.json").read_text())["state"] == "interrupted"
    assert not (folder / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("times", [pytest.param(2, marks=pytest.mark.ci), 18])
def test_of_two_that_start_at_once_one_works_and_the_other_says_why(tmp_path: Path, times: int) -> None:
    for attempt in range(times):
        command = [sys.executable, "-X", "importtime", ROOT / "train.py", "experiment=smoke", "machine=fan"]
        command += ["progress=false", f"name=twice{attempt}", "trainer.max_steps=2"]
        both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in "ab"]
        said = [process.communicate()[0].decode() for process in both]
        assert sorted(process.returncode for process in both) == [0, 1]
        refused = said[[process.returncode for process in both].index(1)]
        assert "is being worked on by process" in refused
        assert "Traceback" not in refused
        assert re.search(r"\| +hydra$", refused, re.MULTILINE)
        assert not re.search(r"\| +torch$", refused, re.MULTILINE)  # answered at once, before seconds of imports


def wait_for(path: Path) -> None:
    """Waits up to a minute for a file."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.1)


def test_help_and_configuration_are_hydras(tmp_path: Path) -> None:
    shown = run("train.py", "--cfg", "job", "machine=fan", cwd=tmp_path)
    assert shown.returncode == 0
    assert "margin: 0.05" in shown.stdout
    assert not list(tmp_path.iterdir())
