"""What lies under outputs/<name>, read into plain data: runs with their state, record and scores, and the results."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd.report.table import TableRow
from asd.runs.folder import RunFolder
from asd.runs.manifest import read_manifest
from asd.runs.record import read_record
from asd.runs.scores import ScoreTable, read_scores
from asd.runs.status import read_status

TRAIN = "train"


@dataclass(frozen=True, eq=False)
class Pieces:
    """pieces.npz; `clip` and `nearest` are rows of `path`.

    Attributes:
        score: (pieces,) score of each piece, clip after clip in the order of time.
        clip: (pieces,) its clip.
        nearest: (pieces, K) the training clips nearest to it, nearest first; K may be 0.
        path: (clips,) relative to the data's root, in the order of scores.csv.
        embedding: (clips, dim) unit vectors; None where the run was scored before they were kept.
    """

    score: NDArray[np.float64]
    clip: NDArray[np.int64]
    nearest: NDArray[np.int64]
    path: NDArray[np.str_]
    embedding: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Run:
    """One phase of one run.

    Attributes:
        folder: Where it lies.
        config: That it was made with.
        state: done, failed, running, interrupted or pending.
        why: Of a failure.
        manifest: Of a finished run, else empty.
        scored: The folder of its scores; None where it has none.
    """

    folder: RunFolder
    config: dict[str, Any]
    state: str
    why: str
    manifest: dict[str, Any]
    scored: Path | None

    @property
    def machine(self) -> str:
        """Its machine."""
        return self.folder.machine

    @property
    def system(self) -> str:
        """<backbone>-<input>-s<seed>/<phase>."""
        return self.folder.system

    @property
    def address(self) -> str:
        """<backbone>-<input>-s<seed>: what phase 1 and its fine-tunings share."""
        return self.folder.path.parent.name

    @property
    def phase(self) -> str:
        """train, or finetune-<freeze>."""
        return self.folder.phase

    @cached_property
    def scores(self) -> ScoreTable | None:
        """Every clip with its score."""
        return None if self.scored is None else read_scores(self.scored / "scores.csv")

    @property
    def scorer(self) -> dict[str, Any]:
        """The settings of the scorer."""
        if self.scored is None:
            return {}
        return json.loads((self.scored / "manifest.json").read_text(encoding="utf-8")).get("scorer", {})

    def pieces(self) -> Pieces | None:
        """Scores of pieces and nearest clips; None where the scorer keeps none."""
        if self.scored is None or not (self.scored / "pieces.npz").is_file():
            return None
        with np.load(self.scored / "pieces.npz", allow_pickle=False) as arrays:
            none = np.zeros((len(arrays["clip"]), 0), np.int64)
            embedding = unit(arrays["embedding"]) if "embedding" in arrays else None
            return Pieces(arrays["score"], arrays["clip"], arrays.get("nearest", none), arrays["path"], embedding)

    def record(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; one that a crash cut short is left out."""
        return read_record(self.folder)


@dataclass(frozen=True)
class Figure:
    """One line of metrics.csv, fractions; None where the rule has no such figure."""

    system: str
    machine: str
    section: int
    domain: str
    n_normal: int
    n_anomaly: int
    auc: float | None
    pauc: float | None


@dataclass(frozen=True, eq=False)
class Grid:
    """Everything under one name.

    Attributes:
        path: outputs/<name>.
        runs: Sorted by machine and system.
        figures: metrics.csv.
        table: Table 2: ours and the report's, in the order of the file.
        official: Official score in percent of each of our systems.
    """

    path: Path
    runs: list[Run]
    figures: list[Figure]
    table: list[TableRow]
    official: dict[str, float]

    @property
    def name(self) -> str:
        """Of the grid."""
        return self.path.name

    @property
    def machines(self) -> list[str]:
        """Those that have runs, sorted."""
        return sorted({run.machine for run in self.runs})

    def of_machine(self, machine: str) -> list[Run]:
        """The runs of a machine."""
        return [run for run in self.runs if run.machine == machine]

    def missing(self) -> Iterator[tuple[str, str]]:
        """Machine and system of each combination that others have and that is not there."""
        there = {(run.machine, run.system) for run in self.runs}
        for system in sorted({run.system for run in self.runs}):
            for machine in self.machines:
                if (machine, system) not in there:
                    yield machine, system


def read_grid(path: Path, scorer: str = "cosine") -> Grid:
    """Reads outputs/<name>.

    Args:
        path: The folder.
        scorer: Whose scores to show where a run has several.

    Raises:
        ValueError: There is no run, or nothing was evaluated.
    """
    configs = sorted(path.glob("*/*/*/config.yaml"))
    if not configs:
        raise ValueError(f"{path}: no run lies there; give outputs/<name> of a grid (train.py makes runs)")
    results = path / "results"
    if not (results / "metrics.csv").is_file():
        raise ValueError(f"{path}: not evaluated yet; python evaluate.py name={path.name} first")
    runs = [read_run(RunFolder(config.parent), scorer) for config in configs]
    official = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    table = read_table(results / "table2.csv", read_notes(results / "table2.md"))
    return Grid(path, runs, read_figures(results / "metrics.csv"), table, official)


def read_run(folder: RunFolder, scorer: str) -> Run:
    """One run; done only if its manifest verifies."""
    manifest = read_manifest(folder.manifest)
    status = read_status(folder)
    state = "done" if manifest else ("unfinished" if status["state"] == "done" else status["state"])
    return Run(folder, folder.read_config(), state, status.get("why", ""), manifest or {}, find_scores(folder, scorer))


def find_scores(folder: RunFolder, scorer: str) -> Path | None:
    """The scores asked for, else the only ones there are."""
    there = sorted(path.parent for path in (folder.path / "scores").glob("*/manifest.json"))
    asked = [path for path in there if path.name == scorer]
    chosen = asked or (there if len(there) == 1 else [])
    return chosen[0] if chosen and read_manifest(chosen[0] / "manifest.json") else None


def read_figures(path: Path) -> list[Figure]:
    """metrics.csv."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    with open(path, newline="", encoding="utf-8") as file:
        return [
            Figure(
                row["system"],
                row["machine"],
                int(row["section"]),
                row["domain"],
                int(row["n_normal"]),
                int(row["n_anomaly"]),
                number(row["auc"]),
                number(row["pauc"]),
            )
            for row in csv.DictReader(file)
        ]


def read_table(path: Path, notes: dict[str, str]) -> list[TableRow]:
    """table2.csv: a row per system, machines as they come."""
    systems: dict[str, dict[str, tuple[float, float]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            cell = float(row["auc_hmean"]), float(row["pauc_hmean"])
            systems.setdefault(row["system"], {})[row["machine"]] = cell
    return [TableRow(system, machines, notes.get(system, "")) for system, machines in systems.items()]


def read_notes(path: Path) -> dict[str, str]:
    """System → note: the first two columns of table2.md, the only file that keeps the notes."""
    cells = [re.split(r"(?<!\\)\|", line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row[1].strip().replace("\\|", "|"): row[2].strip().replace("\\|", "|") for row in cells if len(row) > 3}


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, dim) vectors scaled to length 1; zero stays zero."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return vectors / np.where(length == 0, 1, length)
