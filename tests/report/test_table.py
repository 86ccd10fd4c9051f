"""Our rows beside the report's Table 2."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asd.report.published import MACHINES, TABLE_2
from asd.report.table import TableRow, csv_table, markdown_table, published_rows, text_table

OURS = [
    TableRow("mobilefacenet-512x32-s0/finetune-until_last_block", {"fan": (80.126, 70.0)}, "", 75.0),
    TableRow("submission2", {"fan": (81.0, 71.5), "pump": (60.0, 55.0)}, "oracle, 2 of 3 members"),
]


def test_the_report_is_copied_to_the_digit(shared: Path) -> None:
    printed = re.findall(r"\d\d\.\d\d/\d\d\.\d\d", (shared.parent / "report.txt").read_text())
    ours = [f"{auc:.2f}/{pauc:.2f}" for row in TABLE_2.values() for auc, pauc in row.values()]
    assert len(printed) == 42
    assert ours == printed
    assert all(tuple(row) == MACHINES for row in TABLE_2.values())


def test_csv_has_one_line_per_system_and_machine() -> None:
    lines = list(csv.reader(io.StringIO(csv_table([*OURS, *published_rows()]))))
    assert lines[0] == ["system", "machine", "auc_hmean", "pauc_hmean"]
    assert lines[1] == [OURS[0].system, "fan", "80.126", "70.0"]
    assert [line[:2] for line in lines[2:4]] == [["submission2", "fan"], ["submission2", "pump"]]
    assert len(lines) == 1 + 3 + 42


def test_markdown_has_the_columns_in_the_reports_order() -> None:
    lines = markdown_table([*OURS, *published_rows()]).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["system", "note", *MACHINES, "official score"]
    assert cells[2][4] == "80.13/70.00"
    assert cells[2][-1] == "75.00"
    assert cells[3] == [
        "submission2",
        OURS[1].note,
        "–",
        "–",
        "81.00/71.50",
        "–",
        "60.00/55.00",
        "–",
        "–",
        "–",
    ]
    assert [line[0] for line in cells[4:]] == list(TABLE_2)
    assert {len(line) for line in cells} == {10}


def test_markdown_cells_cannot_break_the_table() -> None:
    line = markdown_table([TableRow("a|b\nc", {}, "x|y")]).splitlines()[-1]
    assert line.startswith("| a\\|b c | x\\|y | – |")


def test_the_terminal_table_fits_and_is_aligned() -> None:
    lines = text_table([*OURS, *published_rows()]).splitlines()
    assert max(map(len, lines)) <= 110
    header = next(line for line in lines if "ToyCar" in line)
    figures = [line for line in lines if line.startswith("  ") and "/" in line]
    assert len(figures) == 8
    for machine in MACHINES:
        end = header.index(machine) + len(machine)
        assert all(line[end - 1].strip() and line[end : end + 2] == "  " for line in figures)
    assert lines.index("submission2 (oracle, 2 of 3 members)") < lines.index("Autoencoder baseline (published)")


def test_short_rows_take_one_line() -> None:
    lines = text_table([TableRow("a", {"fan": (70.0, 60.0)}), TableRow("bb", {})]).splitlines()
    assert len(lines) == 4
    assert lines[2].split() == ["a", "–", "–", "70.00/60.00", "–", "–", "–", "–", "–"]
    assert len(lines[2]) == len(lines[3]) == len(lines[1])


def test_other_machines_follow_the_reports() -> None:
    text = text_table([TableRow("a", {"bearing": (70.0, 60.0)})])
    assert text.splitlines()[1].split() == [*MACHINES, "bearing", "score"]


@pytest.mark.parametrize("module", ["asd.report.table", "asd.report.published"])
def test_the_report_room_needs_neither_torch_nor_sklearn(module: str) -> None:
    code = f"import sys, {module}; assert not {{'torch', 'sklearn'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
