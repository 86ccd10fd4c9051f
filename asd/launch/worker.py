"""The process of one run of a grid: what it does, and what it leaves behind when that fails."""

import contextlib
import io
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any, TextIO

from asd.config.schema import RunConfig
from asd.runs.folder import RunFolder
from asd.runs.lock import HeldError, hold
from asd.runs.status import read_status, write_status
from asd.system.entry import begin, print_anything
from asd.system.files import NoRoomError, make_folder, open_own
from asd.system.interruption import interruptible
from asd.system.memory import is_out_of_memory, make_room
from asd.system.parent import die_with_parent
from asd.system.progress import be_quiet, write_line

ELSEWHERE = 75  # exit code: another process works on the run (EX_TEMPFAIL)


@dataclass(frozen=True)
class Job:
    """One run of a grid.

    Attributes:
        target: What trains it, such as asd.experiment:train.
        config: Its typed configuration.
        command: The command line that would train it alone.
    """

    target: str
    config: RunConfig
    command: list[str]

    @property
    def run(self) -> RunFolder:
        """Where it lies."""
        return RunFolder(self.config.folder())


@dataclass(frozen=True)
class Slot:
    """What one of several runs at a time may use.

    Attributes:
        environment: Variables to set.
        to_log: Whether the output goes to the run's log instead of the terminal.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    to_log: bool = False


def work(job: Job, slot: Slot) -> None:
    """Trains a run. Its log tells the command, and how it failed.

    Raises:
        SystemExit: With 1 after a failure, ELSEWHERE, or 128 + the number of a signal.
    """
    begin()
    os.setsid()  # Ctrl-C at the terminal is the parent's to pass on, once
    die_with_parent()
    os.environ.update(slot.environment)
    sys.argv = job.command
    be_quiet(job.config.quiet)
    with interruptible(), logging_to(job, slot) as log:
        try:
            with hold(job.run) as lock:
                attempt(job, slot, lock)
        except HeldError as error:
            write_line(sys.stdout, str(error))
            raise SystemExit(ELSEWHERE) from None
        except Exception as error:
            if is_out_of_memory(error):
                make_room(error)
            say(error, log, slot)
            raise SystemExit(1) from None


def attempt(job: Job, slot: Slot, lock: Any) -> None:
    """Trains a run that is held, and leaves word if it fails before training does."""
    try:
        set_threads(slot)
        resolve_name(job.target)(job.config, lock)
    except Exception as error:
        if read_status(job.run).is_open:
            if is_out_of_memory(error):
                make_room(error)
            with contextlib.suppress(OSError, MemoryError):
                write_status(job.run, "failed", why=f"{type(error).__name__}: {error}")
        raise


def set_threads(slot: Slot) -> None:
    """Gives torch, which was imported before this process began, the threads of the slot."""
    if "OMP_NUM_THREADS" in slot.environment:
        import torch

        torch.set_num_threads(int(slot.environment["OMP_NUM_THREADS"]))


@contextlib.contextmanager
def logging_to(job: Job, slot: Slot) -> Iterator[TextIO]:
    """The run's log, which in a grid of several runs at a time takes all output.

    Raises:
        SystemExit: It cannot be written.
    """
    try:
        make_folder(job.run.path)
        file = open_own(job.run.log, os.O_APPEND)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            write_status(job.run, "failed", why=str(error))
        write_line(sys.stderr, str(error))
        raise SystemExit(1) from None
    with io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace") as log:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(job.command)}", file=log, flush=True)
        if slot.to_log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            print_anything("utf-8")
        yield log
        sys.stdout.flush()


def say(error: Exception, log: TextIO, slot: Slot) -> None:
    """Writes a failure to the log with its traceback, and its message to the terminal."""
    traceback.print_exception(error, file=log)
    if not slot.to_log:
        is_mistake = isinstance(error, (ValueError, NoRoomError))
        write_line(sys.stderr, str(error) if is_mistake else "".join(traceback.format_exception(error)))
