"""Two grids side by side."""

from pathlib import Path

import numpy as np
import pytest

from asd.cli import main as cli
from asd.report.page.compare import Comparison, Sample, changed_keys, compare
from asd.report.page.load import read_grid
from tests.support.grid_files import CONFIG, make_run, write_results


def make_grid(path: Path, aucs: list[float]) -> Path:
    """A grid of one system on fan, one seed after the other."""
    systems = [f"net-512x32-s{seed}/train" for seed in range(len(aucs))]
    for system in systems:
        make_run(path, "fan", system, n=2)
    write_results(path, {(system, "fan"): (auc, 0.5) for system, auc in zip(systems, aucs, strict=True)})
    return path


def test_a_change_and_its_error_over_seeds(tmp_path: Path) -> None:
    first, second = make_grid(tmp_path / "a", [0.70, 0.72, 0.74]), make_grid(tmp_path / "b", [0.80, 0.84])
    row = next(row for row in compare(read_grid(first), read_grid(second)) if row.metric == "AUC")
    assert (row.machine, row.system) == ("fan", "net-512x32/train")
    assert row.change == pytest.approx(82 - 72)
    assert row.error == pytest.approx(np.sqrt(np.var([70, 72, 74], ddof=1) / 3 + np.var([80, 84], ddof=1) / 2))
    assert row.verdict == "beyond the seeds"


def test_verdicts() -> None:
    one, few, other = Sample(70, None, 1), Sample(70, 3.0, 3), Sample(72, 3.0, 3)
    assert Comparison("fan", "s", "AUC", one, few).verdict == "spread unknown: one seed"
    assert Comparison("fan", "s", "AUC", few, other).verdict == "within the seeds"
    assert Comparison("fan", "s", "AUC", few, None).verdict == "only in one"


def test_the_command_writes_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = make_grid(tmp_path / "a", [0.70, 0.72]), make_grid(tmp_path / "b", [0.71])
    assert cli(["report", "compare", str(first), str(second)]) == 0
    assert "| fan | net-512x32/train | AUC | 71.00 ± 1.41 (2) | 71.00 (1) |" in capsys.readouterr().out
    assert "net-512x32/train" in (second / "compare-a" / "index.html").read_text()
    assert (second / "compare-a" / "page.js").is_file()


def test_the_keys_that_differ_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_grid(tmp_path / "a", [0.7])
    monkeypatch.setitem(CONFIG, "loss", {"margin": 0.2})
    second = make_grid(tmp_path / "b", [0.7])
    assert changed_keys(read_grid(first), read_grid(second)) == ["loss.margin: 0.05 → 0.2"]


def test_nothing_in_common(tmp_path: Path) -> None:
    first, second = make_grid(tmp_path / "a", [0.7]), tmp_path / "b"
    make_run(second, "pump", "net-512x32-s0/train")
    write_results(second, {("net-512x32-s0/train", "pump"): (0.7, 0.5)})
    assert cli(["report", "compare", str(first), str(second)]) == 1
