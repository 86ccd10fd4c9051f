"""Who works on a run: one process at a time, on one machine or on many that share a folder.

`lock.json` names the holder. On the holder's own machine its process decides, by pid and start time: neither a kill nor
a pid used again nor a forked worker keeps a run locked. Across machines the heartbeat decides: the time of change of
`lock.json`, by the clock of the file system that both share.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from asd.runs.folder import RunFolder
from asd.system.files import alone, make_folder, remove_leftovers, temporary_beside, write_json
from asd.system.printable import one_line
from asd.system.processes import machine_identity, pid_exists, read_text, start_time
from asd.system.reading import read_json

HEARTBEAT = 10.0  # seconds between two beats
SILENCE = 120.0  # seconds without a beat after which a holder on another machine counts as dead


class HeldError(ValueError):
    """Another process works on the run."""


class LockLostError(RuntimeError):
    """Another machine took the run over while this process was silent."""


@dataclass(frozen=True)
class Holder:
    """A process that holds a run.

    Attributes:
        host: Name of its machine.
        machine: What its pid is counted in: machine id and pid namespace; empty where the system does not tell.
        boot: When that machine started, as its boot id.
        pid: Its number.
        started: Its start, in clock ticks since boot; None where the system does not tell.
        since: When it took the run, seconds since 1970.
    """

    host: str
    machine: str
    boot: str
    pid: int
    started: int | None
    since: float

    def __str__(self) -> str:
        """`process 17 on fileserver`."""
        return f"process {self.pid} on {one_line(self.host)}"


def this_process() -> Holder:
    """The holder that this process would be."""
    return Holder(
        host=socket.gethostname(),
        machine=machine_identity(),
        boot=read_text("/proc/sys/kernel/random/boot_id"),
        pid=os.getpid(),
        started=start_time(os.getpid()),
        since=time.time(),
    )


def is_alive(holder: Holder, silence: float) -> bool:
    """Whether a holder still works.

    A machine that was restarted and a clone of it have the same name and machine id, and other boot ids. What beat last
    before this machine started is taken for its own past; what beat later, for a clone at work.

    Args:
        holder: Of a lock.
        silence: Seconds since its last heartbeat; negative where a clock was set back.
    """
    here = this_process()
    if (holder.host, holder.machine) != (here.host, here.machine):
        return abs(silence) < SILENCE
    if holder.boot != here.boot:
        return abs(silence) < min(SILENCE, seconds_up())
    if here.started is None:
        return pid_exists(holder.pid)
    return start_time(holder.pid) == holder.started


def seconds_up() -> float:
    """How long ago this machine started; for ever where the system does not tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return math.inf if clock is None else time.clock_gettime(clock)


def holder_of(run: RunFolder) -> Holder | None:
    """The living holder of a run; None where nobody works on it."""
    holder = read_holder(run.lock)
    if holder is None:
        return None
    try:
        beat = run.lock.lstat().st_mtime
    except OSError:  # just released
        return None
    return holder if is_alive(holder, shared_now(run.path) - beat) else None


def read_holder(path: Path) -> Holder | None:
    """The holder that a lock names; None where there is no lock, or one that a crash cut short, or a link or a pipe."""
    try:
        return None if path.is_symlink() else read_json(path, Holder)
    except (OSError, ValueError):
        return None


@contextmanager
def hold(run: RunFolder) -> Iterator["Lock"]:
    """Holds a run for as long as the block lasts.

    Raises:
        HeldError: Another process works on it; the message says which.
    """
    lock = Lock(run, this_process())
    make_folder(run.path)
    with alone(run.claim):
        other = holder_of(run)
        if other:
            raise HeldError(held(run, other))
        write_json(run.lock, asdict(lock.holder))
        remove_leftovers(run.path)
    beats = threading.Thread(target=lock.beat, daemon=True, name="heartbeat")
    beats.start()
    try:
        yield lock
    finally:
        lock.released.set()
        beats.join()
        if os.getpid() == lock.holder.pid and lock.is_ours():
            run.lock.unlink(missing_ok=True)


def held(run: RunFolder, other: Holder) -> str:
    """Who works on a run, and what to do."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(max(other.since, 0.0), 1e11)))
    return f"{run.path} is being worked on by {other} since {since}: wait for it, or end it"


class Lock:
    """A run that this process holds.

    Args:
        run: The run.
        holder: This process.
    """

    def __init__(self, run: RunFolder, holder: Holder) -> None:
        self.run = run
        self.holder = holder
        self.released = threading.Event()

    def beat(self) -> None:
        """Shows other machines, again and again, that this process lives."""
        while not self.released.wait(HEARTBEAT):
            if self.is_ours():
                os.utime(self.run.lock, follow_symlinks=False)

    def is_ours(self) -> bool:
        """Whether the run is still held by this process."""
        return read_holder(self.run.lock) == self.holder

    def check(self) -> None:
        """Makes sure, before a file of the run is replaced, that it is still ours to write.

        Raises:
            LockLostError: Another machine took it over.
        """
        if not self.is_ours():
            raise LockLostError(
                f"{self.run.path} was taken over by another process while this one was silent: stopping"
            )


def shared_now(folder: Path) -> float:
    """The present by the clock that stamps files in a folder, seconds since 1970."""
    probe = temporary_beside(folder / "now")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()  # a folder that can be read only
    finally:
        probe.unlink(missing_ok=True)
