"""Who is who on W&B: a training, an evaluation and a grid as runs with a group, a job type, a name and a lasting id."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd.runs.folder import OUTPUTS, RunFolder
from asd.runs.manifest import essential


@dataclass(frozen=True)
class Entry:
    """A run on W&B.

    Attributes:
        id: The same whenever the same thing is logged again, on whatever machine.
        name: What people see.
        group: The grid.
        job_type: train, finetune, evaluate or ensemble.
        folder: W&B's own files lie below it, in `wandb/`.
        config: Plain values, with the axes of the grid as keys of their own.
    """

    id: str
    name: str
    group: str
    job_type: str
    folder: Path
    config: dict[str, Any]


def training_entry(run: RunFolder, config: Mapping[str, Any]) -> Entry:
    """The entry of a training: its id is its address and what makes it what it is."""
    return Entry(
        id=identity(run.path.as_posix(), essential(config)),
        name=f"{run.machine}/{run.system}",
        group=config["name"],
        job_type=config["phase"],
        folder=run.path,
        config={**config, **axes(run, config)},
    )


def evaluation_entry(run: RunFolder, scorer: Mapping[str, Any]) -> Entry:
    """The entry of the scores that a scorer gave a run; `scorer` holds its name and settings."""
    config = run.read_config()
    name = scorer["name"]
    return Entry(
        id=identity(run.scores(name).as_posix(), essential(config)),
        name=f"{run.machine}/{run.system}" + ("" if name == "cosine" else f" ({name})"),
        group=config["name"],
        job_type="evaluate",
        folder=run.scores(name),
        config={**config, **axes(run, config), "scorer": dict(scorer)},
    )


def grid_entry(name: str) -> Entry:
    """The entry of a grid's table: single systems, ensembles and the report's rows."""
    folder = OUTPUTS / name / "results"
    return Entry(
        id=identity(folder.as_posix(), {}),
        name=f"{name}: all systems",
        group=name,
        job_type="ensemble",
        folder=folder,
        config={"name": name},
    )


def axes(run: RunFolder, config: Mapping[str, Any]) -> dict[str, str]:
    """What tells the runs of a grid apart, as single words to group and filter by."""
    names = {"backbone_name": config["backbone"]["name"], "input_name": config["input"]["name"]}
    return {"system": run.system, **names, "phase_name": run.phase}


def identity(address: str, facts: Mapping[str, Any]) -> str:
    """A short hash of an address and plain values."""
    text = json.dumps([address, facts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
