"""A grid of processes: each fails alone, none outlives its parent, none is started in vain."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from asd.launch.grid import Grid, cause_of_death
from asd.launch.resources import share_gpus, share_out, visible_gpus
from asd.launch.sweep import conduct
from asd.launch.worker import Job, Slot
from asd.runs.folder import RunFolder
from asd.runs.lock import hold, holder_of, pid_exists, start_time
from asd.runs.overview import survey
from asd.runs.status import read_status, write_status
from asd.system.parent import end_group
from tests.support.targets import Deed


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def terminal(capfd: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """What runs say: their processes have the output of the process that all are forked from, which starts anew."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    return capfd


def job(deed: str, machine: str | None = None) -> Job:
    """A run that does something."""
    config: Any = Deed(deed, machine or deed)
    return Job("tests.support.targets:obey", config, ["train.py", f"machine={machine or deed}"])


def wait_until(condition: Callable[[], Any], seconds: float = 30) -> None:
    """Waits for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether a process is no more, or but a zombie."""
    return start_time(pid) is None if sys.platform == "linux" else not pid_exists(pid)


@pytest.mark.parametrize("slots", [[Slot()], [Slot(to_log=True), Slot(to_log=True)]], ids=["one", "two"])
def test_each_run_fails_alone(slots: list[Slot], terminal: pytest.CaptureFixture[str]) -> None:
    jobs = [job(deed) for deed in ("crash", "mistake", "die", "leave", "work")]
    code = conduct(Grid(jobs, slots).run, [one.run for one in jobs])
    said = terminal.readouterr()
    assert code == 1
    assert "5 runs: 1 done, 4 failed" in said.out
    states = {one.config.deed: read_status(one.run) for one in jobs}
    assert states["work"].state == "done"
    assert states["crash"].why == "ZeroDivisionError: nothing to divide by"
    assert states["mistake"].why == "ValueError: this cannot be"
    assert "ended by SIGKILL, which the system does when memory runs out" in states["die"].why
    assert "exit code 3" in states["leave"].why
    assert states["die"].n_steps == 2
    for name in ("crash", "mistake"):
        log = RunFolder(Path(f"outputs/main/{name}/none-none-s0/train")).log.read_text()
        assert f"train.py machine={name}" in log
        assert "Traceback" in log
        assert "tests/support/targets.py" in log
    assert ("Traceback" in said.err) == (len(slots) == 1)  # of the bug; a mistake of the user's has none
    assert said.err.count("Traceback") < 2
    assert not any(holder_of(one.run) for one in jobs)


def test_what_is_done_is_not_started_again(capfd: pytest.CaptureFixture[str]) -> None:
    jobs = [job("work", "fan"), job("work", "pump")]
    assert conduct(Grid(jobs[:1], [Slot()]).run, [jobs[0].run]) == 0
    assert conduct(Grid(jobs, [Slot()]).run, [one.run for one in jobs]) == 0
    assert "fan/none-none-s0/train is finished: nothing to do" in capfd.readouterr().out
    assert [(one.run.path / "trained").read_text() for one in jobs] == ["once\n"] * 2
    grid = Grid(jobs, [Slot()])
    grid.context = None  # type: ignore[assignment]  # no process can be started any more
    grid.run()


def test_a_run_held_elsewhere_is_left_to_its_holder(capfd: pytest.CaptureFixture[str]) -> None:
    one = job("work")
    with hold(one.run):
        write_status(one.run, "running")
        assert conduct(Grid([one], [Slot()]).run, [one.run]) == 1
        said = capfd.readouterr().out
        assert f"is running elsewhere: process {os.getpid()}" in said
        assert "1 run: 1 running" in said
    assert not (one.run.path / "trained").exists()


