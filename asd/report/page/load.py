"""Everything under outputs/<name>, read into plain data: runs with their state, record and scores, and the results."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asd.report.clips import Pieces, read_pieces
from asd.report.results import Results, System, read_results
from asd.report.scored import ScoredRun, Scoring
from asd.runs.folder import RunFolder, runs_below
from asd.runs.manifest import read_manifest, scorer_settings
from asd.runs.record import read_record
from asd.runs.recorded import RecordedConfig
from asd.runs.scores import ScoreTable
from asd.runs.status import read_status
from asd.scoring.metrics import MetricRow

TRAIN = "train"


@dataclass(frozen=True, eq=False)
class Run:
    """One phase of one run.

    Attributes:
        folder: Its folder.
        config: The configuration that it was made with.
        state: done, failed, running, interrupted, pending, or unfinished (files do not match the manifest).
        why: Of a failure.
        manifest: Of a finished run, else empty.
        scored: Its scores; None where it has none.
    """

    folder: RunFolder
    config: RecordedConfig
    state: str
    why: str
    manifest: dict[str, Any]
    scored: ScoredRun | None

    @property
    def machine(self) -> str:
        """Its machine."""
        return self.folder.machine

    @property
    def system(self) -> str:
        """What a row of a table is called."""
        return self.folder.system

    @property
    def address(self) -> str:
        """What phase 1 and its fine-tunings share."""
        return self.folder.path.parent.name

    @property
    def phase(self) -> str:
        """train, or finetune-<freeze>."""
        return self.folder.phase

    @property
    def table(self) -> ScoreTable:
        """Every clip with its score; only for scored runs."""
        assert self.scored is not None, "only scored runs have a page"
        return self.scored.table

    @property
    def stride(self) -> int | None:
        """Columns from one scored piece of a clip to the next; None where pieces have no columns."""
        found = self.scored.scoring.arguments.get("stride") if self.scored else None
        return found if isinstance(found, int) else self.config.input.n_frames

    @cached_property
    def pieces(self) -> Pieces | None:
        """Scores of pieces and nearest clips; None where the scorer keeps none."""
        return None if self.scored is None else read_pieces(self.scored.scores)

    def record(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; one that a crash cut short is left out."""
        return read_record(self.folder)


@dataclass(frozen=True, eq=False)
class Grid:
    """Everything under one name.

    Attributes:
        path: outputs/<name>.
        runs: Sorted by machine and system.
        results: What evaluate.py measured.
    """

    path: Path
    runs: list[Run]
    results: Results

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

    def scored(self, machine: str) -> list[Run]:
        """The scored runs of a machine, those with the best harmonic mean of AUC and pAUC first."""
        runs = [run for run in self.of_machine(machine) if run.scored]
        scores = {system.name: self.results.machine_score(system, machine) for system in self.results.systems}
        return sorted(runs, key=lambda run: (-(scores.get(run.system) or 0.0), run.system))

    def rows(self, machine: str) -> dict[str, list[MetricRow]]:
        """System → metrics of a machine, for the systems that have any."""
        found = {system.name: system.of_machine(machine) for system in self.results.systems}
        return {name: rows for name, rows in found.items() if rows}

    def run_systems(self) -> list[System]:
        """The systems that are single runs."""
        return [system for system in self.results.systems if system.kind == "run"]

    def missing(self) -> Iterator[tuple[str, str]]:
        """Machine and system of each combination that other machines or systems have and that is not there."""
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
    folders = runs_below(path)
    if not folders:
        raise ValueError(f"{path}: there is no run; give outputs/<name> of a grid (train.py makes runs)")
    runs = [read_run(folder, scorer) for folder in folders]
    return Grid(path, runs, read_results(path / "results"))


def read_run(folder: RunFolder, scorer: str) -> Run:
    """One run; done only if its manifest verifies."""
    manifest, status, config = read_manifest(folder.manifest), read_status(folder), RecordedConfig.read(folder)
    said = status.state
    state = "done" if manifest else ("unfinished" if said == "done" else said)
    scoring = find_scores(folder, scorer)
    scored = ScoredRun(folder, config, folder.scores(scoring.scorer), scoring) if scoring else None
    return Run(folder, config, state, status.why, manifest or {}, scored)


def find_scores(folder: RunFolder, scorer: str) -> Scoring | None:
    """The scores asked for, else the only ones there are."""
    there: Sequence[Path] = sorted(path.parent for path in (folder.path / "scores").glob("*/manifest.json"))
    asked = [path for path in there if path.name == scorer]
    chosen = asked or (there if len(there) == 1 else [])
    path = chosen[0] / "manifest.json" if chosen else None
    manifest = read_manifest(path) if path else None
    if path is None or manifest is None:
        return None
    return Scoring(path.parent.name, scorer_settings(manifest, path))
