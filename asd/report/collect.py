"""Makes outputs/<name>/results/ anew from the scores of all runs: systems, ensembles, tables, what is not covered."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from asd.report.coverage import write_coverage
from asd.report.results import NAME, Results, System, as_json
from asd.report.scored import (
    ScoredRun,
    Scoring,
    averaged,
    choose_phase,
    choose_submissions,
    metric_rows,
    rule_of,
    scored_runs,
)
from asd.report.table import csv_rows, markdown_table, text_table
from asd.runs.folder import OUTPUTS, RunFolder
from asd.runs.scores import ScoreTable, read_scores
from asd.scoring.ensemble import How
from asd.scoring.metrics import MetricRow
from asd.system.files import write_csv, write_json, write_text
from asd.system.progress import say
from asd.system.reading import read_json

LOGMEL = "1-NN on mean log-mel"


def logmel_scores(name: str, machine: str) -> Path:
    """The scores of the reference system that learns nothing."""
    return OUTPUTS / name / "results" / "logmel" / f"{machine}.csv"


def write_results(
    name: str, scoring_of: Callable[[RunFolder], Scoring], *, ensemble: How, seed: int, phase: str | None
) -> None:
    """Rebuilds the results of all scored runs under a name, and prints the table.

    Args:
        name: Of the grid: outputs/<name>/.
        scoring_of: Which of a finished run's scores count.
        ensemble: How submissions average the scores of their members.
        seed: Of the members.
        phase: Of the members; None: the only fine-tuning there is, else train.
    """
    runs = scored_runs(name, scoring_of)
    folder = OUTPUTS / name / "results"
    systems = collect(name, runs, ensemble=ensemble, seed=seed, phase=phase)
    results = Results(
        data=sorted({run.config.data.name for run in runs}),
        rules={run.run.machine: run.rule for run in runs},
        editions={run.run.machine: run.edition for run in runs},
        systems=systems,
        remarks=[*reader_notes(runs), *explain_submissions(runs, systems, seed, phase), *write_coverage(folder, runs)],
    )
    write_files(folder, results)
    written = "metrics.csv, table2.md, table2.csv, results.json, summary.json"
    print(f"\n{text_table(results)}\n\n{folder}/: {written}")


def reader_notes(runs: Sequence[ScoredRun]) -> list[str]:
    """What the reader decided, such as how test recordings were drawn, by machine."""
    found = {run.run.machine: read_json(run.run.manifest, dict[str, Any]).get("notes", []) for run in runs}
    return [f"{machine}: {note}." for machine, notes in sorted(found.items()) for note in notes]


def write_files(folder: Path, results: Results) -> None:
    """The results as files: results.json has everything, the others are for people and spreadsheets."""
    columns = ("system", *(one.name for one in fields(MetricRow)), "rule")
    rows = [(s.name, *astuple(row), results.rules[row.machine]) for s in results.systems for row in s.rows]
    write_csv(folder / "metrics.csv", columns, rows)
    write_csv(folder / "table2.csv", ("system", "note", "machine", "auc", "pauc", "rule"), csv_rows(results))
    write_text(folder / "table2.md", markdown_table(results))
    write_json(folder / "summary.json", {s.name: results.official_score(s) for s in results.systems})
    write_json(folder / NAME, as_json(results))


def collect(name: str, runs: Sequence[ScoredRun], *, ensemble: How, seed: int, phase: str | None) -> list[System]:
    """All systems: single runs, submissions, the reference system, baselines."""
    systems: dict[str, System] = {}
    for machine in sorted({run.run.machine for run in runs}):
        own = [run for run in runs if run.run.machine == machine]
        say_unlabelled(machine, own[0].table)
        for run in own:
            if run.scoring.joins:
                add_run(systems, run)
        for submission in choose_submissions(machine, own, seed=seed, phase=phase):
            rows = metric_rows(machine, averaged(own, submission.members, ensemble), own[0].rule)
            if rows:
                add(systems, System(submission.name, "ensemble"), machine, rows, submission.note)
        if logmel_scores(name, machine).is_file():
            table = read_scores(logmel_scores(name, machine))
            rows = metric_rows(machine, table, rule_of(own[0].edition, table))
            add(systems, System(LOGMEL, "reference"), machine, rows, "learns nothing")
        for run in own:
            if not run.scoring.joins:
                add_run(systems, run)
    return list(systems.values())


def add_run(systems: dict[str, System], run: ScoredRun) -> None:
    """Adds a run to the system that it is a part of."""
    system = System(run.run.system, "run", model=run.model, seed=run.seed, phase=run.run.phase)
    add(systems, system, run.run.machine, run.rows, run.scoring.note)


def add(systems: dict[str, System], system: System, machine: str, rows: Iterable[MetricRow], note: str) -> None:
    """Adds a machine's figures to a system, which is new with its first machine."""
    known = systems.setdefault(system.name, system)
    known.rows.extend(rows)
    known.notes[machine] = note


def explain_submissions(
    runs: Sequence[ScoredRun], systems: Sequence[System], seed: int, phase: str | None
) -> list[str]:
    """Which runs the submissions were made of, and why a single run may have a better figure than an oracle's."""
    if not any(system.kind == "ensemble" for system in systems):
        return []
    phases: dict[str, set[str]] = {}
    for run in (run for run in runs if run.scoring.joins):
        phases.setdefault(run.run.machine, set()).add(run.run.phase)
    chosen = sorted({name for found in phases.values() if (name := choose_phase(found, phase))})
    return [
        f"Submissions are made of the runs with seed={seed} and the phase {' or '.join(chosen)} alone.",
        "Oracle: labelled test clips chose the members. A run of another phase or seed takes no part in submissions "
        "and can stand above them.",
    ]


def say_unlabelled(machine: str, table: ScoreTable) -> None:
    """Names the sections whose test clips are scored but in no table: nobody knows their labels."""
    if sections := sorted(set(table.section[(table.split == "test") & (table.label == "unknown")].tolist())):
        numbers = ", ".join(f"{section:02d}" for section in sections)
        say(f"{machine} section {numbers}: test clips without labels: scored, not in the table")
