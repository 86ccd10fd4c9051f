"""What a training ends with in a terminal: one line a run, with what it learned, how long it took and where it lies."""

from collections.abc import Sequence

from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from asd.system.progress import duration

HEAD = ("run", "steps", "loss", "accuracy", "time", "where")


def ending_table(runs: Sequence[RunFolder]) -> str:
    """The last epoch of each run as a table."""
    lines = [HEAD, *(cells(run) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(aligned(line, widths) for line in lines)


def cells(run: RunFolder) -> tuple[str, ...]:
    """What stands in a run's line."""
    record = read_record(run)
    last = record[-1]
    took = duration(sum(line["seconds"] for line in record))
    name = f"{run.machine}/{run.system}"
    accuracy = f"{last['accuracy']:.1%}" if "accuracy" in last else "–"
    return (name, f"{last['step']:,}", f"{last['loss']:.4f}", accuracy, took, f"{run.path}/")


def aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, figures to the right."""
    name, *figures, where = line
    padded = [cell.rjust(width) for cell, width in zip(figures, widths[1:-1], strict=True)]
    return "  ".join([name.ljust(widths[0]), *padded, where])
