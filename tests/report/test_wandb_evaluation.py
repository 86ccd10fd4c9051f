"""The mirror of evaluations and of a grid's table, read back from what W&B recorded offline."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import wandb

from asd.evaluation import evaluate
from asd.experiment import train
from asd.report.plots import roc
from asd.report.scored import metric_rows
from asd.runs.folder import RunFolder
from asd.runs.manifest import sha256
from asd.runs.scores import ScoreTable, read_scores, write_scores
from asd.scoring.metrics import Rule
from tests.support.factory import make_machine
from tests.support.wandb_files import Recorded, recorded

Job = Callable[..., dict[str, Any]]
WANDB = ("logger=wandb", "logger.wandb.mode=offline")

pytestmark = pytest.mark.usefixtures("offline_wandb")


def of_type(job_type: str) -> list[Recorded]:
    return [told for told in recorded(Path("outputs")) if told.job_type == job_type]


@pytest.mark.ci
@pytest.mark.slow
def test_figures_tables_charts_and_images(trained: RunFolder, job: Job) -> None:
    evaluate(job("evaluate", *WANDB))
    (told,) = of_type("evaluate")
    assert (told.name, told.group, told.exit_code) == ("fan/small-512x32-s0/train", "main", 0)
    assert told.config["scorer"]["n_neighbors"] == 10
    assert told.config["backbone_name"] == "small"
    with open("outputs/main/results/metrics.csv", newline="") as file:
        ours = [line for line in csv.DictReader(file) if line["system"] == trained.system]
    rows = told.rows("results/sections")
    assert [(line["section"], line["domain"]) for line in ours] == [
        (str(row["section"]), row["domain"]) for row in rows
    ]
    for line, row in zip(ours, rows, strict=True):
        place = f"{row['section']:02d}_{row['domain']}"
        assert (row["auc"], row["pauc"]) == (float(line["auc"]), float(line["pauc"]))
        assert told.summary[f"auc/{place}"] == 100 * row["auc"]
        assert told.summary[f"pauc/{place}"] == 100 * row["pauc"]
        assert row["rule"].startswith("rule of 2021")
    with open("outputs/main/results/table2.csv", newline="") as file:
        machine = next(line for line in csv.DictReader(file) if line["system"] == trained.system)
    assert told.summary["score/auc"] == pytest.approx(float(machine["auc"]))
    assert told.summary["score/pauc"] == pytest.approx(float(machine["pauc"]))
    for name in ("roc", "histogram", "projection"):
        image = told.folder / "files" / told.summary[f"results/{name}.path"]
        assert image.read_bytes().startswith(b"\x89PNG")
    assert "results/clips.path" not in told.summary


@pytest.mark.ci
@pytest.mark.slow
def test_the_grid_is_a_run_with_all_systems(trained: RunFolder, job: Job) -> None:
    evaluate(job("evaluate", *WANDB))
    (told,) = of_type("ensemble")
    assert (told.name, told.group) == ("main: all systems", "main")
    rows = told.rows("results/table2")
    assert {row["system"] for row in rows} >= {trained.system, "submission4"}
    assert not [row for row in rows if row["note"] == "published"]  # other data than the report's
    assert all(row["rule"] == "2021" for row in rows)
    summary = json.loads(Path("outputs/main/results/summary.json").read_text())
    assert {f"official/{system}": score for system, score in summary.items()}.items() <= told.summary.items()


@pytest.mark.ci
@pytest.mark.slow
def test_worst_errors_can_be_heard_and_keep_to_the_budget(trained: RunFolder, job: Job) -> None:
    evaluate(job("evaluate"))
    turn_round(trained)
    evaluate(job("evaluate", *WANDB, "logger.wandb.clips_mb=0.2"))
    (told,) = of_type("evaluate")
    (artifact,) = [artifact for artifact in told.artifacts if "resultsclips" in artifact.name]
    files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    table = json.loads(files["results/clips.table.json"].read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {row["verdict"] for row in rows} >= {"missed"}
    for row in rows:
        heard, rate = soundfile.read(files[row["sound"]["path"]], dtype="int16")
        assert rate == 16_000
        assert np.array_equal(heard, soundfile.read(Path("data") / row["clip"], dtype="int16")[0])
        assert "train_normal" in row["nearest training clips"]
    size = sum(path.stat().st_size for name, path in files.items() if name.endswith(".wav"))
    assert 0.1e6 < size <= 0.2e6


def turn_round(run: RunFolder) -> None:
    """Makes every anomaly score less than every normal clip."""
    folder = run.scores("cosine")
    text = (folder / "scores.csv").read_text().splitlines()
    turned = [text[0]] + [f"{line.rpartition(',')[0]},{-float(line.rpartition(',')[2])}" for line in text[1:]]
    (folder / "scores.csv").write_text("\n".join(turned) + "\n")
    vouch(run, "scores.csv")


def vouch(run: RunFolder, name: str) -> None:
    """Makes the manifest of the scores vouch for a changed file."""
    folder = run.scores("cosine")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.slow
@pytest.mark.ci
def test_evaluated_twice_is_one_run(trained: RunFolder, job: Job) -> None:
    for _ in range(2):
        evaluate(job("evaluate", *WANDB))
    assert len(of_type("evaluate")) == len(of_type("ensemble")) == 1
    evaluate(job("evaluate", *WANDB, "scorer.name=three", "scorer.n_neighbors=3"))
    assert {told.name for told in of_type("evaluate")} == {
        "fan/small-512x32-s0/train", "fan/small-512x32-s0/train (three)",
    }  # fmt: skip


@pytest.mark.ci
@pytest.mark.slow
def test_only_the_machines_asked_for(workplace: Path, job: Job) -> None:
    make_machine(Path("data"), "pump")
    for machine in ("fan", "pump"):
        train(job("train", f"machine={machine}"))
    evaluate(job("evaluate"))
    evaluate(job("evaluate", "machine=pump", *WANDB))
    assert [told.name for told in of_type("evaluate")] == ["pump/small-512x32-s0/train"]


@pytest.mark.ci
@pytest.mark.slow
def test_a_broken_wandb_does_not_stop_an_evaluation(
    trained: RunFolder, job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("on fire")

    monkeypatch.setattr(wandb.Run, "log", broken)
    evaluate(job("evaluate", *WANDB))
    assert Path("outputs/main/results/table2.md").is_file()
    said = capsys.readouterr().out
    assert said.count("W&B failed (RuntimeError: on fire): going on without it. The results are complete") == 1


@pytest.mark.ci
@pytest.mark.slow
def test_clips_without_labels_have_a_histogram_and_a_map_only(trained: RunFolder, job: Job) -> None:
    evaluate(job("evaluate"))
    path = trained.scores("cosine") / "scores.csv"
    scores = read_scores(path)
    write_scores(path, ScoreTable(**{**vars(scores), "label": np.where(scores.is_train, scores.label, "unknown")}))
    vouch(trained, "scores.csv")
    evaluate(job("evaluate", *WANDB))
    (told,) = of_type("evaluate")
    assert "results/histogram.path" in told.summary
    assert not [key for key in told.summary if key.startswith(("auc/", "score/", "results/roc"))]


@pytest.mark.ci
@pytest.mark.slow
def test_an_evaluation_of_an_earlier_version_has_no_projection(
    trained: RunFolder, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(job("evaluate"))
    path = trained.scores("cosine") / "pieces.npz"
    with np.load(path) as pieces:
        np.savez(path, **{name: pieces[name] for name in pieces if name != "embedding"})
    vouch(trained, "pieces.npz")
    evaluate(job("evaluate", *WANDB))
    (told,) = of_type("evaluate")
    assert "results/projection.path" not in told.summary
    assert "results/roc.path" in told.summary
    assert "was made before embeddings were kept: no projection (overwrite=true makes it)" in capsys.readouterr().out


def some_scores(n: int = 240) -> ScoreTable:
    """Random test clips of two sections, a tenth of them training clips."""
    random = np.random.default_rng(0)
    label = random.choice(["normal", "anomaly"], n)
    return ScoreTable(
        clip=np.array([f"{i:03d}.wav" for i in range(n)]),
        machine=np.full(n, "fan"),
        section=random.integers(0, 2, n),
        domain=random.choice(["source", "target"], n),
        split=np.where(np.arange(n) % 10 == 0, "train", "test"),
        label=label,
        score=random.normal(size=n) + (label == "anomaly"),
    )


@pytest.mark.parametrize("rule", ["2020", "2021", "2022"])
def test_the_area_under_each_curve_is_the_auc(rule: Rule) -> None:
    scores = some_scores()
    rows = [row for row in metric_rows("fan", scores, rule) if row.auc is not None]
    assert len(rows) == {"2020": 2, "2021": 4, "2022": 4}[rule]
    for row in rows:
        false_positives, true_positives = roc(scores, row, rule)
        assert np.trapezoid(true_positives, false_positives) == pytest.approx(row.auc, abs=1e-12)
