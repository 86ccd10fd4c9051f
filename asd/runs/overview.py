"""How far the runs of a grid are, read from their folders alone, without torch."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd.runs.folder import OUTPUTS, RunFolder
from asd.runs.lock import Holder, holder_of
from asd.runs.manifest import is_done
from asd.runs.status import read_status
from asd.system.progress import duration
from asd.system.tables import text_table

TAIL = 65536  # bytes of metrics.jsonl that hold its last lines


@dataclass(frozen=True)
class RunState:
    """What a run is doing.

    Attributes:
        run: Its folder.
        state: pending, running, stale (said to run, but its process is gone), done, failed or interrupted.
        why: It failed; who works on it.
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
    """What a run is doing.

    Args:
        run: Its folder.
        verify: Compare the hashes of a finished run instead of believing its status.
    """
    status, holder = read_status(run), holder_of(run)
    state = "running" if holder else state_of(run, status["state"], verify)
    lines = last_lines(run.metrics, 2)
    last = lines[-1] if lines else {}
    step, n_steps = last.get("step", status.get("step")), status.get("n_steps")
    return RunState(
        run, state, reason(state, status, holder), count(last), step, step if state == "done" else n_steps,
        seconds_left(lines, n_steps, status) if state == "running" else None, last,
    )  # fmt: skip


def state_of(run: RunFolder, said: str, verify: bool) -> str:
    """The state of a run that nobody works on, by what its status says and, if wanted, by its manifest."""
    if verify and is_done(run):
        return "done"
    return "stale" if said == "running" or (verify and said == "done") else said


def reason(state: str, status: dict[str, Any], holder: Holder | None) -> str:
    """Why a run failed, or who works on it."""
    if holder:
        return f"process {holder.pid} on {holder.host}"
    if state == "stale":
        return f"process {status.get('pid')} on {status.get('host')} is gone: type the command again"
    return str(status.get("why", "")) if state == "failed" else ""


def count(line: dict[str, Any]) -> int | None:
    """How many epochs a line of the record ends."""
    return line["epoch"] + 1 if line else None


def seconds_left(lines: list[dict[str, Any]], n_steps: int | None, status: dict[str, Any]) -> float | None:
    """What is left to do at the speed of the last epoch, less what went by since."""
    if not lines or n_steps is None:
        return None
    last, before = lines[-1], lines[-2]["step"] if len(lines) > 1 else 0
    each = last["seconds"] / max(1, last["step"] - before)
    passed = time.time() - status["heartbeat"]
    return max(0.0, (n_steps - last["step"]) * each - passed)


def last_lines(path: Path, n_lines: int) -> list[dict[str, Any]]:
    """The last whole lines of a record."""
    if not path.is_file():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        lines = file.read().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n") and line.startswith(b"{")][-n_lines:]


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
    order = ("done", "running", "stale", "failed", "interrupted", "pending")
    parts = ", ".join(f"{found.count(state)} {state}" for state in order if state in found)
    return f"{len(found)} run{'s' if len(found) != 1 else ''}: {parts}"
