"""A process that ends when the one that started it does, however that one ended."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ends this process and what it started as soon as its parent is gone; for the leader of a process group.

    A process of multiprocessing watches a pipe whose other end its parent holds. On Linux the kernel watches too, so
    that the process ends even where no thread of Python's gets a turn.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True, name="parent").start()


def follow_parent() -> None:
    """Makes a pool's worker end with its parent, and leaves Ctrl-C and SIGTERM of the whole group to the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=leave_after, args=(parent.sentinel,), daemon=True, name="parent").start()


def leave_with(parent: int, number: int) -> None:
    """Makes a forked worker end with its parent: also where that ended before the worker had its first turn.

    A worker of `torch` remembers whoever its parent is when it begins, and waits for the end of that one: of a worker
    whose parent was killed before, this is a process that never ends.

    Args:
        parent: Process that forks, by its own word.
        number: Of the worker; each does the same.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def leave_after(sentinel: int) -> None:
    """Waits for the end of the parent, then ends this process alone."""
    wait([sentinel])
    os._exit(1)


def watch(sentinel: int) -> None:
    """Waits for the end of the parent, then ends the process group."""
    wait([sentinel])
    os.killpg(os.getpgrp(), signal.SIGKILL)


def end_group(pid: int) -> None:
    """Ends what a process group's leader, itself gone, may have left."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
