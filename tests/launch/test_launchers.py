"""Sweeps through SLURM's, Ray's and joblib's own machinery, really started; each is an extra, skipped where missing."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from asd.launch.script import preflight
from asd.runs.folder import RunFolder
from asd.runs.lock import holder_of
from asd.runs.manifest import is_done
from tests.cli.test_scripts import ROOT
from tests.support.factory import make_machine

TINY = ["experiment=smoke", "data=folder", "data.root=data", "progress=false", "batch_size=4", "name=grid"]
FAN, PUMP = (RunFolder(Path(f"outputs/grid/{machine}/small-512x32-s0/train")) for machine in ("fan", "pump"))


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two machines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for machine in ("fan", "pump"):
        make_machine(tmp_path / "data", machine)
    return tmp_path


def needs(name: str) -> pytest.MarkDecorator:
    """Skips where an extra is missing."""
    plugin = {"joblib": "joblib", "ray": "ray", "slurm": "submitit"}[name]
    there = find_spec("hydra_plugins") is not None and find_spec(f"hydra_plugins.hydra_{plugin}_launcher") is not None
    return pytest.mark.skipif(not there, reason=f"the extra {name} is not installed: pip install -e '.[{name}]'")


def start(*arguments: str, machine: str = "fan,pump") -> subprocess.Popen[str]:
    """Types a sweep."""
    command = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, f"machine={machine}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def parents(pid: int) -> list[int]:
    """The processes above one, nearest first."""
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def wait_for(path: Path, seconds: float = 120) -> None:
    """Waits for a file."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param("joblib_pool", marks=needs("joblib")),
        pytest.param("ray_cluster", marks=needs("ray")),
        pytest.param("submitit_local", marks=needs("slurm")),
    ],
)
def test_an_engine_runs_a_sweep(launcher: str) -> None:
    with start(f"hydra/launcher={launcher}") as sweep:
        said = sweep.communicate(timeout=240)[0]
    assert sweep.returncode == 0, said
    assert "2 runs: 2 done" in said
    assert "is validated against ConfigStore schema" not in said
    assert is_done(FAN)
    assert is_done(PUMP)
    assert "training outputs/grid/fan" in FAN.log.read_text()


@pytest.mark.slow
@needs("slurm")
def test_a_preempted_job_is_queued_again_and_goes_on() -> None:
    with start("hydra/launcher=submitit_local", "trainer.max_steps=600", machine="fan") as sweep:
        wait_for(FAN.metrics)
        holder = holder_of(FAN)
        assert holder is not None
        task = next(pid for pid in parents(holder.pid) if "_submit" in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(task, signal.SIGUSR2)  # what a scheduler sends ahead of taking the machine away
        said = sweep.communicate(timeout=240)[0]
    assert sweep.returncode == 0, said
    assert "1 run: 1 done" in said
    log = FAN.log.read_text()
    assert "finishing this step, then keeping it" in log
    assert "going on at step" in log
    steps = [json.loads(line)["step"] for line in FAN.metrics.read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 600


@pytest.mark.slow
@needs("joblib")
def test_a_dead_worker_does_not_end_a_sweep_in_silence() -> None:
    with start("hydra/launcher=joblib_pool", "trainer.max_steps=2000") as sweep:
        wait_for(FAN.metrics)
        wait_for(PUMP.metrics)
        holder = holder_of(FAN)
        assert holder is not None
        worker = next(pid for pid in parents(holder.pid) if "loky" in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(worker, signal.SIGKILL)
        said = sweep.communicate(timeout=240)[0]
    assert sweep.returncode == 1
    assert "stale" in said
    assert "type the command again" in said
    deadline = time.monotonic() + 30
    while holder_of(FAN) or holder_of(PUMP):
        assert time.monotonic() < deadline, "a run outlives its sweep"
        time.sleep(0.1)


@pytest.mark.slow
@needs("joblib")
def test_two_schedulers_on_one_folder_share_the_work() -> None:
    sweeps = [start("trainer.max_steps=300"), start("hydra/launcher=joblib_pool", "trainer.max_steps=300")]
    said = [sweep.communicate(timeout=240)[0] for sweep in sweeps]
    for folder in (FAN, PUMP):
        assert is_done(folder)
        lines = [json.loads(line)["step"] for line in folder.metrics.read_text().splitlines()]
        assert lines == sorted(set(lines))
        assert ("".join(said) + folder.log.read_text()).count(f"training {folder.path}: ") == 1


@pytest.mark.parametrize(("launcher", "extra"), [("joblib_pool", "joblib"), ("ray_cluster", "ray"), ("slurm", "slurm")])
def test_a_missing_extra_is_named(launcher: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd.config.packages.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"hydra/launcher={launcher} needs a package: pip install -e '\.\[{extra}\]'"):
        preflight("train", ["-m", *TINY, "machine=fan", f"hydra/launcher={launcher}"])


@needs("slurm")
def test_the_slurm_file_composes() -> None:
    assert preflight("train", ["-m", *TINY, "machine=fan", "hydra/launcher=slurm"]).is_sweep


@pytest.mark.ci
@pytest.mark.slow
def test_an_experiment_swept_over_cannot_choose_how() -> None:
    with pytest.raises(ValueError, match=r"an experiment that is itself swept over sets hydra\.sweeper"):
        preflight("train", ["-m", "experiment=smoke,report", "machine=fan", "data=simulated"])
