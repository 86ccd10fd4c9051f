"""outputs/<name>/results/: metrics of every system, the four submissions, Table 2, all rebuilt from the scores."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from asd.config.schema import EvaluateConfig
from asd.report.baselines import ScoredBaseline, scored_baselines
from asd.report.left_out import skipped_clips, write_left_out
from asd.report.table import TableRow, csv_table, markdown_table, published_rows, text_table
from asd.runs.folder import OUTPUTS, RunFolder, find_runs
from asd.runs.manifest import is_done, read_manifest
from asd.runs.scores import ScoreTable, read_scores
from asd.scoring.ensemble import How, Submission, combine, oracle_order, submissions
from asd.scoring.metrics import Group, MetricRow, Rule, machine_row, official_score, scorable, section_rows
from asd.system.files import write_json, write_text
from asd.system.progress import say

LOGMEL = "1-NN on mean log-mel"
RULE: Rule = "2021"
REPORT_DATA = "dcase2021"


@dataclass(frozen=True)
class System:
    """One line of the table: its figures on each machine, and what a reader must know."""

    name: str
    rows: dict[str, list[MetricRow]]
    notes: dict[str, str]

    @property
    def note(self) -> str:
        """The notes of its machines: one if they agree."""
        distinct = {note for note in self.notes.values() if note}
        if len(distinct) <= 1:
            return "".join(distinct)
        return "; ".join(f"{machine}: {note}" for machine, note in self.notes.items() if note)

    def table_row(self) -> TableRow:
        """Harmonic means in percent."""
        cells = {machine: machine_row(rows) for machine, rows in self.rows.items() if rows}
        percent = {machine: (100 * auc, 100 * pauc) for machine, (auc, pauc) in cells.items()}
        score = 100 * official_score(row for rows in self.rows.values() for row in rows) if cells else None
        return TableRow(self.name, percent, self.note, score)


def logmel_scores(name: str, machine: str) -> Path:
    """Where the scores of the reference system that learns nothing lie."""
    return OUTPUTS / name / "results" / "logmel" / f"{machine}.csv"


def write_results(config: EvaluateConfig) -> None:
    """Rebuilds metrics.csv, table2 and summary.json from all scored runs under the name, and prints the table."""
    name, scorer = config.name, config.scorer.name or "cosine"
    runs = scored_runs(name, scorer)
    baselines = scored_baselines(config)
    systems = collect(runs, baselines, config)
    folder = OUTPUTS / name / "results"
    rows = [system.table_row() for system in systems.values()]
    table = rows + published_rows()
    write_text(folder / "metrics.csv", metrics_csv(systems))
    write_text(folder / "table2.csv", csv_table(table))
    scored = [(run, run.scores(scorer)) for run in runs] + [(found.run, found.scores.parent) for found in baselines]
    left_out = write_left_out(folder, skipped_clips(scored), unmeasured(scored))
    about = f"{about_data([run for run, _ in scored])}\n{left_out}".rstrip()
    write_text(folder / "table2.md", f"{markdown_table(table)}\n{about}\n")
    write_json(folder / "summary.json", {row.system: row.official_score for row in rows})
    print(f"\n{text_table(table)}{about}\n\n{folder}/: metrics.csv, table2.md, table2.csv, summary.json")


def about_data(runs: list[RunFolder]) -> str:
    """What our rows were measured on, and whether the report's may be compared with them."""
    names = sorted({run.read_config()["data"]["name"] for run in runs})
    other = "other data than the report's: not comparable with its rows"
    relation = "the report's data" if names == [REPORT_DATA] else other
    return f"Our rows: data={', '.join(names)}, {relation}."


def scored_runs(name: str, scorer: str) -> list[RunFolder]:
    """The finished runs whose scores verify."""
    return [
        run
        for run in find_runs(name)
        if is_done(run) and read_manifest(run.scores(scorer) / "manifest.json") is not None
    ]


def collect(runs: list[RunFolder], baselines: list[ScoredBaseline], config: EvaluateConfig) -> dict[str, System]:
    """All systems: single runs, submissions, the reference system, baselines."""
    systems: dict[str, System] = {}
    for machine in sorted({run.machine for run in [*runs, *(found.run for found in baselines)]}):
        scores = {
            run.system: read_scores(run.scores(config.scorer.name) / "scores.csv")
            for run in runs
            if run.machine == machine
        }
        others = [found for found in baselines if found.run.machine == machine]
        tell_unlabelled(machine, next(iter(scores.values())) if scores else read_scores(others[0].scores))
        rows = {system: metric_rows(machine, table) for system, table in scores.items()}
        for system, found in rows.items():
            add(systems, system, machine, found, "")
        for submission in choose_submissions(machine, scores, rows, phase=config.phase, seed=config.seed):
            found = metric_rows(machine, averaged(scores, submission.members, config.ensemble))
            if found:
                add(systems, submission.name, machine, found, submission.note)
        if logmel_scores(config.name, machine).is_file():
            table = read_scores(logmel_scores(config.name, machine))
            add(systems, LOGMEL, machine, metric_rows(machine, table), "learns nothing")
        for run, path, note in others:
            add(systems, run.system, machine, metric_rows(machine, read_scores(path)), note)
    return systems


