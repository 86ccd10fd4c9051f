"""Sweeps as a user types them: killed at random they end complete, and two hundred runs leave nothing behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asd.runs.folder import RunFolder
from asd.runs.lock import holder_of, start_time
from asd.runs.manifest import is_done
from tests.cli.test_scripts import ROOT, run
from tests.support.factory import make_machine

MACHINES = "fan,gearbox,pump,slider"
TINY = ["experiment=smoke", "data=folder", "data.root=data", "progress=false", "batch_size=4", "name=grid"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with four machines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    for machine in MACHINES.split(","):
        make_machine(tmp_path / "data", machine)
    return tmp_path


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Types a sweep."""
    return subprocess.Popen([sys.executable, str(ROOT / "train.py"), "-m", *TINY, *arguments])


def runs() -> list[RunFolder]:
    """All that have begun."""
    return [RunFolder(path.parent) for path in sorted(Path("outputs/grid").glob("*/*/*/status.json"))]


def children() -> list[int]:
    """The processes that work on runs now."""
    return [holder.pid for holder in (holder_of(run) for run in runs()) if holder]


def check_grid(n_kills: int) -> None:
    """Kills the sweep or one of its runs, types it again, until it was killed often enough; then all must be done."""
    chance = random.Random(n_kills)
    sweep = [f"machine={MACHINES}", "seed=0,1,2", "trainer.max_steps=30", "save.every_n_steps=1"]
    finished: dict[RunFolder, int] = {}
    command = start(*sweep)
    for _ in range(n_kills):
        wait_for_work(command)
        time.sleep(chance.uniform(0, 2))
        finished |= {run: run.manifest.stat().st_mtime_ns for run in runs() if run not in finished and is_done(run)}
        workers = children()
        if workers and chance.random() < 0.5:
            os.kill(workers[0], signal.SIGKILL)
            continue
        command.kill()
        command.wait()
        command = start(*sweep)
    command.wait(300)
    again = run("train.py", "-m", *TINY, *sweep, cwd=Path.cwd())
    assert again.returncode == 0, again.stdout + again.stderr
    assert "12 runs: 12 done" in again.stdout
    assert len(runs()) == 12
    for folder in runs():
        assert is_done(folder)
        lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
        assert [line["epoch"] for line in lines] == list(range(15))
    assert all(folder.manifest.stat().st_mtime_ns == stamp for folder, stamp in finished.items())
    assert again.stdout.count("is finished: nothing to do") >= len(finished)


def wait_for_work(command: subprocess.Popen[bytes]) -> None:
    """Waits until a run is worked on, or the sweep has ended."""
    deadline = time.monotonic() + 300
    while command.poll() is None and not children():
        assert time.monotonic() < deadline, "no run began"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_grid_of_twelve_survives_ten_kills(data: Path) -> None:
    check_grid(10)


@pytest.mark.slow
@pytest.mark.ci
def test_sigterm_leaves_checkpoints_and_the_table(data: Path) -> None:
    command = [sys.executable, ROOT / "train.py", "-m", *TINY, "machine=fan,pump", "trainer.max_steps=2000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sweep:
        folder = RunFolder(Path("outputs/grid/fan/small-512x32-s0/train"))
        deadline = time.monotonic() + 60
        while not folder.metrics.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        sweep.terminate()
        said = sweep.communicate(timeout=60)[0]
    assert sweep.returncode == 143
    assert "2 runs: 1 interrupted, 1 pending" in said
    assert folder.checkpoint.exists()
    assert not children()


def anonymous_memory(pid: int) -> int:
    """KiB that belong to a process alone."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_hundred_runs_leave_nothing_behind(data: Path) -> None:
    command = start("machine=fan", "trainer.max_steps=1", f"seed=range({0},{200})")
    memory: dict[int, int] = {}
    descriptors: dict[int, int] = {}
    seen: set[tuple[int, int | None]] = set()
    while command.poll() is None:
        done = len(list(Path("outputs/grid").glob("*/*/*/manifest.json")))
        if 10 <= done < 195:
            memory[done] = anonymous_memory(command.pid)
            descriptors[done] = len(os.listdir(f"/proc/{command.pid}/fd"))
        seen |= {(pid, start_time(pid)) for pid in children()} if done % 20 == 0 else set()
        time.sleep(0.2)
    assert command.returncode == 0
    assert sum(is_done(run) for run in runs()) == 200
    counts = sorted(memory)
    early, late = [memory[c] for c in counts[:20]], [memory[c] for c in counts[-20:]]
    print(f"memory {min(early)} to {max(late)} KiB, descriptors {set(descriptors.values())}")
    assert max(late) - min(early) < 4096
    assert max(descriptors.values()) - min(descriptors.values()) <= 4  # those of the run at work
    assert seen
    assert all(began is None or start_time(pid) != began for pid, began in seen)
