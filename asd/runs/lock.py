"""Who works on a run: one process at a time, on one machine or on many that share a folder.

`lock.json` names the holder. On the holder's own machine its process decides, by pid and start time: neither a kill nor
a pid used again nor a forked worker keeps a run locked. Across machines the heartbeat decides: the time of change of
`lock.json`, by the clock of the file system that both share.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from asd.runs.folder import RunFolder
from asd.system.files import alone, write_json

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


def this_process() -> Holder:
    """The holder that this process would be."""
    identity, namespace = read_text("/etc/machine-id"), read_link("/proc/self/ns/pid")
    return Holder(
        host=socket.gethostname(),
        machine=f"{identity} {namespace}".strip(),
        boot=read_text("/proc/sys/kernel/random/boot_id"),
        pid=os.getpid(),
        started=start_time(os.getpid()),
        since=time.time(),
    )


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where it is gone, a zombie, or /proc is not there."""
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def is_alive(holder: Holder, silence: float) -> bool:
    """Whether a holder still works.

    Args:
        holder: Of a lock.
        silence: Seconds since its last heartbeat.
    """
    here = this_process()
    if (holder.host, holder.machine) != (here.host, here.machine):
        return silence < SILENCE
    if holder.boot != here.boot:
        return False  # the machine was started anew since
    if here.started is None:
        return pid_exists(holder.pid)
    return start_time(holder.pid) == holder.started


def pid_exists(pid: int) -> bool:
    """Whether a process of that number is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def holder_of(run: RunFolder) -> Holder | None:
    """The living holder of a run; None where nobody works on it."""
    try:
        holder = Holder(**json.loads(run.lock.read_text(encoding="utf-8")))
        beat = run.lock.stat().st_mtime
    except (OSError, ValueError, TypeError):
        return None  # not there, or cut short by a crash while it was written
    return holder if is_alive(holder, shared_now(run.path) - beat) else None


@contextmanager
def hold(run: RunFolder) -> Iterator["Lock"]:
    """Holds a run for as long as the block lasts.

    Raises:
        HeldError: Another process works on it; the message says which.
    """
    lock = Lock(run, this_process())
    run.path.mkdir(parents=True, exist_ok=True)
    with alone(run.claim):
        other = holder_of(run)
        if other:
            raise HeldError(
                f"{run.path} is being worked on by process {other.pid} on {other.host} "
                f"since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(other.since))}: wait for it, or end it"
            )
        write_json(run.lock, asdict(lock.holder))
    beats = threading.Thread(target=lock.beat, daemon=True, name="heartbeat")
    beats.start()
    try:
        yield lock
    finally:
        lock.released.set()
        beats.join()
        if os.getpid() == lock.holder.pid and lock.is_ours():
            run.lock.unlink(missing_ok=True)


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
                os.utime(self.run.lock)

    def is_ours(self) -> bool:
        """Whether the run is still held by this process."""
        try:
            return Holder(**json.loads(self.run.lock.read_text(encoding="utf-8"))) == self.holder
        except (OSError, ValueError, TypeError):
            return False

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
    probe = folder / f".now-{os.getpid()}-{threading.get_ident()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()  # a folder that can be read only
    finally:
        probe.unlink(missing_ok=True)


def read_text(path: str) -> str:
    """The content of a system file; empty where it is not there."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def read_link(path: str) -> str:
    """Where a link of the system points; empty where it is not there."""
    try:
        return os.readlink(path)
    except OSError:
        return ""
