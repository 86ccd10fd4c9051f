"""Every finished run over seeds, as Markdown tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd.cli import main
from asd.report.leaderboard import BEGIN, END, Measurement, leaderboard, of_ensembles, write_between
from asd.report.results import Results, System, as_json, read_results
from asd.runs.folder import RunFolder
from asd.runs.manifest import read_manifest
from asd.scoring.metrics import MetricRow
from asd.system.files import write_json


def measured(system: str, auc: float, *, seed: int = 0, scorer: str = "cosine", **facts: Any) -> Measurement:
    """A run on one section, whose target domain is .1 worse; its pAUC is .6."""
    domains = (("source", auc), ("target", auc - 0.1))
    rows = [MetricRow("fan", 0, domain, 5, 5, value, 0.6) for domain, value in domains]
    return Measurement("mine", "fan", system, scorer, rows, "2021", seed, **facts)


def lines_of(text: str) -> list[list[str]]:
    """The cells of each line of the tables."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_seeds_become_mean_and_deviation() -> None:
    seeds = [measured("net", auc, seed=seed, seconds=s) for seed, (auc, s) in enumerate([(0.7, 9.0), (0.8, 11.0)])]
    head, _, line = lines_of(leaderboard(seeds))
    cells = dict(zip(head, line, strict=True))
    every = [2 / (1 / auc + 1 / (auc - 0.1)) for auc in (0.7, 0.8)]
    official = [4 / (1 / auc + 1 / (auc - 0.1) + 2 / 0.6) for auc in (0.7, 0.8)]
    deviation = abs(every[0] - every[1]) / np.sqrt(2)
    assert cells["source"] == "75.0 ± 7.1 / 60.0"
    assert cells["target"] == "65.0 ± 7.1 / 60.0"
    assert cells["all"] == f"{50 * sum(every):.1f} ± {100 * deviation:.1f} / 60.0"
    assert cells["official score"].startswith(f"{50 * sum(official):.1f} ± ")
    assert (cells["seeds"], cells["seconds"], cells["weights"]) == ("0, 1", "10 ± 1", "–")


def test_the_best_stands_first_and_scorers_apart() -> None:
    found = [measured("bad", 0.6), measured("good", 0.9), measured("good", 0.8, scorer="lof")]
    order = [["good", "cosine"], ["good", "lof"], ["bad", "cosine"]]
    assert [line[:2] for line in lines_of(leaderboard(found))[2:]] == order


def test_an_ensembles_line_says_what_it_is_made_of_on_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [MetricRow(machine, 0, "source", 5, 5, 0.7, 0.6) for machine in ("fan", "pump")]
    system = System("submission4", "ensemble", rows, {"fan": "all 2", "pump": "all 6"})
    results = Results(["mine"], {"fan": "2021", "pump": "2021"}, {}, [system], [])
    write_json(Path("outputs/grid/results/results.json"), as_json(results))
    assert [one.system for one in of_ensembles("grid")] == ["grid/submission4 (all 2)", "grid/submission4 (all 6)"]


@pytest.mark.ci
@pytest.mark.slow
def test_a_grid_is_shown_as_it_was_evaluated(evaluated: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "outputs/main"]) == 0
    text = capsys.readouterr().out
    assert "### fan (data=folder)" in text
    head, _, *lines = lines_of(text)
    cells = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    results = read_results(Path("outputs/main/results"))
    assert {system.split("/")[1].partition(" ")[0] for system in cells} == {
        "small-512x32",
        *(system.name.partition(" ")[0] for system in results.systems if system.kind == "reference"),
    }  # the four submissions of one run are that run
    assert sum(system.kind == "ensemble" for system in results.systems) == 4
    auc, pauc = next(results.figures(system)["fan"] for system in results.systems if system.kind == "run")
    run, manifest = cells["main/small-512x32/train"], read_manifest(evaluated.manifest) or {}
    assert run["all"] == f"{auc:.1f} / {pauc:.1f}"
    assert (run["scorer"], run["seeds"], run["steps"]) == ("cosine", "0", "2")
    assert run["weights"] == f"{manifest['n_weights'] / 1e6:.2f} M"


@pytest.mark.ci
@pytest.mark.slow
def test_a_grid_without_scores_is_refused(trained: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "outputs/main"]) == 1
    assert "no finished run has scores; python evaluate.py name=main makes them" in capsys.readouterr().err


def test_only_the_marked_part_of_a_document_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "board.md"
    write_between(path, "first")
    path.write_text(f"before\n{path.read_text()}after\n")
    write_between(path, "second")
    assert path.read_text() == f"before\n{BEGIN}\n\nsecond\n\n{END}\nafter\n"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="put a line"):
        write_between(path, "third")
    assert path.read_text() == "no marks"


def test_the_rest_of_a_document_keeps_its_bytes_or_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "board.md"
    path.write_bytes(f"before\r\n{BEGIN}\r\n{END}\r\nafter\r\n".encode())
    write_between(path, "table")
    assert path.read_bytes() == f"before\r\n{BEGIN}\n\ntable\n\n{END}\r\nafter\r\n".encode()
    path.write_bytes(latin := f"caf\xe9 {BEGIN} {END}".encode("latin-1"))
    with pytest.raises(ValueError, match=r"board\.md: invalid UTF-8"):
        write_between(path, "table")
    assert path.read_bytes() == latin
