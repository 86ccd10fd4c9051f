"""What surrounds a sweep, whichever launcher runs it: its runs are announced, and a table says how each one ended."""

import contextlib
import sys
from collections.abc import Callable, Sequence

from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done
from asd.runs.overview import summary, survey, table
from asd.runs.status import write_status
from asd.system.interruption import interruptible
from asd.system.progress import write_line


def conduct(launch: Callable[[], None], runs: Sequence[RunFolder]) -> int:
    """Launches a sweep and says how it ended, however it ended.

    Args:
        launch: Runs it all.
        runs: What is to be run.

    Returns:
        The exit code: 0 if every run is done, 128 + the number of a signal, else 1.
    """
    announce(runs)
    code = ending(launch)
    states = [survey(run, verify=True) for run in runs]
    write_line(sys.stdout, f"\n{table(states)}\n{summary(states)}")
    return code or int(any(state.state != "done" for state in states))


def announce(runs: Sequence[RunFolder]) -> None:
    """Lets `asd status` show the runs that have not begun."""
    for run in runs:
        if not run.status.exists() and not is_done(run):
            with contextlib.suppress(OSError, ValueError):  # said again, with a reason, when the run needs its folder
                write_status(run, "pending")


def ending(launch: Callable[[], None]) -> int:
    """The exit code that launching ends with."""
    try:
        with interruptible():
            launch()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return 130
    return 0
