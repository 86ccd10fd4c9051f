"""SIGTERM and Ctrl-C: at once where nothing is at stake; while steps are taken, after the step under way."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from asd.system.progress import say

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """What the process was asked to do.

    Attributes:
        received: The signal that asked it to end; None as long as nobody did.
        patient: Whether a first signal waits for the one who looks at `received`; a second one never waits.
        is_listening: Whether signals arrive here.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.patient = False
        self.is_listening = False
        self.process = os.getpid()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Takes a signal.

        Raises:
            SystemExit: With 128 + the signal's number, as a shell would say it.
        """
        if os.getpid() != self.process:
            leave_worker(signum)
            return
        first, self.received = self.received is None, signum
        if not (self.patient and first):
            raise SystemExit(self.exit_code)
        say(f"{signal.Signals(signum).name}: finishing this step, then keeping it")

    @property
    def exit_code(self) -> int:
        """What the process is to end with."""
        assert self.received is not None
        return 128 + self.received

    def listen(self) -> None:
        """Takes the signals from now on, whoever took them before."""
        self.is_listening = True
        for number in SIGNALS:
            signal.signal(number, self)


def leave_worker(signum: int) -> None:
    """In a forked worker: Ctrl-C is its parent's business, SIGTERM ends it."""
    if signum != signal.SIGINT:
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turns signals into an orderly end of the block; outside the main thread, where none arrive, does nothing."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interruption.listen()
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