def test_a_race_for_a_run_ends_in_peace(monkeypatch: pytest.MonkeyPatch, terminal: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("asd.launch.grid.is_to_run", lambda job: True)
    one = job("work")
    with hold(one.run):
        write_status(one.run, "running")
        Grid([one], [Slot()]).run()
        assert "is being worked on by process" in terminal.readouterr().out
        assert read_status(one.run).state == "running"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_rest_stays(signum: int, capfd: pytest.CaptureFixture[str]) -> None:
    jobs = [job("linger", "fan"), job("work")]
    grid = Grid(jobs, [Slot()])

    def interrupt() -> None:
        wait_until(Path("pids-fan").exists)
        os.kill(os.getpid(), signum)

    threading.Thread(target=interrupt).start()
    assert conduct(grid.run, [one.run for one in jobs]) == 128 + signum
    assert "1 pending" in capfd.readouterr().out
    for pid in Path("pids-fan").read_text().split():
        wait_until(lambda pid=pid: gone(int(pid)))


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "pipe"])
def test_no_run_outlives_its_parent(here: Path, kernel: bool) -> None:
    code = "from tests.launch.test_grid import *\n"
    code += "Grid([job('linger', m) for m in ('fan', 'pump')], [Slot(), Slot()]).run()"
    if not kernel:
        code = "import asd.system.parent; asd.system.parent.PR_SET_PDEATHSIG = 0; " + code
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as parent:
        wait_until(lambda: len(list(here.glob("pids-*"))) == 2)
        time.sleep(0.2)
        parent.kill()
    pids = [int(pid) for file in here.glob("pids-*") for pid in file.read_text().split()]
    assert len(pids) == 4
    wait_until(lambda: all(gone(pid) for pid in pids), 10)
    run = job("linger", "fan").run
    assert survey(run).state == "stale"
    assert "is gone: type the command again" in survey(run).why


def test_slots_share_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5,6")
    monkeypatch.setattr("asd.launch.resources.n_cores", lambda: 9)
    assert share_out(1) == [Slot()]
    assert [slot.environment for slot in share_out(2)] == [
        {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "4"},
        {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "5"},
    ]
    assert all(slot.to_log for slot in share_out(2))
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in share_out(4)] == ["4", "5", "6", "4"]
    assert share_gpus(["0", "1", "2", "3"], 2) == [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert share_out(2)[0].environment["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_gpus_are_counted_without_torch(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(here))
    assert visible_gpus() == []
    tool = here / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: one (UUID: a)'\necho 'GPU 1: two (UUID: b)'\n")
    tool.chmod(0o755)
    assert visible_gpus() == ["0", "1"]


@pytest.mark.parametrize("slots", [0, -1, 1.5, True, "2"])
def test_impossible_slots(slots: Any) -> None:
    with pytest.raises(ValueError, match=r"hydra\.launcher\.slots=.* give a whole number from 1"):
        share_out(slots)


@pytest.mark.ci
@pytest.mark.slow
def test_a_slot_reaches_its_run() -> None:
    one = job("tell")
    Grid([one], [Slot({"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "7"}, to_log=True)]).run()
    assert "THREADS 1 GPUS 7" in one.run.log.read_text()


def test_causes_of_death() -> None:
    assert cause_of_death(2) == "its process ended with exit code 2"
    assert cause_of_death(-11) == "its process was ended by SIGSEGV"


def test_processes_are_made_from_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Grid([job("work")], [Slot()]).context is multiprocessing.get_context("spawn")


def test_outside_the_main_thread_no_signal_is_taken() -> None:
    one = job("work")
    thread = threading.Thread(target=Grid([one], [Slot()]).run)
    thread.start()
    thread.join(60)
    assert survey(one.run, verify=True).state == "done"


def test_a_group_that_is_gone_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], process_group=0) as process:
        process.wait()
    end_group(process.pid)


@pytest.mark.slow
def test_what_all_runs_are_forked_from_has_touched_no_gpu() -> None:
    code = "import torch, threading, asd.experiment; print(torch.cuda.is_initialized(), threading.active_count())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "1"]
