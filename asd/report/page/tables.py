"""The figures of a grid as rows of tables, the same for the page and for report.md."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np

from asd.report.page.gather import TRAIN, Figure, Grid, Run
from asd.report.published import MACHINES, TABLE_2
from asd.report.results import REPORT_DATA
from asd.report.table import TableRow
from asd.scoring.metrics import hmean

REFERENCE = "Submission 4 (all six)"  # the report's row that ours are first compared with: it chose nothing by labels


@dataclass(frozen=True)
class Cell:
    """A machine's figures in percent and how far they lie above those of the report's row."""

    auc: float
    pauc: float
    auc_gain: float | None = None
    pauc_gain: float | None = None


@dataclass(frozen=True)
class OverviewRow:
    """One line of Table 2; a cell is None where there is no figure."""

    system: str
    note: str
    published: bool
    cells: list[Cell | None]
    official: float | None


@dataclass(frozen=True)
class Gain:
    """What a freeze strategy did to one domain of a machine, in points of AUC (harmonic mean over sections).

    Attributes:
        strategy: Name of the phase.
        domain: source or target.
        before: AUC of phase 1 in percent, mean over systems.
        change: Mean over systems of AUC after − before, in points.
        spread: Standard deviation of the change over systems; None with a single one.
        n_systems: That have both phases.
    """

    strategy: str
    domain: str
    before: float
    change: float
    spread: float | None
    n_systems: int


def columns(rows: Iterable[TableRow]) -> list[str]:
    """The machines that our rows have figures for, in the report's order, others after."""
    there = {machine for row in rows if row.system not in TABLE_2 for machine in row.machines}
    return [m for m in MACHINES if m in there] + sorted(there - set(MACHINES))


def overview(grid: Grid) -> tuple[list[str], list[OverviewRow]]:
    """Table 2: its machines and its rows, ours first."""
    machines = columns(grid.table)
    rows = []
    for row in grid.table:
        published = row.system in TABLE_2
        cells = [overview_cell(row, machine, published) for machine in machines]
        rows.append(OverviewRow(row.system, row.note, published, cells, grid.official.get(row.system)))
    return machines, rows


def overview_cell(row: TableRow, machine: str, published: bool) -> Cell | None:
    """The figures of one system on one machine."""
    if machine not in row.machines:
        return None
    auc, pauc = row.machines[machine]
    reference = TABLE_2[REFERENCE].get(machine)
    if published or reference is None:
        return Cell(auc, pauc)
    return Cell(auc, pauc, auc - reference[0], pauc - reference[1])


def comparable(grid: Grid) -> bool:
    """Whether our figures were measured on the report's data."""
    return {run.config["data"]["name"] for run in grid.runs} == {REPORT_DATA}


def by_place(figures: Iterable[Figure]) -> dict[tuple[int, str], Figure]:
    """The figures of one system on one machine by section and domain."""
    return {(figure.section, figure.domain): figure for figure in figures}


def machine_figures(grid: Grid, machine: str) -> dict[str, dict[tuple[int, str], Figure]]:
    """System → section and domain → figures."""
    found: dict[str, list[Figure]] = defaultdict(list)
    for figure in grid.figures:
        if figure.machine == machine:
            found[figure.system].append(figure)
    return {system: by_place(figures) for system, figures in found.items()}


def places(figures: dict[str, dict[tuple[int, str], Figure]]) -> list[tuple[int, str]]:
    """Every section and domain that some system has figures for."""
    return sorted({place for rows in figures.values() for place in rows})


def domain_auc(rows: dict[tuple[int, str], Figure], domain: str) -> float | None:
    """Harmonic mean over sections of a domain's AUC in percent; None where it has none."""
    values = [figure.auc for (_, d), figure in rows.items() if d == domain and figure.auc is not None]
    return 100 * hmean(values) if values else None


def gains(grid: Grid, machine: str) -> list[Gain]:
    """What each freeze strategy gained over phase 1, per domain."""
    figures = machine_figures(grid, machine)
    strategies = sorted({s.partition("/")[2] for s in figures if s.partition("/")[2].startswith("finetune")})
    found = (gain(figures, strategy, domain) for strategy, domain in product(strategies, ("source", "target")))
    return [one for one in found if one is not None]


def gain(figures: dict[str, dict[tuple[int, str], Figure]], strategy: str, domain: str) -> Gain | None:
    """The gain of one strategy in one domain; None where no system has both phases."""
    before, change = [], []
    for system, rows in figures.items():
        address, _, phase = system.partition("/")
        first = figures.get(f"{address}/{TRAIN}")
        if phase != strategy or first is None:
            continue
        old, new = domain_auc(first, domain), domain_auc(rows, domain)
        if old is not None and new is not None:
            before.append(old)
            change.append(new - old)
    if not change:
        return None
    return Gain(strategy, domain, float(np.mean(before)), float(np.mean(change)), spread(change), len(change))


def spread(values: list[float]) -> float | None:
    """Standard deviation of a sample; None of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def states(grid: Grid) -> tuple[list[str], dict[str, dict[str, Run | None]]]:
    """The machines and, for each system, its run on each machine; None where it is missing."""
    there = {(run.system, run.machine): run for run in grid.runs}
    systems = sorted({run.system for run in grid.runs})
    return grid.machines, {s: {m: there.get((s, m)) for m in grid.machines} for s in systems}


def counts(grid: Grid) -> dict[str, int]:
    """How many runs are in which state, missing ones included."""
    found: dict[str, int] = {"done": 0, "failed": 0}
    for run in grid.runs:
        found[run.state] = found.get(run.state, 0) + 1
    return found | {"missing": len(list(grid.missing()))}


def versions(grid: Grid) -> dict[str, list[str]]:
    """Every version of every package that a finished run was made with."""
    found: dict[str, set[str]] = defaultdict(set)
    for run in grid.runs:
        for package, version in run.manifest.get("versions", {}).items():
            found[package].add(version)
    return {package: sorted(versions) for package, versions in found.items()}
