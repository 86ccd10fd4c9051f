"""What a submission consists of: of each machine the scores of one system, and the threshold learnt with them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from asd.data.clips import MACHINES
from asd.dcase.official_files import Key
from asd.report.results import averaged, choose_submissions, metric_rows, scored_runs
from asd.runs.excluded import read_skipped
from asd.runs.folder import RunFolder
from asd.runs.scores import ScoreTable, read_scores
from asd.scoring.ensemble import How
from asd.scoring.thresholds import OFFICIAL_QUANTILE, Method, Threshold, find_threshold

SECTIONS = {"dev": (0, 1, 2), "evaluation": (3, 4, 5)}
PARTS = (*SECTIONS, "both")


@dataclass(frozen=True)
class Order:
    """What is to be submitted.

    Attributes:
        name: of the grid of runs: outputs/<name>/.
        system: `submission1` … `submission4`, or a single run, `<backbone>-<input>-s<seed>/<phase>`.
        label: of the submission, such as `Lopez_IL_task2_1`.
        part: `dev`, `evaluation` or `both`: whose test clips.
        partial: whether machines and sections may be missing.
        scorer: whose scores.
        ensemble: how a submission averages its members.
        phase: of the members; None: as in evaluate.py.
        seed: of the members.
        threshold: how the threshold is found.
        quantile: the share of normal sound below it.
    """

    name: str
    system: str
    label: str
    part: str = "evaluation"
    partial: bool = False
    scorer: str = "cosine"
    ensemble: How = "mean"
    phase: str | None = None
    seed: int = 0
    threshold: Method = "gamma"
    quantile: float = OFFICIAL_QUANTILE


@dataclass(frozen=True, eq=False)
class Entry:
    """One machine of a submission.

    Attributes:
        table: the scores of all its clips.
        members: the runs whose scores were averaged.
        oracle: whether labelled test clips chose the members.
        threshold: learnt from all training clips of the machine.
    """

    table: ScoreTable
    members: tuple[RunFolder, ...]
    oracle: bool
    threshold: Threshold


def choose_entries(order: Order) -> dict[str, Entry]:
    """The scores and the threshold of each machine.

    Raises:
        ValueError: no scored run fits, or no threshold can be learnt.
    """
    runs = scored_runs(order.name, order.scorer)
    entries = {}
    for machine in sorted({run.machine for run in runs}):
        ours = {run.system: run for run in runs if run.machine == machine}
        chosen = choose_members(machine, ours, order)
        if chosen is not None:
            entries[machine] = make_entry(machine, *chosen, order)
    if not entries:
        there = sorted({run.system for run in runs})
        raise ValueError(
            f"no system {order.system} with scores of {order.scorer} under outputs/{order.name}: "
            + (f"there are {', '.join(there)}, submission1 … submission4" if there else "run evaluate.py first")
        )
    return entries


def choose_members(
    machine: str, runs: Mapping[str, RunFolder], order: Order
) -> tuple[ScoreTable, tuple[RunFolder, ...], bool] | None:
    """The scores of the system on one machine, its members, and whether test labels chose them; None: it has none."""
    if order.system in runs:
        run = runs[order.system]
        return read_scores(run.scores(order.scorer) / "scores.csv"), (run,), False
    if not order.system.startswith("submission"):
        return None
    scores = {system: read_scores(run.scores(order.scorer) / "scores.csv") for system, run in runs.items()}
    rows = {system: metric_rows(machine, table) for system, table in scores.items()}
    for submission in choose_submissions(machine, scores, rows, phase=order.phase, seed=order.seed):
        if submission.name == order.system:
            table = averaged(scores, submission.members, order.ensemble)
            return table, tuple(runs[system] for system in submission.members), submission.oracle
    return None


def make_entry(machine: str, table: ScoreTable, members: tuple[RunFolder, ...], oracle: bool, order: Order) -> Entry:
    """One machine with its threshold, from all its training clips, none of which was scored against itself."""
    try:
        threshold = find_threshold(table.score[table.is_train], method=order.threshold, quantile=order.quantile)
    except ValueError as error:
        raise ValueError(f"{machine}: {error}") from None
    return Entry(table, members, oracle, threshold)


def find_missing(entries: Mapping[str, Entry], order: Order) -> Iterator[str]:
    """What a complete submission would hold and this one does not: machines, sections, single clips."""
    for machine in sorted(MACHINES):
        if machine in entries:
            yield from missing_sections(machine, entries[machine].table, order.part)
            yield from missing_clips(entries[machine], order)
        else:
            yield machine


def missing_sections(machine: str, table: ScoreTable, part: str) -> Iterator[str]:
    """Sections and domains without test clips."""
    there = {key for key, _ in sections_of(table, part)}
    for name, sections in SECTIONS.items():
        for section in sections if part in (name, "both") else ():
            for domain in ("source", "target"):
                key = Key(machine, section, domain)
                if key not in there:
                    yield str(key)


def missing_clips(entry: Entry, order: Order) -> Iterator[str]:
    """Test clips that a member's evaluation skipped because they could not be used."""
    skipped = {c: why for run in entry.members for c, why in read_skipped(run.scores(order.scorer)).items()}
    for clip, why in sorted(skipped.items()):
        is_wanted = order.part in ("both", "evaluation" if clip.startswith("eval_data/") else "dev")
        if "/train/" not in f"/{clip}" and is_wanted:
            yield f"{clip} ({why})"


def in_part(table: ScoreTable, part: str) -> np.ndarray:
    """Which clips are test clips of a part (clips,): by their folder, or by their label where folders do not tell."""
    of_set = np.array([clip.partition("/")[0] for clip in table.clip])
    is_evaluation = np.where(
        np.isin(of_set, ("dev_data", "eval_data")), of_set == "eval_data", table.label == "unknown"
    )
    wanted = {"dev": ~is_evaluation, "evaluation": is_evaluation, "both": np.ones(len(is_evaluation), dtype=bool)}[part]
    return (table.split == "test") & wanted


def sections_of(table: ScoreTable, part: str) -> Iterator[tuple[Key, np.ndarray]]:
    """What each file is about, and the rows of the table that belong there."""
    here = in_part(table, part)
    for section in np.unique(table.section[here]):
        for domain in ("source", "target"):
            rows = np.flatnonzero(here & (table.section == section) & (table.domain == domain))
            if len(rows):
                yield Key(str(table.machine[0]), int(section), domain), rows
