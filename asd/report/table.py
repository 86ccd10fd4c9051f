"""The table of a grid for a terminal, as Markdown and as rows of a CSV file; beside Table 2 where data are the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asd.report.published import MACHINES, TABLE_2
from asd.report.results import Results
from asd.system import tables
from asd.system.printable import one_line

TITLE = "AUC / pAUC in percent, mean over the sections and domains of a machine"
NOTHING = "–"  # a machine without figures
WIDTH = 110  # columns that a terminal is taken to have


@dataclass(frozen=True)
class TableRow:
    """One system's line.

    Attributes:
        system: Its name.
        machines: (AUC, pAUC) of each machine that it has figures for, in percent.
        note: What a reader must know, such as `oracle` or `published`; may be empty.
        official_score: In percent; None where there is none.
    """

    system: str
    machines: dict[str, tuple[float, float]]
    note: str = ""
    official_score: float | None = None


def table_rows(results: Results) -> list[TableRow]:
    """Our rows; behind them the published ones, if they were measured on the same data."""
    ours = [
        TableRow(system.name, results.figures(system), system.note, results.official_score(system))
        for system in results.systems
    ]
    published = [TableRow(system, machines, "published") for system, machines in TABLE_2.items()]
    return ours + (published if results.is_report_data else [])


def columns(machines: Sequence[str]) -> list[str]:
    """Machines in the report's order, others behind them by name."""
    return [name for name in MACHINES if name in machines] + sorted(set(machines) - set(MACHINES))


def csv_rows(results: Results) -> Iterator[tuple[object, ...]]:
    """One row per system and machine that has figures, in full precision."""
    for row in table_rows(results):
        for machine in columns(results.machines):
            if machine in row.machines:
                yield (row.system, row.note, machine, *row.machines[machine], results.rules[machine])


def markdown_table(results: Results) -> str:
    """One line per system, and below it what the figures were measured on."""
    head, *body = cells(results)
    lines = [["system", "note", *head[1:]], ["---", "---", *["---:"] * (len(head) - 1)]]
    lines += [[row.system, row.note, *line[1:]] for row, line in zip(table_rows(results), body, strict=True)]
    table = "\n".join("| " + " | ".join(map(markdown_cell, line)) + " |" for line in lines)
    return "\n\n".join([TITLE, table, *map(markdown_cell, results.about())]) + "\n"


def text_table(results: Results) -> str:
    """The table for a terminal; names that would make lines too wide get a line of their own."""
    rows = cells(results)
    align = "<" + ">" * (len(rows[0]) - 1)
    lines = tables.text_table(rows, align).splitlines()
    if max(map(len, lines)) > WIDTH:
        figures = tables.text_table([["", *row[1:]] for row in rows], align).splitlines()
        lines = [
            figures[0],
            *(part for row, line in zip(rows[1:], figures[1:], strict=True) for part in (one_line(row[0]), line)),
        ]
    return "\n".join([TITLE, *lines, *map(one_line, results.about())])


def cells(results: Results) -> list[list[str]]:
    """The head and the lines of the table; the first cell is the name with its note."""
    machines, rows = columns(results.machines), table_rows(results)
    has_score = any(row.official_score is not None for row in rows)
    body = []
    for row in rows:
        found = [row.machines.get(machine) for machine in machines]
        score = NOTHING if row.official_score is None else f"{row.official_score:.2f}"
        name = f"{row.system} ({row.note})" if row.note else row.system
        figures = [NOTHING if pair is None else f"{pair[0]:.2f}/{pair[1]:.2f}" for pair in found]
        body.append([name, *figures, *([score] if has_score else [])])
    return [["", *machines, *(["official score"] if has_score else [])], *body]


def markdown_cell(text: object) -> str:
    """Text that cannot end its cell or its line, or become markup."""
    flat = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return flat.replace("|", "\\|").replace("[", "\\[")
