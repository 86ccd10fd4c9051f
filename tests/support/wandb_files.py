"""What W&B recorded offline, read back from its own file: runs, history, summary, media."""

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32_768  # the file is a LevelDB log: records, cut at the ends of blocks, behind seven bytes of W&B's own
HEADER = 7


@dataclass
class Recorded:
    """One offline run."""

    folder: Path
    id: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    artifacts: list[Any] = field(default_factory=list)
    exit_code: int | None = None

    def rows(self, key: str) -> list[dict[str, Any]]:
        """The rows of a table that was logged under a key."""
        table = json.loads((self.folder / "files" / self.summary[f"{key}.path"]).read_text())
        return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def recorded(root: Path) -> list[Recorded]:
    """The offline runs below a folder, oldest first; W&B's service may still be writing the last lines."""
    deadline = time.monotonic() + 20
    while True:
        found = [read_run(path) for path in sorted(root.rglob("*.wandb"), key=lambda path: path.parent.name)]
        if all(run.exit_code is not None for run in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def read_run(path: Path) -> Recorded:
    """Reads one .wandb file."""
    run = Recorded(path.parent)
    for content in records(path.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told = record.run
            run.id, run.name, run.group = told.run_id, told.display_name, told.run_group
            run.job_type, run.project = told.job_type, told.project
            run.config |= items(told.config.update)
        elif kind == "config":
            run.config |= items(record.config.update)
        elif kind == "history":
            run.history.append(items(record.history.item))
        elif kind == "summary":
            run.summary |= items(record.summary.update)
        elif kind == "metric":
            run.metrics.append(record.metric.name or record.metric.glob_name)
        elif kind == "artifact":
            run.artifacts.append(record.artifact)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    for line in run.history:
        run.summary |= line
    return run


def items(entries: Any) -> dict[str, Any]:
    """Keys and JSON values as a dictionary; keys in several parts are joined."""
    return {entry.key or ".".join(entry.nested_key): json.loads(entry.value_json) for entry in entries}


def records(content: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log, put together from their fragments."""
    place, whole = HEADER, b""
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + HEADER])
        whole += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or the last fragment
            yield whole
            whole = b""
