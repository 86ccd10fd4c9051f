"""Our rows beside Table 2 of the report: as CSV, as Markdown and for a terminal."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asd.report.published import MACHINES, TABLE_2

TITLE = "Harmonic mean of AUC / pAUC in percent"
NOTHING = "–"  # a machine without figures


@dataclass(frozen=True)
class TableRow:
    """One system's line.

    Attributes:
        system: its name.
        machines: (AUC, pAUC) of each machine that it has figures for, harmonic means in percent.
        note: what a reader must know, such as `oracle` or `published`; may be empty.
        official_score: harmonic mean of all its AUC and pAUC values in percent, None where unknown.
    """

    system: str
    machines: Mapping[str, tuple[float, float]]
    note: str = ""
    official_score: float | None = None


def published_rows() -> list[TableRow]:
    """The report's six rows. It prints no official score."""
    return [TableRow(system, machines, "published") for system, machines in TABLE_2.items()]


def csv_table(rows: Sequence[TableRow]) -> str:
    """table2.csv: one line per system and machine that has figures, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("system", "machine", "auc_hmean", "pauc_hmean"))
    for row in rows:
        for machine in _columns(rows):
            if machine in row.machines:
                writer.writerow((row.system, machine, *row.machines[machine]))
    return text.getvalue()


def markdown_table(rows: Sequence[TableRow]) -> str:
    """table2.md: one line per system, machines in the report's order."""
    machines = _columns(rows)
    lines = [["system", "note", *machines, "official score"]]
    lines.append(["---", "---", *["---:"] * (len(machines) + 1)])
    lines += [[row.system, row.note, *_cells(row, machines)] for row in rows]
    table = "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)
    return f"{TITLE}\n\n{table}\n"


def text_table(rows: Sequence[TableRow], width: int = 110) -> str:
    """The table for a terminal; names that would make lines longer than `width` get a line of their own."""
    machines = _columns(rows)
    cells = [[*machines, "score"], *[_cells(row, machines) for row in rows]]
    sizes = [max(map(len, column)) for column in zip(*cells, strict=True)]
    figures = ["  ".join(c.rjust(n) for c, n in zip(line, sizes, strict=True)) for line in cells]
    names = ["", *[f"{row.system} ({row.note})" if row.note else row.system for row in rows]]
    widest = max(map(len, names))
    if widest + 2 + len(figures[0]) <= width:
        lines = [f"{name.ljust(widest)}  {figure}" for name, figure in zip(names, figures, strict=True)]
    else:
        lines = [part for name, figure in zip(names, figures, strict=True) for part in (name, f"  {figure}")]
    return "\n".join([TITLE, *(line.rstrip() for line in lines)]) + "\n"


def _columns(rows: Sequence[TableRow]) -> list[str]:
    """The report's seven machines, then any others by name."""
    others = {machine for row in rows for machine in row.machines} - set(MACHINES)
    return [*MACHINES, *sorted(others)]


def _cells(row: TableRow, machines: Sequence[str]) -> list[str]:
    found = [row.machines.get(machine) for machine in machines]
    official = NOTHING if row.official_score is None else f"{row.official_score:.2f}"
    return [NOTHING if pair is None else f"{pair[0]:.2f}/{pair[1]:.2f}" for pair in found] + [official]


def _escape(cell: str) -> str:
    """A cell that cannot end its column or its line."""
    return " ".join(cell.split()).replace("|", "\\|")
