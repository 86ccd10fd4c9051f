"""The figures of a grid as rows of tables, the same for the page and for report.md."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np

from asd.report.page.load import TRAIN, Grid, Run
from asd.report.published import TABLE_2
from asd.report.table import TableRow, columns, table_rows
from asd.scoring.metrics import BOTH, MetricRow, hmean

REFERENCE = "Submission 4 (all six)"  # the report's row that ours are first compared with: it chose nothing by labels


@dataclass(frozen=True)
class Cell:
    """A machine's figures in percent; differences to the report's row only where the data are the same."""

    auc: float
    pauc: float
    auc_gain: float | None = None
    pauc_gain: float | None = None


@dataclass(frozen=True)
class OverviewRow:
    """One line of the table; a cell is None where there is no figure."""

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


def overview(grid: Grid) -> tuple[list[str], list[OverviewRow]]:
    """The table of the grid: its machines and its rows, ours first."""
    machines, comparable = columns(grid.results.machines), grid.results.is_report_data
    rows = []
    for row in table_rows(grid.results):
        published = row.note == "published"
        cells = [overview_cell(row, machine, comparable and not published) for machine in machines]
        rows.append(OverviewRow(row.system, row.note, published, cells, row.official_score))
    return machines, rows


def overview_cell(row: TableRow, machine: str, comparable: bool) -> Cell | None:
    """The figures of one system on one machine."""
    if machine not in row.machines:
        return None
    auc, pauc = row.machines[machine]
    reference = TABLE_2[REFERENCE].get(machine)
    if not comparable or reference is None:
        return Cell(auc, pauc)
    return Cell(auc, pauc, auc - reference[0], pauc - reference[1])


def heat_rows(grid: Grid, machine: str) -> dict[str, dict[tuple[int, str], MetricRow]]:
    """System → section and domain → metrics."""
    return {system: {(row.section, row.domain): row for row in rows} for system, rows in grid.rows(machine).items()}


def places(rows: dict[str, dict[tuple[int, str], MetricRow]], metric: str) -> list[tuple[int, str]]:
    """Every section and domain that some system has a metric for."""
    return sorted(
        {place for found in rows.values() for place, row in found.items() if getattr(row, metric) is not None}
    )


def place_title(place: tuple[int, str]) -> str:
    """Section and domain as a heading; a section as a whole is called by its number alone."""
    section, domain = place
    return f"{section:02d}" if domain == BOTH else f"{section:02d} {domain}"


def domain_auc(rows: Iterable[MetricRow], domain: str) -> float | None:
    """Harmonic mean over sections of a domain's AUC in percent; None where it has none."""
    values = [row.auc for row in rows if row.domain == domain and row.auc is not None]
    return 100 * hmean(values) if values else None


def gains(grid: Grid, machine: str) -> list[Gain]:
    """What each freeze strategy gained over phase 1, per domain."""
    strategies = sorted({system.phase for system in grid.run_systems() if system.phase != TRAIN})
    found = (gain(grid, machine, strategy, domain) for strategy, domain in product(strategies, ("source", "target")))
    return [one for one in found if one is not None]


def gain(grid: Grid, machine: str, strategy: str, domain: str) -> Gain | None:
    """The gain of one strategy in one domain; None where no system has both phases."""
    aucs = {
        (system.model, system.seed, system.phase): domain_auc(system.of_machine(machine), domain)
        for system in grid.run_systems()
    }
    pairs = [(aucs.get((m, s, TRAIN)), auc) for (m, s, phase), auc in aucs.items() if phase == strategy]
    known = np.array([(old, new) for old, new in pairs if old is not None and new is not None])
    if not len(known):
        return None
    change = known[:, 1] - known[:, 0]
    spread = float(np.std(change, ddof=1)) if len(change) > 1 else None
    return Gain(strategy, domain, float(known[:, 0].mean()), float(change.mean()), spread, len(change))


def states(grid: Grid) -> dict[str, dict[str, Run | None]]:
    """For each system its run on each machine; None where it is missing."""
    there = {(run.system, run.machine): run for run in grid.runs}
    systems = sorted({run.system for run in grid.runs})
    return {s: {m: there.get((s, m)) for m in grid.machines} for s in systems}


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
