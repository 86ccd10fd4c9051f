"""What every process of ours begins with: Ctrl-C ends it quietly, terminals take any text, threads wait asleep."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT
NOBODY_READS = 128 + signal.SIGPIPE


def begin() -> None:
    """Prepares a process; before the imports that take time, because Ctrl-C in them is a traceback otherwise.

    Raises:
        SystemExit: The system is none that our locks and signals work on.
    """
    if os.name != "posix":
        raise SystemExit("asd runs on Linux, macOS, and within WSL on Windows: its locks and orderly ends need POSIX")
    open_closed_streams()
    print_anything()
    # Threads that wait by spinning take the cores of other programs; OpenBLAS has none that sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, leave)


@contextmanager
def begun() -> Iterator[None]:
    """The same for a block, after which Ctrl-C is what it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    begin()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def leave(signum: int, frame: FrameType | None) -> NoReturn:
    """Ends the process as a shell expects it after Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
    raise SystemExit(INTERRUPTED)


def open_closed_streams() -> None:
    """Lets what was closed (`>&-`) lead nowhere: else the next file that is opened would get what is printed."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115


def print_anything(encoding: str | None = None) -> None:
    """Lets both outputs take any character: as an escape where a terminal, such as a Latin-1 one, has none for it.

    Args:
        encoding: Of both from now on; None: as they are.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # a stream of a test, or one that is closed
            stream.reconfigure(encoding=encoding, errors="backslashreplace")  # type: ignore[union-attr]
