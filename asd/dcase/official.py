"""The official figures of a folder of submission files, by the rules of its edition. Clips are matched by name.

The official evaluators match scores and truth by sorted position instead: a missing and an extra row that make up for
each other shift every label between them. Where all rows are there, the figures are theirs to the last digit.
"""

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from asd.dcase.official_files import Key, Values, listing, read_values
from asd.dcase.official_matching import complete_truth, missing_domains, unmatched_machines, unmatched_rows
from asd.dcase.official_truth import Truth, read_truth
from asd.scoring.metrics import BOTH, MetricRow, Rule, TestClips, auc, official_score, scorable, section_rows

FIGURES = ("auc", "pauc", "precision", "recall", "f1")


@dataclass(frozen=True)
class OfficialRow:
    """The figures of one section and domain; fractions.

    Attributes:
        machine: name of the machine.
        section: number of the section (2020: the machine's ID).
        domain: `source` or `target`; `both` in 2020.
        n_normal: its normal test clips.
        n_anomaly: its anomalous test clips.
        auc: by the edition's rule.
        pauc: by the edition's rule; from 2022 on that of the section, the same for both domains.
        precision: of the decisions; None where there are none.
        recall: likewise.
        f1: likewise.
        auc_all: 2022 and later: AUC over both domains of the section.
    """

    machine: str
    section: int
    domain: str
    n_normal: int
    n_anomaly: int
    auc: float
    pauc: float
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    auc_all: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The official figures of one system.

    Attributes:
        rule: the edition's.
        rows: by machine, then domain, then section: the order of the official result.csv.
        metrics: AUC and pAUC as the project's own metrics.csv has them.
        unlabelled: what was left out because nobody knows its labels.
    """

    rule: Rule
    rows: list[OfficialRow]
    metrics: list[MetricRow]
    unlabelled: list[Key]

    @property
    def official_score(self) -> float | None:
        """Harmonic mean of all AUC and pAUC values; 2020 ranked teams instead and has none."""
        return None if self.rule == "2020" else official_score(self.metrics)


@dataclass(frozen=True, eq=False)
class _Machine:
    """All clips of a machine as columns; `decision` is None where there are no decisions."""

    clips: TestClips
    decision: NDArray[np.bool_] | None


def evaluate_folder(
    folder: Path,
    truth: Path | None = None,
    *,
    rule: Rule,
    machines: Collection[str] | None = None,
    need_decisions: bool = True,
    skip_unlabelled: bool = False,
    partial: bool = False,
) -> Evaluation:
    """The official figures of the CSV files in a folder.

    Args:
        folder: holds `anomaly_score_*.csv` and `decision_result_*.csv`.
        truth: where labels are (`read_truth`); None: in the names of the clips.
        rule: of the edition.
        machines: only these; None: all.
        need_decisions: whether decisions are wanted (2020 has none); otherwise those that are there are left alone.
        skip_unlabelled: whether files whose labels nobody knows are left out instead of being an error.
        partial: whether a section may have one domain only (2021), and one class only, which is left out.

    Raises:
        ValueError: a file or a row is missing, too much, there twice, unreadable or not finite, labels are unknown or
            contradict each other, or a section has one class only; the message names all of them.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; it should hold anomaly_score_*.csv")
    problems: list[str] = []
    scores = read_values(folder, "anomaly_score", rule, machines, problems)
    if not scores:
        problems.append(f"{folder}: no anomaly_score_*.csv" + (f" of {listing(machines)}" if machines else ""))
    need_decisions = need_decisions and rule != "2020"
    decisions = read_values(folder, "decision_result", rule, machines, problems) if need_decisions else {}
    known = {} if truth is None else read_truth(truth, rule, machines, problems)
    if not scores:
        _refuse(folder, problems)
    problems += [*unmatched_machines(scores, known, truth), *missing_domains(scores, known, rule, partial=partial)]
    known, unlabelled = complete_truth(scores, known, rule, problems)
    if unlabelled and not skip_unlabelled:
        problems += [f"{key}: nobody knows its labels; give the ground truth, --truth DIR" for key in unlabelled]
    problems += unmatched_rows(scores, known, "ground truth")
    if need_decisions:
        problems += unmatched_rows(decisions, scores, "scores", kind="decision")
    columns = _by_machine(scores, decisions, known)
    if not columns and not problems:
        problems.append("no clip has a known label: there is nothing to evaluate")
    problems += [] if partial else _one_class(columns, rule)
    _refuse(folder, problems)
    metrics = {
        name: section_rows(name, machine.clips, rule=rule, only=scorable(machine.clips, rule)[0])
        for name, machine in columns.items()
    }
    rows = [
        row
        for name, machine in columns.items()
        for row in official_rows(metrics[name], machine.clips, machine.decision, rule)
    ]
    return Evaluation(rule, rows, [row for found in metrics.values() for row in found], unlabelled)


