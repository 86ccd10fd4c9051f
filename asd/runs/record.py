"""The lines of metrics.jsonl, one per epoch: the record of a run for those who read it."""

from typing import Any

from asd.runs.folder import RunFolder
from asd.system.files import csv_text
from asd.system.reading import read_json_lines

REQUIRED = {"epoch": int, "step": int, "loss": float}  # of each line
KNOWN = {"accuracy": float, "lr": float, "seconds": float, "pieces_per_second": float}


def read_record(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that a crash cut short is left out.

    Raises:
        ValueError: A line is damaged; the message names it.
    """
    if not run.metrics.is_file():
        return []
    return read_json_lines(run.metrics, REQUIRED, KNOWN)


def last_line(run: RunFolder) -> dict[str, Any]:
    """The line of the last epoch of a run that was trained to its end.

    Raises:
        ValueError: There is none: its end was lost.
    """
    record = read_record(run)
    if not record:
        raise ValueError(
            f"{run.metrics}: no epoch is recorded, though the run was trained: bring the file back from a copy, "
            f"or give overwrite=true to train from the start"
        )
    return record[-1]


def to_csv(lines: list[dict[str, Any]]) -> str:
    """The record as a CSV table."""
    return csv_text([list(lines[0]), *([line.get(name) for name in lines[0]] for line in lines)])
