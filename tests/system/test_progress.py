"""Progress in a terminal, in a pipe and not at all."""

import os
import pty
import re
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from asd.system import progress as module
from asd.system.amounts import duration, quantity, rate
from asd.system.progress import PlainLines, be_quiet, progress, say, track

ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


def test_plain_lines_come_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with progress("decoding fan", 2000) as bar:
        for _ in range(200):
            clock.now += 1
            bar.update(10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "decoding fan: 100 of 2,000 clips (5%), 10 clips/s, 3 min 10 s left"
    assert [int(re.search(r"\((\d+)%\)", line).group(1)) for line in lines[:-1]] == [5, 15, 35, 65, 95]
    assert lines[-1] == "decoding fan: 2,000 clips in 3 min 20 s, 10 clips/s"


def test_what_was_done_before_counts_for_the_share_but_not_for_the_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with progress("download", 4 << 30, unit="B", done=2 << 30) as bar:
        clock.now += 16
        bar.update(1 << 30)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "download: 3.0 GiB of 4.0 GiB (75%), 64.0 MiB/s, 16 s left"
    assert last == "download: stopped after 3.0 GiB of 4.0 GiB (75%) in 16 s, 64.0 MiB/s"


def test_a_note_and_an_unknown_total(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock(monkeypatch)
    with progress("training", None, unit="step") as bar:
        bar.note("loss 1.25")
        clock.now += 20
        bar.update()
    assert capsys.readouterr().err.splitlines() == [
        "training: 1 step, 0.05 steps/s, loss 1.25",
        "training: 1 step in 20 s, 0.05 steps/s, loss 1.25",
    ]


def test_an_error_ends_the_progress_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def divide() -> None:
        with progress("dividing", 2, unit="number") as bar:
            for number in (1, 0):
                bar.update(1 // number)

    with pytest.raises(ZeroDivisionError):
        divide()
    assert "dividing: stopped after 1 of 2 numbers (50%)" in capsys.readouterr().err


def test_track_gives_every_item_and_knows_its_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2, 3], "counting", unit="number")) == [1, 2, 3]
    assert list(track(iter("ab"), "reading", total=2, unit="letter")) == ["a", "b"]
    for plate in track(range(5), "breaking", unit="plate"):
        if plate == 2:
            break
    counting, reading, breaking = capsys.readouterr().err.splitlines()
    assert counting.startswith("counting: 3 numbers in 0.0 s")
    assert reading.startswith("reading: 2 letters in 0.0 s")
    assert breaking.startswith("breaking: stopped after 2 of 5 plates (40%)")


def test_nothing_is_shown_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", "reading", show=False)) == ["a", "b", "c"]
    be_quiet(True)
    with progress("quiet", 1) as bar:
        bar.note("psst")
        bar.update()
    say("a remark")
    assert capsys.readouterr() == ("", "")
    be_quiet(False)
    say("a remark")
    assert capsys.readouterr().out == "a remark\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.6, "1 h 00 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_quantities_and_rates() -> None:
    assert [quantity(n, "B") for n in (5, 2048, 3 << 20)] == ["5 B", "2.0 KiB", "3.0 MiB"]
    assert quantity(1, "clip") == "1 clip"
    assert rate(0, 1, "clip") == rate(1, 0, "clip") == ""
    assert rate(123_456, 10, "clip") == "12,346 clips/s"


def in_a_terminal(*codes: str, columns: int = 100) -> str:
    """What programs write that share one terminal; each starts when the one before has."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    running = []
    for code in codes:
        running.append(subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment))
        time.sleep(0.5 if len(codes) > 1 else 0)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # how Linux says that the last writer is gone
        pass
    os.close(ours)
    assert [process.wait(timeout=30) for process in running] == [0] * len(running)
    return shown.decode()


WORK = """
import time
from asd.system.progress import say, track
for _ in track(range({n}), "{title}", unit="clip"):
    time.sleep({pause})