def means(rows: Collection[OfficialRow]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Arithmetic and harmonic means of AUC, pAUC, precision, recall and F1 (5,); NaN where a figure is missing.

    The harmonic mean has the evaluator's floor of 2.22e-16 under each value.
    """
    table = np.array([[getattr(row, figure) for figure in FIGURES] for row in rows], dtype=np.float64)
    return table.mean(axis=0), stats.hmean(np.maximum(table, sys.float_info.epsilon), axis=0)


def detection(is_anomaly: NDArray[np.bool_], decision: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Precision, recall and F1 of decisions (clips,); 0 where nothing was found, as in the official evaluators."""
    found = int((is_anomaly & decision).sum())
    floor = sys.float_info.epsilon
    precision = found / max(int(decision.sum()), floor)
    recall = found / max(int(is_anomaly.sum()), floor)
    return precision, recall, 2.0 * precision * recall / max(precision + recall, floor)


def _refuse(folder: Path, problems: list[str]) -> None:
    if problems:
        raise ValueError(f"{folder} cannot be evaluated ({len(problems)} problems):\n  " + "\n  ".join(problems))


def _by_machine(scores: Values, decisions: Values, known: Truth) -> dict[str, _Machine]:
    """The labelled clips of each machine as columns; rows that do not match are left to the list of problems."""
    machines: dict[str, _Machine] = {}
    for machine in sorted({key.machine for key in known}):
        keys = sorted(key for key in known if key.machine == machine and key in scores)
        rows = [
            (name, key.section, *known[key][name], score, decisions.get(key, {}).get(name, np.nan))
            for key in keys
            for name, score in scores[key].items()
            if name in known[key]
        ]
        if rows:
            *columns, decision = (np.array(column) for column in zip(*rows, strict=True))
            machines[machine] = _Machine(TestClips(*columns), None if np.isnan(decision).any() else decision == 1)
    return machines


def _one_class(columns: dict[str, _Machine], rule: Rule) -> Iterator[str]:
    for name, machine in columns.items():
        for group in scorable(machine.clips, rule)[1]:
            key = Key(name, group.section, group.domain)
            yield f"{key}: {group.n_normal} normal and {group.n_anomaly} anomalous clips; both classes are needed"


def official_rows(
    metrics: Sequence[MetricRow], clips: TestClips, decision: NDArray[np.bool_] | None, rule: Rule
) -> Iterator[OfficialRow]:
    """The rows of a machine, domain by domain as the evaluator prints them.

    Args:
        metrics: Of the machine, by the rule.
        clips: Its labelled test clips.
        decision: (clips,) which are called anomalous; None where there are no decisions.
        rule: Of the edition.
    """
    paucs = {row.section: row.pauc for row in metrics if row.domain == BOTH}
    is_anomaly = clips.label == "anomaly"
    for row in sorted(metrics, key=lambda row: (row.domain, row.section)):
        if rule == "2022" and row.domain == BOTH:
            continue
        section = clips.section == row.section
        here = section if rule == "2020" else section & (clips.domain == row.domain)
        pauc = paucs[row.section] if rule == "2022" else row.pauc
        assert row.auc is not None
        assert pauc is not None
        precision, recall, f1 = (None, None, None) if decision is None else detection(is_anomaly[here], decision[here])
        counts = int((~is_anomaly[here]).sum()), int(is_anomaly[here].sum())
        whole = auc(is_anomaly[section], clips.score[section]) if rule == "2022" else None
        yield OfficialRow(row.machine, row.section, row.domain, *counts, row.auc, pauc, precision, recall, f1, whole)
