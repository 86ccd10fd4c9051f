"""One run on several devices: a process for each, of which the first alone holds the run and writes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from asd.runs.folder import RunFolder
from asd.runs.lock import Lock, hold
from asd.system.parent import die_with_parent


def rank() -> int:
    """The number of this process among those that train one run together, as Lightning tells it to those it starts."""
    return int(os.environ.get("LOCAL_RANK", "0"))


class Follower:
    """The lock as every process but the first sees it: the first one holds it."""

    def check(self) -> None:
        """Nothing to check: this process replaces no file."""


@contextmanager
def hold_together(run: RunFolder) -> Iterator[Lock | Follower]:
    """Holds a run, in the first of the processes that train it; the others follow and end with the first.

    Raises:
        HeldError: Another process works on it; the message says which.
    """
    if rank() > 0:
        die_with_parent()
        yield Follower()
        return
    with hold(run) as lock:
        yield lock
