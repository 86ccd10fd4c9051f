"""Progress with rate and time left: a bar in a terminal, a plain line now and then anywhere else.

    with progress("decoding fan", total, unit="clip", show=show) as bar:
        bar.update()
    for clip in track(clips, "embedding fan", unit="clip"): …

Of several processes in one terminal the first draws a bar and the others write lines, so that none draws over another.
"""

import fcntl
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO, TypeVar

from tqdm import tqdm

from asd.system.amounts import duration, quantity, rate
from asd.system.printable import printable

FIRST_LINE = 10.0  # seconds until the first plain line; each waits twice as long as the one before
LONGEST_WAIT = 60.0
CLEAR_LINE = "\r\x1b[K"  # the cursor may stand behind another process's bar
FORM = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {remaining} left, {rate_fmt}{postfix}"

T = TypeVar("T")
_quiet = False


class Bar(Protocol):
    """What shows how far a piece of work has come."""

    def update(self, n: int = 1) -> None:
        """Counts `n` more as done."""

    def note(self, text: str) -> None:
        """Shows a few words beside the rate, such as the loss."""


def be_quiet(quiet: bool) -> None:
    """Whether this process keeps progress and remarks to itself; results and mistakes are always printed."""
    global _quiet
    _quiet = quiet


def say(text: str) -> None:
    """Prints a remark, unless the process is to be quiet."""
    if not _quiet:
        write_line(sys.stdout, text)


@contextmanager
def progress(title: str, total: int | None, *, unit: str = "clip", show: bool = True, done: int = 0) -> Iterator[Bar]:
    """Shows the progress of what happens inside the `with` block.

    Args:
        title: What is done, such as `decoding fan`.
        total: How much there is; None where nobody knows.
        unit: One of what is counted, or `B` for bytes.
        show: False: nothing is shown.
        done: How much was done earlier, such as before an interruption; it does not count for the rate.
    """
    if _quiet or not show:
        yield Silent()
        return
    with may_draw(sys.stderr) as alone:
        bar = TerminalBar(title, total, unit, done) if alone else PlainLines(title, total, unit, done)
        try:
            yield bar
        finally:
            bar.close()


def track(
    items: Iterable[T], title: str, *, total: int | None = None, unit: str = "clip", show: bool = True
) -> Iterator[T]:
    """The items one by one, with their progress shown; `total` where they have no length."""
    if total is None and isinstance(items, Collection):
        total = len(items)
    with progress(title, total, unit=unit, show=show) as bar:
        for item in items:
            yield item
            bar.update()


class Silent:
    """Shows nothing."""

    def update(self, n: int = 1) -> None:
        """Counts nothing."""

    def note(self, text: str) -> None:
        """Shows nothing."""


class TerminalBar:
    """A bar that is drawn again and again on the last line of a terminal."""

    def __init__(self, title: str, total: int | None, unit: str, done: int) -> None:
        size: dict[str, Any] = (
            {"unit": "B", "unit_scale": True, "unit_divisor": 1024} if unit == "B" else {"unit": f" {unit}"}
        )
        known = os.get_terminal_size(sys.stderr.fileno()).columns > 0  # not so in some containers
        width: dict[str, Any] = {"dynamic_ncols": True} if known else {"ncols": 80}
        form = FORM if total is not None else None
        self.bar = tqdm(desc=title, total=total, initial=done, file=sys.stderr, bar_format=form, **width, **size)

    def update(self, n: int = 1) -> None:
        """Draws, unless it just did."""
        self.bar.update(n)

    def note(self, text: str) -> None:
        """Stands behind the rate from the next drawing on."""
        self.bar.set_postfix_str(text, refresh=False)

    def close(self) -> None:
        """Leaves the finished bar where it is."""
        self.bar.close()


class PlainLines:
    """A line after a while, then less and less often, and one at the end: for logs and files."""

    def __init__(self, title: str, total: int | None, unit: str, done: int) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.n = self.first = done
        self.text = ""
        self.start = self.last = time.monotonic()
        self.wait = FIRST_LINE

    def update(self, n: int = 1) -> None:
        """Writes a line if the last one is long ago."""
        self.n += n
        now = time.monotonic()
        if now - self.last >= self.wait:
            self.last, self.wait = now, min(2 * self.wait, LONGEST_WAIT)
            write_line(sys.stderr, self.line(now - self.start))

    def note(self, text: str) -> None:
        """Stands in the next line."""
        self.text = text

    def close(self) -> None:
        """Writes how much was done in what time; nothing where nothing was, as when another process did it."""
        if self.n == self.first:
            return
        seconds = time.monotonic() - self.start
        stopped = self.total is not None and self.n < self.total
        share = f"stopped after {self.amount()}" if stopped else quantity(self.n, self.unit)
        parts = [f"{share} in {duration(seconds)}", rate(self.n - self.first, seconds, self.unit), self.text]
        write_line(sys.stderr, f"{self.title}: {', '.join(filter(None, parts))}")

    def line(self, seconds: float) -> str:
        """How far it has come after so many seconds."""
        parts = [self.amount(), rate(self.n - self.first, seconds, self.unit)]
        if self.total and self.n > self.first:
            left = (self.total - self.n) * seconds / (self.n - self.first)
            parts.append(f"{duration(max(left, 0))} left")
        return f"{self.title}: {', '.join(filter(None, [*parts, self.text]))}"

    def amount(self) -> str:
        """What is done of what there is."""
        if not self.total:
            return quantity(self.n, self.unit)
        n = quantity(self.n, "B") if self.unit == "B" else f"{self.n:,}"
        return f"{n} of {quantity(self.total, self.unit)} ({self.n / self.total:.0%})"


def write_line(stream: TextIO, text: str) -> None:
    """Writes printable text at once, so that lines of several processes do not mix, past whatever bar is drawn.

    Where nobody can read it any more (`| head`, a terminal that is closed, a full disk), the work goes on without.
    """
    text = printable(text)
    try:
        if not stream.isatty():
            stream.write(f"{text}\n")
            stream.flush()
            return
        with tqdm.external_write_mode(file=stream):
            stream.write(f"{CLEAR_LINE}{text}\n")
            stream.flush()
    except OSError:
        discard(stream)


def discard(stream: TextIO) -> None:
    """Lets what is written to a stream from now on, and what is still in its buffer, lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def may_draw(stream: TextIO) -> Iterator[bool]:
    """Whether a bar may be drawn: the stream is a terminal that can, and nobody else draws there."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield False
        return
    try:
        terminal = os.open(os.ttyname(stream.fileno()), os.O_RDONLY | os.O_NOCTTY)
    except OSError:  # a terminal from outside a container has no name in it: nobody to share it with is known
        yield True
        return
    try:
        yield locked(terminal)
    finally:
        fcntl.flock(terminal, fcntl.LOCK_UN)  # a forked worker may hold a copy of the descriptor
        os.close(terminal)


def locked(descriptor: int) -> bool:
    """Locks an open file, unless another has; the lock ends with the process at the latest."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