say("{title} done")
"""


@pytest.mark.parametrize("columns", [100, 0])
def test_a_terminal_gets_a_bar(columns: int) -> None:
    shown = in_a_terminal(WORK.format(n=30, title="embedding fan", pause=0.02), columns=columns)
    assert "\rembedding fan   0%|" in shown
    assert re.search(r"\rembedding fan 100%\|█+\| 30/30, 00:00 left, +[\d.]+ clip/s", shown)
    assert shown.endswith("\x1b[Kembedding fan done\r\n")


def test_the_second_process_in_a_terminal_writes_lines() -> None:
    first = WORK.format(n=20, title="first", pause=0.1)
    shown = in_a_terminal(first, WORK.format(n=3, title="second", pause=0.01))
    assert "20/20" in shown
    assert "second   0%" not in shown  # no bar
    assert re.search(r"\r\x1b\[Ksecond: 3 clips in 0\.\d s, .* clips/s\r\n\r\x1b\[Ksecond done\r\n", shown)


def test_the_terminal_is_free_again_after_a_bar() -> None:
    shown = in_a_terminal(WORK.format(n=2, title="one", pause=0) + WORK.format(n=2, title="two", pause=0))
    assert "2/2" in shown.partition("one done")[0]
    assert "2/2" in shown.partition("one done")[2]


def test_a_bar_within_a_bar_writes_lines() -> None:
    shown = in_a_terminal(
        "from asd.system.progress import progress, track\n"
        "with progress('outer', 1) as bar:\n    list(track('ab', 'inner', unit='letter'))\n    bar.update()"
    )
    assert "\x1b[Kinner: 2 letters in 0.0 s" in shown
    assert "1/1" in shown


def test_processes_that_share_a_pipe_do_not_mix_their_lines(tmp_path: Path) -> None:
    code = "from asd.system.progress import *\nfor i in range(200):\n    list(track('ab', 'x' * 300, unit='letter'))"
    log = tmp_path / "log"
    with open(log, "w") as file:
        started = [subprocess.Popen([sys.executable, "-c", code], stderr=file, cwd=ROOT) for _ in range(2)]
        assert [process.wait(timeout=30) for process in started] == [0, 0]
    lines = log.read_text().splitlines()
    assert len(lines) == 400
    assert all(re.fullmatch(r"x{300}: 2 letters in 0\.0 s(, [\d,]+ letters/s)?", line) for line in lines)


def test_a_terminal_without_a_name_still_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()

    def nameless(_: int) -> str:
        raise OSError

    monkeypatch.setattr(module.os, "ttyname", nameless)
    monkeypatch.setenv("TERM", "xterm")
    with open(theirs, "w") as terminal:
        with module.may_draw(terminal) as drawing:
            assert drawing
        monkeypatch.setenv("TERM", "dumb")
        with module.may_draw(terminal) as drawing:
            assert not drawing
    os.close(ours)


@contextmanager
def own_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A terminal in place of this process's outputs; afterwards the list holds what a reader of it saw."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    os.set_blocking(ours, False)
    shown: list[str] = []
    with open(theirs, "w") as stream, monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stderr", stream)
        patch.setattr(sys, "stdout", stream)
        yield shown
        stream.flush()
        shown.append(read_now(ours))
    os.close(ours)


def read_now(descriptor: int) -> str:
    """What stands ready to be read."""
    found = b""
    with suppress(BlockingIOError):
        while True:
            found += os.read(descriptor, 4096)
    return found.decode()


def test_a_bar_with_a_note_and_a_remark_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with own_terminal(monkeypatch) as seen, progress("embedding", 4096, unit="B", done=1024) as bar:
        bar.note("fan 02")
        say("a remark")
        bar.update(3072)
    (shown,) = seen
    assert "\rembedding  25%|" in shown
    assert "\x1b[Ka remark\r\n" in shown
    assert re.search(r"\rembedding 100%\|█+\| 4.00k/4.00k, 00:00 left, .*B/s, fan 02", shown)


def test_two_bars_at_once_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with own_terminal(monkeypatch) as seen, progress("outer", None) as outer:
        assert list(track("ab", "inner", unit="letter")) == ["a", "b"]
        outer.update()
    (shown,) = seen
    assert "\x1b[Kinner: 2 letters in 0.0 s" in shown
    assert "outer: 1 clip " in shown


def test_where_nothing_was_done_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([], "embedding", unit="clip")) == []
    with progress("decoding", 7, done=7):
        pass
    assert capsys.readouterr().err == ""
    assert PlainLines("x", 0, "clip", 0).line(1.0) == "x: 0 clips"
