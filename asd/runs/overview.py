"""How far the runs of a grid are, read from their folders alone, without torch."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd.runs.folder import OUTPUTS, RunFolder
from asd.runs.lock import Holder, holder_of
from asd.runs.manifest import is_done
from asd.runs.record import KNOWN, REQUIRED, read_record
from asd.runs.status import Status, read_status
from asd.system.amounts import duration
from asd.system.reading import parse_json_line
from asd.system.tables import text_table

TAIL = 65536  # bytes of metrics.jsonl that hold its last lines


@dataclass(frozen=True)
class RunState:
    """What a run is doing.

    Attributes:
        run: Its folder.
        state: pending, running, stale (said to run, but its process is gone), done, failed, interrupted, or
            damaged (a file of its says nothing that can be read).
        why: Reason of a failure or of the damage; who works on it.
        epoch: Epochs recorded so far; None where there is none.
        step: Steps done, as far as they are recorded.
        n_steps: Steps to do; None where it is not known yet.
        seconds_left: Estimated from the last epoch; None where nothing is known or nobody works on it.
        metrics: The last line of the record.
    """

    run: RunFolder
    state: str
    why: str
    epoch: int | None
    step: int | None
    n_steps: int | None
    seconds_left: float | None
    metrics: dict[str, Any]


def survey(run: RunFolder, *, verify: bool = False) -> RunState:
    """What a run is doing. Damaged files make its state `damaged` and are named; they hide no other run.

    Args:
        run: Its folder.
        verify: Compare the hashes of a finished run instead of believing its status.
    """
    status, holder = read_status(run), holder_of(run)
    try:
        lines, problem = last_lines(run.metrics, 2), ""
    except (OSError, ValueError) as error:
        lines, problem = [], str(error)
    state = "running" if holder else "damaged" if problem else state_of(run, status.state, verify)
    last = lines[-1] if lines else {}
    step = last.get("step", status.step)
    return RunState(
        run, state, problem or reason(state, status, holder), count(last), step,
        step if state == "done" else status.n_steps,
        seconds_left(lines, status) if state == "running" else None, last,
    )  # fmt: skip


def state_of(run: RunFolder, said: str, verify: bool) -> str:
    """The state of a run that nobody works on, by what its status says and, if wanted, by its manifest."""
    if verify and is_done(run):
        return "done"
    return "stale" if said == "running" or (verify and said == "done") else said


def reason(state: str, status: Status, holder: Holder | None) -> str:
    """Why a run failed, or who works on it."""
    if holder:
        return str(holder)
    if state == "stale":
        return f"process {status.pid} on {status.host} is gone: type the command again"
    return status.why if state in ("failed", "damaged") else ""


def count(line: dict[str, Any]) -> int | None:
    """How many epochs a line of the record ends."""
    return line["epoch"] + 1 if line else None


def seconds_left(lines: list[dict[str, Any]], status: Status) -> float | None:
    """What is left to do at the speed of the last epoch, less what went by since."""
    if not lines or status.n_steps is None or "seconds" not in lines[-1]:
        return None
    last, before = lines[-1], lines[-2]["step"] if len(lines) > 1 else 0
    each = last["seconds"] / max(1, last["step"] - before)
    passed = time.time() - status.heartbeat
    return max(0.0, (status.n_steps - last["step"]) * each - passed)


def last_lines(path: Path, n_lines: int) -> list[dict[str, Any]]:
    """The last whole lines of a record.

    Raises:
        ValueError: One of them is damaged.
    """
    if not path.is_file():
        return []
    start = max(0, path.stat().st_size - TAIL)
    with open(path, "rb") as file:
        file.seek(start)
        whole = file.read().split(b"\n")[int(start > 0) : -1][-n_lines:]
    if start and not whole:
        raise ValueError(f"{path}: its last line has more than {TAIL} bytes")
    return [parse_json_line(line, REQUIRED, KNOWN, f"{path}, one of the last lines") for line in whole]


def find_statuses(name: str) -> list[RunFolder]:
    """The runs under a name, those that have not begun too."""
    return [RunFolder(path.parent) for path in sorted((OUTPUTS / name).glob("*/*/*/status.json"))]


def table(states: Iterable[RunState]) -> str:
    """The runs as people read them, one a line, and how many are where."""
    head = ("run", "state", "epoch", "step", "left", "loss", "accuracy", "")
    return text_table([head, *(row(state) for state in states)])


def row(state: RunState) -> tuple[str, ...]:
    """The cells of a run."""
    place = state.run.path
    steps = f"{state.step} of {state.n_steps}" if state.n_steps else text(state.step)
    return (
        "/".join(place.parts[1:] if place.parts[0] == OUTPUTS.name else place.parts), state.state, text(state.epoch),
        steps, "–" if state.seconds_left is None else duration(state.seconds_left), decimal(state.metrics.get("loss")),
        decimal(state.metrics.get("accuracy")), state.why.partition("\n")[0],
    )  # fmt: skip


def text(value: Any) -> str:
    """A cell; a dash for nothing."""
    return "–" if value is None else str(value)


def decimal(value: float | None) -> str:
    """A figure of the record."""
    return "–" if value is None else f"{value:.4g}"


def summary(states: Iterable[RunState]) -> str:
    """How many runs are where: «12 runs: 10 done, 2 failed»."""
    found = [state.state for state in states]
    order = ("done", "running", "stale", "failed", "interrupted", "damaged", "pending")
    parts = ", ".join(f"{found.count(state)} {state}" for state in order if state in found)
    return f"{len(found)} run{'s' if len(found) != 1 else ''}: {parts}"


def summary_table(runs: Sequence[RunFolder]) -> str:
    """What a training ends with in a terminal: a line a run, with what it learned, how long and where."""
    head = ("run", "steps", "loss", "accuracy", "time", "where")
    return text_table([head, *map(trained_row, runs)], "<>>>>")


def trained_row(run: RunFolder) -> tuple[str, ...]:
    """The cells of a run's line; one that trained nothing has no record."""
    record = read_record(run)
    last = record[-1] if record else {"step": 0}
    took = duration(sum(line.get("seconds", 0.0) for line in record))
    accuracy = f"{last['accuracy']:.1%}" if "accuracy" in last else "–"
    loss = f"{last['loss']:.4f}" if "loss" in last else "–"
    name = f"{run.machine}/{run.system}"
    return (name, f"{last['step']:,}", loss, accuracy, took, f"{run.path}/")
