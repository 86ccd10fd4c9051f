"""One process at a time on a run, and none kept out by the dead."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from asd.runs import lock
from asd.runs.folder import RunFolder
from asd.runs.lock import HeldError, Holder, LockLostError, hold, holder_of, is_alive, this_process
from asd.system import files
from asd.system.processes import start_time

HOLD = """
import sys, time
from pathlib import Path
from asd.runs.folder import RunFolder
from asd.runs.lock import hold
with hold(RunFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """A Python process with our package, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
        process_group=0,
    )


@contextmanager
def holding(run: RunFolder, code: str = HOLD) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds a run; killed, with its children, in the end."""
    with start(code, str(run.path), "60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def write_holder(run: RunFolder, holder: Holder) -> None:
    """A lock as another process would have left it."""
    run.path.mkdir(parents=True, exist_ok=True)
    run.lock.write_text(json.dumps(asdict(holder)))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run's folder that is not there yet."""
    return RunFolder(tmp_path / "Ü b" / "train")


def test_a_held_run_is_refused_at_once_with_who_holds_it(run: RunFolder) -> None:
    with holding(run) as process:
        started = time.monotonic()
        with pytest.raises(HeldError, match=f"worked on by process {process.pid} on "), hold(run):
            pass
        assert time.monotonic() - started < 1
        process.kill()
        process.wait()
        with hold(run):  # after kill -9: at once
            assert holder_of(run) is not None
    assert holder_of(run) is None
    assert not run.lock.exists()


def test_a_killed_process_that_nobody_has_waited_for_is_dead(run: RunFolder) -> None:
    with holding(run) as process:
        process.kill()
        deadline = time.monotonic() + 10
        while start_time(process.pid) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with hold(run):
            pass


def test_the_holder_refuses_itself_and_releases_after_an_error(run: RunFolder) -> None:
    def fail_inside() -> None:
        with hold(run), hold(run):
            pass

    with pytest.raises(HeldError, match=f"process {os.getpid()} "):
        fail_inside()
    assert holder_of(run) is None


@pytest.mark.ci
@pytest.mark.slow
def test_of_many_that_start_at_once_one_works(run: RunFolder) -> None:
    processes = [start(HOLD, str(run.path), "3") for _ in range(6)]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs.count("held\n") == 1
    assert sum("HeldError" in output for output in outputs) == 5


def test_of_many_that_find_a_dead_holder_one_takes_over(run: RunFolder) -> None:
    write_holder(run, replace(this_process(), pid=2**22 + 1))
    taken, refused, barrier, leave = [], [], threading.Barrier(8), threading.Event()

    def take() -> None:
        barrier.wait()
        try:
            with hold(run):
                taken.append(1)
                leave.wait(10)
        except HeldError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(taken) + len(refused) < 8:
        time.sleep(0.01)
    leave.set()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 7)


def test_who_lives() -> None:
    here = this_process()
    assert is_alive(here, silence=1e9)  # the process decides on its own machine, not the heartbeat
    assert not is_alive(replace(here, started=(here.started or 0) + 1), silence=0)  # the pid was used again
    for elsewhere in (replace(here, host="other"), replace(here, machine="other pid:[1]")):
        assert is_alive(elsewhere, silence=lock.SILENCE - 1)
        assert not is_alive(elsewhere, silence=lock.SILENCE + 1)
        assert not is_alive(elsewhere, silence=-lock.SILENCE - 1)  # a time in the future holds nothing


def test_a_restarted_machine_is_told_from_a_clone_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have the host's name and machine id and another boot id."""
    other_boot = replace(this_process(), boot="before")
    monkeypatch.setattr(lock, "seconds_up", lambda: 40.0)
    assert not is_alive(other_boot, silence=41)  # beat last before this machine started: its own past
    assert is_alive(other_boot, silence=5)  # a clone at work
    assert not is_alive(other_boot, silence=-lock.SILENCE - 1)
    monkeypatch.setattr(lock, "seconds_up", lambda: 1e6)
    assert not is_alive(other_boot, silence=lock.SILENCE + 1)


def test_a_dead_holder_from_the_future_is_dead(run: RunFolder) -> None:
    write_holder(run, replace(this_process(), host="other"))
    os.utime(run.lock, (time.time() + 86400,) * 2)
    with hold(run):
        pass


def test_a_lock_that_is_a_pipe_or_a_link_is_no_lock(run: RunFolder) -> None:
    run.path.mkdir(parents=True)
    os.mkfifo(run.lock)
    with hold(run):
        assert holder_of(run) is not None
    elsewhere = run.path / "elsewhere.json"
    elsewhere.write_text(json.dumps(asdict(this_process())))
    run.lock.symlink_to(elsewhere)
    with hold(run):
        pass
    assert elsewhere.exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_claim_that_is_not_ours_is_refused_and_left_alone(run: RunFolder, tmp_path: Path, kind: str) -> None:
    run.path.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    {"link": lambda: run.claim.symlink_to(victim), "pipe": lambda: os.mkfifo(run.claim), "folder": run.claim.mkdir}[
        kind
    ]()
    with pytest.raises(ValueError, match=r"\.claim is a link, a pipe or a folder"), hold(run):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(run: RunFolder, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with pytest.raises(ValueError, match=r"\.claim: this file system has no file locks .* local disk"), hold(run):
        pass


def test_another_machine_is_believed_as_long_as_its_heart_beats(run: RunFolder) -> None:
    write_holder(run, replace(this_process(), host="other"))
    with pytest.raises(HeldError, match="on other since"), hold(run):
        pass
    long_ago = time.time() - lock.SILENCE - 10
    os.utime(run.lock, (long_ago, long_ago))
    with hold(run):
        pass


def test_the_heart_beats(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.01)
    with hold(run):
        os.utime(run.lock, (0, 0))
        deadline = time.monotonic() + 10
        while run.lock.stat().st_mtime < 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_process_whose_run_was_taken_over_stops_and_leaves_the_lock_alone(run: RunFolder) -> None:
    with hold(run) as held:
        held.check()
        write_holder(run, replace(this_process(), host="other"))
        with pytest.raises(LockLostError, match="taken over"):
            held.check()
    assert json.loads(run.lock.read_text())["host"] == "other"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_lock_that_a_crash_cut_short_is_no_lock(run: RunFolder, text: str) -> None:
    run.path.mkdir(parents=True)
    run.lock.write_text(text)
    assert holder_of(run) is None
    with hold(run):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_worker_neither_holds_nor_releases(run: RunFolder) -> None:
    code = HOLD.replace('    print("held"', '    import os; os.fork() or time.sleep(60)\n    print("held"')
    with holding(run, code) as process:
        process.kill()  # the worker lives on
        process.wait()
        with hold(run):
            pass


def test_overwriting_keeps_a_link_to_another_disk_and_what_is_there(run: RunFolder, tmp_path: Path) -> None:
    other = tmp_path / "other-disk"
    other.mkdir()
    run.path.mkdir(parents=True)
    run.checkpoint.parent.symlink_to(other)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (run.path / "scores").symlink_to(outside)
    for path in (run.checkpoint, run.previous_checkpoint, other / "own.txt", run.manifest, run.config, run.log):
        path.touch()
    run.empty()
    assert [path.name for path in other.iterdir()] == ["own.txt"]
    assert (outside / "precious").exists()
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "run.log"]
    assert run.checkpoint.parent.is_symlink()
