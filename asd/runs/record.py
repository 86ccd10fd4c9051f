"""The lines of metrics.jsonl, one per epoch: the record of a run for those who read it."""

import json
from typing import Any

from asd.runs.folder import RunFolder
from asd.system.files import csv_text


def read_record(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that a crash cut short is left out."""
    if not run.metrics.is_file():
        return []
    lines = run.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def to_csv(lines: list[dict[str, Any]]) -> str:
    """The record as a CSV table."""
    return csv_text([list(lines[0]), *([line.get(name) for name in lines[0]] for line in lines)])
