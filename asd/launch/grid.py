"""Many runs, each in a process of its own: a failure or a kill ends that run alone."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NamedTuple

from asd.launch.worker import ELSEWHERE, Job, Slot, work
from asd.runs.folder import RunFolder
from asd.runs.lock import holder_of
from asd.runs.manifest import is_done
from asd.runs.status import read_status, write_status
from asd.system.parent import end_group
from asd.system.progress import say, write_line

# To pass on: Ctrl-C, an orderly end, and what schedulers send ahead of one.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Running(NamedTuple):
    """A run that a process works on."""

    process: BaseProcess
    job: Job
    slot: Slot


class Grid:
    """Works through jobs, as many at a time as there are slots.

    Args:
        jobs: What is to be run; finished runs are left alone.
        slots: What each of the runs at a time may use.
    """

    def __init__(self, jobs: Sequence[Job], slots: Sequence[Slot]) -> None:
        self.waiting = deque(jobs)
        self.free = list(slots)
        self.running: dict[int, Running] = {}
        self.received: int | None = None
        self.n_jobs = len(jobs)
        self.context = processes([job.target for job in jobs])

    def run(self) -> None:
        """Runs all; a signal is passed to what runs, keeps the rest from starting, and then takes its usual way."""
        with listening(self.take_signal):
            while self.running or (self.waiting and self.received is None):
                self.start_jobs()
                for sentinel in wait(list(self.running)) if self.running else ():
                    assert isinstance(sentinel, int)
                    self.reap(sentinel)
        if self.received is not None:
            signal.raise_signal(self.received)

    def take_signal(self, signum: int, frame: FrameType | None) -> None:
        """Passes a signal on: whoever trains keeps the step under way."""
        self.received = signum
        passed = signum if signum == signal.SIGINT else signal.SIGTERM
        for running in self.running.values():
            if running.process.is_alive():
                os.kill(running.process.pid or 0, passed)

    def start_jobs(self) -> None:
        """Starts runs as long as there are slots."""
        while self.free and self.waiting and self.received is None:
            number = self.n_jobs - len(self.waiting) + 1
            job = self.waiting.popleft()
            if is_to_run(job):
                slot = self.free.pop(0)
                where = f", log: {job.run.log}" if slot.to_log else ""
                say(f"[{number}/{self.n_jobs}] {job.run.path}{where}")
                process = self.context.Process(target=work, args=(job, slot))  # type: ignore[attr-defined]
                process.start()
                self.running[process.sentinel] = Running(process, job, slot)

    def reap(self, sentinel: int) -> None:
        """Records how a process ended and frees its slot."""
        process, job, slot = self.running.pop(sentinel)
        process.join()
        assert process.pid is not None
        assert process.exitcode is not None
        end_group(process.pid)
        record_death(job.run, process.exitcode, process.pid)
        if slot.to_log:
            write_line(sys.stdout, f"{job.run.path}: {read_status(job.run).state}")
        process.close()
        self.free.append(slot)


def processes(targets: Sequence[str]) -> BaseContext:
    """How processes are made: on Linux from one that has imported torch already, elsewhere from nothing.

    Importing takes six seconds of a processor; for many short runs that is most of the work.
    """
    if multiprocessing.get_start_method(allow_none=True) not in (None, *multiprocessing.get_all_start_methods()):
        multiprocessing.set_start_method(None, force=True)  # joblib's own, which its workers hand on to no one
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted({target.partition(":")[0] for target in targets}))
    return context


@contextmanager
def listening(handler: "signal._HANDLER") -> Iterator[None]:
    """Takes the signals that end a process by default or that somebody waits for; nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = {n: old for n, old in before.items() if n in (signal.SIGINT, signal.SIGTERM) or callable(old)}
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in taken.items():
            signal.signal(number, old)


def is_to_run(job: Job) -> bool:
    """Whether a run is neither finished nor worked on by another process; says so otherwise."""
    if is_done(job.run) and not job.config.overwrite:
        say(f"{job.run.path} is finished: nothing to do (overwrite=true to train it again)")
        return False
    holder = holder_of(job.run)
    if holder:
        write_line(sys.stdout, f"{job.run.path} is running elsewhere: {holder}")
    return holder is None


def record_death(run: RunFolder, exit_code: int, pid: int) -> None:
    """Writes the status that a process without a last word could not write."""
    status = read_status(run)
    has_spoken = status.pid == pid and not status.is_open
    if has_spoken or exit_code in (0, ELSEWHERE) or holder_of(run):
        return
    if exit_code > 128:
        write_status(run, "interrupted", **status.progress())
    else:
        write_status(run, "failed", why=cause_of_death(exit_code), **status.progress())


def cause_of_death(exit_code: int) -> str:
    """What an exit code says."""
    if exit_code >= 0:
        return f"its process ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    memory = ", which the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{memory}"
