"""Our rows, and the report's Table 2 beside them where the data are the same."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from asd.report.published import MACHINES, TABLE_2
from asd.report.results import Results, System
from asd.report.table import csv_rows, markdown_table, text_table
from asd.scoring.metrics import MetricRow, Rule

RUN = "mobilefacenet-512x32-s0/finetune-until_last_block"


def rows(machine: str, *figures: tuple[float, float]) -> list[MetricRow]:
    """Metrics of the sections 0, 1 … of a machine."""
    return [MetricRow(machine, section, "source", 5, 5, auc, pauc) for section, (auc, pauc) in enumerate(figures)]


def results(*systems: System, data: str = "mine", rule: Rule = "2021", remarks: list[str] | None = None) -> Results:
    machines = {row.machine for system in systems for row in system.rows}
    rules, editions = dict.fromkeys(machines, rule), dict.fromkeys(machines, str(rule))
    return Results([data], rules, editions, list(systems), remarks or [])


OURS = (
    System(RUN, "run", rows("fan", (0.8, 0.7), (0.6, 0.7))),
    System("submission2", "ensemble", rows("fan", (0.81, 0.715)) + rows("pump", (0.6, 0.55)), {"fan": "oracle"}),
)


def test_the_report_is_copied_to_the_digit(shared: Path) -> None:
    printed = re.findall(r"\d\d\.\d\d/\d\d\.\d\d", (shared.parent / "report.txt").read_text())
    ours = [f"{auc:.2f}/{pauc:.2f}" for row in TABLE_2.values() for auc, pauc in row.values()]
    assert len(printed) == 42
    assert ours == printed
    assert all(tuple(row) == MACHINES for row in TABLE_2.values())


def test_csv_has_one_row_per_system_and_machine() -> None:
    found = list(csv_rows(results(*OURS)))
    oracle = ("submission2", "oracle")
    assert [row[:3] for row in found] == [(RUN, "", "fan"), (*oracle, "fan"), (*oracle, "pump")]
    assert found[0][3] == pytest.approx(100 * 2 / (1 / 0.8 + 1 / 0.6))  # a harmonic mean
    assert {row[-1] for row in found} == {"2021"}
    assert len(list(csv_rows(results(*OURS, data="dcase2021")))) == 3 + 6 * 2  # published, on our machines alone


def test_markdown_has_the_machines_that_there_are_in_the_reports_order() -> None:
    lines = markdown_table(results(*OURS, System("a|b\nc", "run", rows("bearing", (0.5, 0.5))))).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    assert cells[0] == ["system", "note", "fan", "pump", "bearing", "official score"]
    assert cells[3][:5] == ["submission2", "oracle", "81.00/71.50", "60.00/55.00", "–"]
    assert cells[4][0] == "a\\|b c"
    assert "Metrics: rule of 2021: AUC and pAUC per section and domain, harmonic means." in lines


def test_arithmetic_means_and_no_official_score_in_2020() -> None:
    text = markdown_table(results(*OURS, rule="2020"))
    assert "| 70.00/70.00 |" in text
    assert "official score" not in text
    assert "rule of 2020" in text


def test_the_published_rows_stand_beside_the_same_data_alone() -> None:
    for render in (markdown_table, text_table):
        assert all(name in render(results(*OURS, data="dcase2021")) for name in TABLE_2)
        assert not any(name in render(results(*OURS)) for name in TABLE_2)


def test_the_terminal_table_fits_and_is_aligned() -> None:
    everything = System("all", "run", [row for machine in MACHINES for row in rows(machine, (0.7, 0.6))])
    lines = text_table(results(*OURS, everything, data="dcase2021")).splitlines()
    header = next(line for line in lines if "ToyCar" in line)
    figures = [line for line in lines if line.startswith("  ") and "/" in line]
    assert len(figures) == 9
    assert max(map(len, [header, *figures])) <= 110
    for machine in MACHINES:
        end = header.index(machine) + len(machine)
        assert all(line[end - 1].strip() and line[end : end + 2].strip() == "" for line in figures)
    assert lines.index("submission2 (oracle)") < lines.index("Autoencoder baseline (published)")


def test_short_rows_take_one_line_and_remarks_follow() -> None:
    lines = text_table(results(System("a", "run", rows("fan", (0.7, 0.6))), remarks=["\x1b[31mRed."])).splitlines()
    assert lines[1].split() == ["fan", "official", "score"]
    assert lines[2].split() == ["a", "70.00/60.00", "64.62"]
    assert lines[-1] == "\\x1b[31mRed."


def test_the_published_rows_need_neither_torch_nor_sklearn() -> None:
    code = "import sys, asd.report.published; assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
