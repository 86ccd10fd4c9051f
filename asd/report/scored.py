"""Scored runs and what is made of them: metrics by the rule of their data, ensembles, the report's submissions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd.data.clips import NO_DOMAIN
from asd.runs.folder import RunFolder, find_runs
from asd.runs.manifest import is_done, read_manifest
from asd.runs.recorded import RecordedConfig
from asd.runs.scores import ScoreTable, read_scores
from asd.scoring.ensemble import How, Submission, combine, oracle_order, submissions
from asd.scoring.metrics import UNKNOWN, MetricRow, Rule, machine_row, metric_rule, scorable, section_rows
from asd.system.progress import say


@dataclass(frozen=True)
class Scoring:
    """Which of a run's scores count, and what a table says of them.

    Attributes:
        scorer: Name of the scorer.
        arguments: Of the scorer.
        note: Which published system the run repeats; empty where it repeats none.
        joins: Whether the run takes part in submissions.
    """

    scorer: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    joins: bool = True


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """A finished run whose scores verify.

    Attributes:
        run: Its folder.
        config: The configuration that it was made with.
        scores: The folder of its scores.
        scoring: Which of its scores these are.
    """

    run: RunFolder
    config: RecordedConfig
    scores: Path
    scoring: Scoring = field(default_factory=lambda: Scoring("cosine"))

    @cached_property
    def table(self) -> ScoreTable:
        """The score of every clip."""
        return read_scores(self.scores / "scores.csv")

    @property
    def edition(self) -> str:
        """Edition of its data; runs made before there was a choice were on 2021's layout."""
        return self.config.data.edition or "2021"

    @cached_property
    def rule(self) -> Rule:
        """The metric rule of its data."""
        return rule_of(self.edition, self.table)

    @cached_property
    def rows(self) -> list[MetricRow]:
        """Its metrics; empty where no figure can be computed."""
        return metric_rows(self.run.machine, self.table, self.rule)

    @property
    def model(self) -> str:
        """Network and input: what runs of several seeds share."""
        return self.run.path.parent.name.removesuffix(f"-s{self.seed}")

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.config.seed


def rule_of(edition: str, table: ScoreTable) -> Rule:
    """The metric rule for the scores of one machine."""
    known = (table.split == "test") & ~np.isin(table.domain, (UNKNOWN, NO_DOMAIN))
    return metric_rule(edition, has_domains=bool(known.any()))


def scored_runs(name: str, scoring_of: Callable[[RunFolder], Scoring]) -> list[ScoredRun]:
    """The finished runs under a name whose scores verify.

    Args:
        name: Of the grid: outputs/<name>/.
        scoring_of: Which of a finished run's scores count.
    """
    found = []
    for run in find_runs(name):
        if not is_done(run):
            continue
        scoring = scoring_of(run)
        folder = run.scores(scoring.scorer)
        if read_manifest(folder / "manifest.json") is not None:
            found.append(ScoredRun(run, RecordedConfig.read(run), folder, scoring))
    return found


def metric_rows(machine: str, table: ScoreTable, rule: Rule) -> list[MetricRow]:
    """The metrics of the sections and domains that have both classes; empty where none of them gives an AUC."""
    clips = table.test_clips()
    rows = section_rows(machine, clips, rule=rule, only=scorable(clips, rule)[0])
    return rows if any(row.auc is not None for row in rows) else []


def choose_submissions(machine: str, runs: Sequence[ScoredRun], *, seed: int, phase: str | None) -> list[Submission]:
    """Submissions 1–4 of one machine (Report 2.5); without labels the last alone, which needs no order.

    Args:
        machine: Its name.
        runs: Its scored runs.
        seed: Of the members.
        phase: Of the members; None: as `choose_phase` says.
    """
    candidates = [run for run in runs if run.scoring.joins]
    if not candidates:  # only baselines ran on this machine
        return []
    chosen = choose_phase({run.run.phase for run in candidates}, phase)
    members = {run.run.system: run for run in candidates if run.seed == seed and run.run.phase == chosen}
    if not members:
        say(
            f"{machine}: no submissions: no scored run has seed={seed} and the phase "
            f"{chosen or 'of your choice (there are several fine-tunings: name one, phase=…)'}"
        )
        return []
    if not all(run.rows for run in members.values()):
        return submissions(sorted(members))[-1:]
    return submissions(oracle_order({name: machine_row(run.rows, run.rule)[0] for name, run in members.items()}))


def choose_phase(phases: set[str], asked: str | None) -> str | None:
    """The phase that submissions take: the one asked for, the only fine-tuning, else train."""
    if asked:
        return asked
    finetuned = sorted(phase for phase in phases if phase.startswith("finetune"))
    if len(finetuned) > 1:
        return None
    return finetuned[0] if finetuned else "train"


def averaged(runs: Sequence[ScoredRun], members: Sequence[str], how: How) -> ScoreTable:
    """The scores of an ensemble of runs of one machine, which `members` names by their systems.

    Raises:
        ValueError: Plain means of scores in different units are asked for.
    """
    methods = {run.config.method.word for run in runs if run.run.system in members}
    if how == "mean" and len(methods) > 1:
        raise ValueError(
            f"{runs[0].run.machine}: scores of {' and '.join(sorted(methods))} have different units, so that their "
            "plain mean says nothing: give ensemble=zscore or ensemble=rank"
        )
    tables = {run.run.system: run.table for run in runs}
    first = tables[members[0]]
    chosen = {system: aligned(tables[system], first) for system in members}
    return first.with_score(combine(chosen, how, is_train=first.is_train))


def aligned(table: ScoreTable, first: ScoreTable) -> NDArray[np.float64]:
    """The scores of a table, whose clips must be those of another, in the same order.

    Raises:
        ValueError: They are not.
    """
    if not np.array_equal(table.clip, first.clip):
        raise ValueError(
            f"{first.machine[0]}: runs were scored on different clips; evaluate them again on the same data"
        )
    return table.score
