"""Which process something belongs to, and whether it still lives: machine, pid and start time together."""

import hashlib
import os
import socket
from functools import lru_cache
from pathlib import Path


def machine_identity() -> str:
    """What a pid is counted in: machine id and pid namespace; empty where the system does not tell."""
    return f"{read_text('/etc/machine-id')} {read_link('/proc/self/ns/pid')}".strip()


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where it is gone, a zombie, or /proc is not there."""
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def pid_exists(pid: int) -> bool:
    """Whether a process of that number is there."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@lru_cache(maxsize=1)
def place() -> str:
    """Eight hexadecimal digits for this start of this machine, within which pid and start time name one process."""
    told = f"{socket.gethostname()} {machine_identity()} {read_text('/proc/sys/kernel/random/boot_id')}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def owner_tag() -> str:
    """This process as part of a file's name: `<place>-<pid>-<start>`."""
    return f"{place()}-{os.getpid()}-{start_time(os.getpid()) or 0}"


def is_gone(tag: str) -> bool:
    """Whether the process of an owner's tag has ended for certain; one of another machine never has."""
    where, pid, started = tag.split("-")
    if where != place():
        return False
    if start_time(os.getpid()) is None:  # no /proc
        return not pid_exists(int(pid))
    return start_time(int(pid)) != int(started)


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
