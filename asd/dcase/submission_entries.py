"""What a submission consists of: of each machine the scores of one system, and the threshold learnt with them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asd.dcase.editions import EDITIONS, edition_of
from asd.dcase.official_files import Key
from asd.report.scored import ScoredRun, Scoring, averaged, choose_submissions, scored_runs
from asd.runs.excluded import read_skipped
from asd.runs.folder import RunFolder
from asd.runs.scores import ScoreTable
from asd.scoring.ensemble import How
from asd.scoring.metrics import BOTH, Rule
from asd.scoring.thresholds import OFFICIAL_QUANTILE, Method, Threshold, find_threshold

SECTIONS: dict[str, tuple[int, ...]] = {"dev": (0, 1, 2), "evaluation": (3, 4, 5)}  # of 2021 and 2022
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
        edition: of the data.
    """

    table: ScoreTable
    members: tuple[RunFolder, ...]
    oracle: bool
    threshold: Threshold
    edition: str = "2021"


def choose_entries(order: Order) -> dict[str, Entry]:
    """The scores and the threshold of each machine.

    Raises:
        ValueError: no scored run fits, or no threshold can be learnt.
    """
    runs = scored_runs(order.name, lambda _: Scoring(order.scorer))
    entries = {}
    for machine in sorted({run.run.machine for run in runs}):
        ours = [run for run in runs if run.run.machine == machine]
        chosen = choose_members(machine, ours, order)
        if chosen is not None:
            entries[machine] = make_entry(machine, *chosen, order, ours[0].edition)
    if not entries:
        there = sorted({run.run.system for run in runs})
        raise ValueError(
            f"no system {order.system} with scores of {order.scorer} under outputs/{order.name}: "
            + (f"there are {', '.join(there)}, submission1 … submission4" if there else "run evaluate.py first")
        )
    return entries


def edition_of_entries(entries: Mapping[str, Entry]) -> int:
    """The one edition that all machines belong to.

    Raises:
        ValueError: They belong to several, or are recordings of your own.
    """
    editions = sorted({entry.edition for entry in entries.values()})
    if len(editions) > 1 or not editions[0].isdecimal():
        raise ValueError(
            f"the runs are on data of the edition {' and '.join(editions)}: a submission is of one year of the "
            "challenge; give the runs on its data a name of their own"
        )
    return int(editions[0])


def choose_members(
    machine: str, runs: Sequence[ScoredRun], order: Order
) -> tuple[ScoreTable, tuple[RunFolder, ...], bool] | None:
    """The scores of the system on one machine, its members, and whether test labels chose them; None: it has none."""
    folders = {run.run.system: run.run for run in runs}
    for run in runs:
        if run.run.system == order.system:
            return run.table, (run.run,), False
    if not order.system.startswith("submission"):
        return None
    for submission in choose_submissions(machine, runs, seed=order.seed, phase=order.phase):
        if submission.name == order.system:
            table = averaged(runs, submission.members, order.ensemble)
            return table, tuple(folders[system] for system in submission.members), submission.oracle
    return None


def make_entry(
    machine: str, table: ScoreTable, members: tuple[RunFolder, ...], oracle: bool, order: Order, edition: str
) -> Entry:
    """One machine with its threshold, from all its training clips, none of which was scored against itself."""
    try:
        threshold = find_threshold(table.score[table.is_train], method=order.threshold, quantile=order.quantile)
    except ValueError as error:
        raise ValueError(f"{machine}: {error}") from None
    return Entry(table, members, oracle, threshold, edition)


def find_missing(entries: Mapping[str, Entry], order: Order, year: int) -> Iterator[str]:
    """What a complete submission would hold and this one does not: machines, sections, single clips."""
    wanted = wanted_keys(year, order.part)
    there = {key for entry in entries.values() for key, _ in sections_of(entry.table, order.part, rule_of(year))}
    for machine in sorted(wanted):
        if machine in entries:
            yield from (str(key) for key in wanted[machine] if key not in there)
        else:
            yield machine
    for machine in sorted(entries):
        yield from missing_clips(entries[machine], order)


def rule_of(year: int) -> Rule:
    """The metric rule of an edition, whose names its files have."""
    return EDITIONS[year].metric_rule


def wanted_keys(year: int, part: str) -> dict[str, list[Key]]:
    """The files of a complete submission by machine; none are listed for 2020, whose IDs differ by machine."""
    edition = edition_of(year)
    found: dict[str, list[Key]] = {}
    for name in SECTIONS if part == "both" else (part,):
        sections = SECTIONS[name] if year in (2021, 2022) else (0,)
        domains = ("source", "target") if edition.metric_rule == "2021" else (BOTH,)
        for machine in edition.parts[name].machines:
            keys = [Key(machine, section, domain) for section in sections for domain in domains]
            found.setdefault(machine, []).extend([] if edition.metric_rule == "2020" else keys)
    return found


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


def sections_of(table: ScoreTable, part: str, rule: Rule) -> Iterator[tuple[Key, np.ndarray]]:
    """What each file is about, and the rows of the table that belong there; a domain has a file in 2021 only."""
    here = in_part(table, part)
    machine, domain = str(table.machine[0]), table.domain if rule == "2021" else np.full(len(table.domain), BOTH)
    for number, name in sorted({(int(s), str(d)) for s, d in zip(table.section[here], domain[here], strict=True)}):
        yield Key(machine, number, name), np.flatnonzero(here & (table.section == number) & (domain == name))
