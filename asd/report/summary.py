"""The table that a training ends with in a terminal: one line a run, with what it learned, how long and where."""

from collections.abc import Sequence

from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from asd.system.amounts import duration
from asd.system.tables import text_table

HEAD = ("run", "steps", "loss", "accuracy", "time", "where")


def summary_table(runs: Sequence[RunFolder]) -> str:
    """The last epoch of each run as a table."""
    return text_table([HEAD, *(cells(run) for run in runs)], "<>>>>")


def cells(run: RunFolder) -> tuple[str, ...]:
    """The cells of a run's line; one that trained nothing has no record."""
    record = read_record(run)
    last = record[-1] if record else {"step": 0}
    took = duration(sum(line.get("seconds", 0.0) for line in record))
    accuracy = f"{last['accuracy']:.1%}" if "accuracy" in last else "–"
    loss = f"{last['loss']:.4f}" if "loss" in last else "–"
    name = f"{run.machine}/{run.system}"
    return (name, f"{last['step']:,}", loss, accuracy, took, f"{run.path}/")