def tell_unlabelled(machine: str, table: ScoreTable) -> None:
    """Names the sections whose test clips are scored and stand in no table: nobody knows their labels."""
    if sections := sorted(set(table.section[(table.split == "test") & (table.label == "unknown")].tolist())):
        numbers = ", ".join(f"{section:02d}" for section in sections)
        say(f"{machine} section {numbers}: test clips without labels: scored, not in the table")


def add(systems: dict[str, System], name: str, machine: str, rows: list[MetricRow], note: str) -> None:
    """Adds a machine's figures to a system."""
    system = systems.setdefault(name, System(name, {}, {}))
    system.rows[machine], system.notes[machine] = rows, note


def metric_rows(machine: str, table: ScoreTable) -> list[MetricRow]:
    """AUC and pAUC of each section and domain that has both classes; `unmeasured` names the others."""
    clips = table.test_clips()
    return section_rows(machine, clips, rule=RULE, only=scorable(clips, RULE)[0])


def unmeasured(scored: list[tuple[RunFolder, Path]]) -> dict[str, list[Group]]:
    """Of each machine, the sections and domains that give no AUC; where some labels are known, those with labels."""
    found = {}
    for machine, folder in {run.machine: folder for run, folder in scored}.items():
        table = read_scores(folder / "scores.csv")
        complete, incomplete = scorable(table.test_clips(), RULE)
        unlabelled = {(int(s), str(d)) for s, d in zip(table.section, table.domain, strict=True)}
        unknown = [Group(section, domain, 0, 0) for section, domain in sorted(unlabelled)]
        found[machine] = incomplete if complete or incomplete else unknown
    return found


def choose_submissions(
    machine: str, scores: Mapping[str, ScoreTable], rows: Mapping[str, list[MetricRow]], *, phase: str | None, seed: int
) -> list[Submission]:
    """Submissions 1–4 of one machine (Report 2.5); without labels the last alone, which needs no order."""
    if not scores:  # only baselines ran on this machine
        return []
    phase = choose_phase({system.partition("/")[2] for system in scores}, phase)
    members = sorted(s for s in scores if s.endswith(f"-s{seed}/{phase}"))
    if not members:
        say(
            f"{machine}: no submissions: no scored run has seed={seed} and the phase "
            f"{phase or 'of your choice (there are several fine-tunings: name one, phase=…)'}"
        )
        return []
    if not all(rows[system] for system in members):
        return submissions(members)[-1:]
    return submissions(oracle_order({system: machine_row(rows[system])[0] for system in members}))


def averaged(scores: Mapping[str, ScoreTable], members: Sequence[str], how: How) -> ScoreTable:
    """The scores of an ensemble of systems."""
    first = scores[members[0]]
    chosen = {system: aligned(scores[system], first) for system in members}
    return first.with_score(combine(chosen, how, is_train=first.is_train))


def choose_phase(phases: set[str], asked: str | None) -> str | None:
    """The phase that submissions take: the one asked for, the only fine-tuning, else train."""
    if asked:
        return asked
    finetuned = sorted(phase for phase in phases if phase.startswith("finetune"))
    if len(finetuned) > 1:
        return None
    return finetuned[0] if finetuned else "train"


def aligned(table: ScoreTable, first: ScoreTable) -> np.ndarray:
    """The scores of a table, whose clips must be those of another, in the same order.

    Raises:
        ValueError: They are not.
    """
    if not np.array_equal(table.clip, first.clip):
        raise ValueError(
            f"{first.machine[0]}: runs were scored on different clips; evaluate them again on the same data"
        )
    return table.score


def metrics_csv(systems: Mapping[str, System]) -> str:
    """metrics.csv: one line per system, machine, section and domain; fractions."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", *(field.name for field in fields(MetricRow))])
    for system in systems.values():
        for row in (row for rows in system.rows.values() for row in rows):
            writer.writerow([system.name, *asdict(row).values()])
    return text.getvalue()
