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
from sklearn.metrics import roc_auc_score

from asd.evaluation import evaluate
from asd.experiment import train
from asd.report.wandb.figures import histogram_lines, labelled_rows, roc_lines, two_axes
from asd.report.wandb.telling import share_above, telling_clips
from asd.runs.folder import RunFolder
from asd.runs.manifest import sha256
from asd.runs.scores import ScoreTable, read_scores
from tests.support.factory import make_machine
from tests.support.wandb_files import Recorded, recorded

Job = Callable[..., dict[str, Any]]
WANDB = ("logger=wandb", "logger.mode=offline")

pytestmark = pytest.mark.usefixtures("offline_wandb")


def of_type(job_type: str) -> list[Recorded]:
    return [told for told in recorded(Path("outputs")) if told.job_type == job_type]


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
        (str(int(row["section"])), row["domain"]) for row in rows
    ]
    for line, row in zip(ours, rows, strict=True):
        assert row["AUC"] == told.summary[f"auc/{row['section']}_{row['domain']}"] == 100 * float(line["auc"])
        assert row["pAUC"] == told.summary[f"pauc/{row['section']}_{row['domain']}"] == 100 * float(line["pauc"])
    with open("outputs/main/results/table2.csv", newline="") as file:
        machine = next(line for line in csv.DictReader(file) if line["system"] == trained.system)
    assert told.summary["score/auc"] == pytest.approx(float(machine["auc_hmean"]))
    assert told.summary["score/pauc"] == pytest.approx(float(machine["pauc_hmean"]))
    assert {row["lineKey"] for row in told.rows("results/roc_table")} == {
        "00 source", "00 target", "01 source", "01 target",
    }  # fmt: skip
    histogram = told.rows("results/histogram_table")
    assert sum(row["lineVal"] for row in histogram) == 16  # test clips
    points = told.rows("results/points")
    scores = read_scores(trained.scores("cosine") / "scores.csv")
    assert [row["score"] for row in points] == scores.score[scores.split == "test"].tolist()
    image = told.folder / "files" / told.summary["results/projection.path"]
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "results/clips.path" not in told.summary


def test_the_grid_is_a_run_with_all_systems_and_the_report(trained: RunFolder, job: Job) -> None:
    evaluate(job("evaluate", *WANDB))
    (told,) = of_type("ensemble")
    assert (told.name, told.group) == ("main: all systems", "main")
    rows = told.rows("results/table2")
    assert {row["system"] for row in rows if row["whose"] == "ours"} >= {trained.system, "submission4"}
    report = next(row for row in rows if row["system"].startswith("Submission 1") and row["machine"] == "fan")
    assert (report["whose"], report["AUC"], report["pAUC"]) == ("the report", 76.61, 71.45)
    summary = json.loads(Path("outputs/main/results/summary.json").read_text())
    assert {f"official/{system}": score for system, score in summary.items()}.items() <= told.summary.items()


def test_telling_clips_can_be_heard_and_keep_to_the_budget(trained: RunFolder, job: Job) -> None:
    evaluate(job("evaluate"))
    turn_round(trained)
    evaluate(job("evaluate", *WANDB, "logger.clips_mb=0.2"))
    (told,) = of_type("evaluate")
    (artifact,) = [artifact for artifact in told.artifacts if "resultsclips" in artifact.name]
    files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    table = json.loads(files["results/clips.table.json"].read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {row["kind"] for row in rows} == {"miss", "false alarm"}
    for row in rows:
        heard, rate = soundfile.read(files[row["sound"]["path"]], dtype="int16")
        assert rate == 16_000
        assert np.array_equal(heard, soundfile.read(Path("data") / row["clip"], dtype="int16")[0])
        assert "train_normal" in row["nearest training clip"]
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


def test_only_the_machines_asked_for(workplace: Path, job: Job) -> None:
    make_machine(Path("data"), "pump")
    for machine in ("fan", "pump"):
        train(job("train", f"machine={machine}"))
    evaluate(job("evaluate"))
    evaluate(job("evaluate", "machine=pump", *WANDB))
    assert [told.name for told in of_type("evaluate")] == ["pump/small-512x32-s0/train"]


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


def test_clips_without_labels_have_a_histogram_only(workplace: Path, job: Job) -> None:
    scores = some_scores()
    blind = ScoreTable(**{**vars(scores), "label": np.full(len(scores.label), "unknown")})
    assert labelled_rows(blind) == []
    assert {line.name for line in histogram_lines(blind)} == {"unknown source", "unknown target"}


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
    assert "results/roc_table.path" in told.summary
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


def test_the_area_under_each_line_is_the_auc() -> None:
    scores = some_scores()
    rows = labelled_rows(scores)
    assert len(rows) == 4
    for line, row in zip(roc_lines(scores, rows), rows, strict=True):
        here = (scores.split == "test") & (scores.section == row.section) & (scores.domain == row.domain)
        expected = roc_auc_score(scores.label[here] == "anomaly", scores.score[here])
        assert np.trapezoid(line.y, line.x) == pytest.approx(expected, abs=1e-12)


def test_two_axes_keep_the_most_variance() -> None:
    random = np.random.default_rng(1)
    points = random.normal(size=(50, 6)) * [9, 5, 1, 1, 1, 1]
    flat = two_axes(points)
    assert np.allclose(flat.mean(axis=0), 0)
    values = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    assert flat.var(axis=0, ddof=1) == pytest.approx(values[:2])
    assert np.array_equal(two_axes(points[::-1])[::-1].round(9), flat.round(9))
    assert two_axes(points[:1]).tolist() == [[0, 0]]


def test_telling_clips_by_a_slow_count() -> None:
    scores = some_scores()
    rows = labelled_rows(scores)
    everything = telling_clips(scores, rows, budget=1e9, size=lambda _: 1)
    assert len(everything) == 4 * 2 * 10
    for clip in everything:
        others = [
            scores.score[at]
            for at in range(len(scores.score))
            if scores.split[at] == "test"
            and scores.section[at] == scores.section[clip.row]
            and scores.domain[at] == scores.domain[clip.row]
            and scores.label[at] != scores.label[clip.row]
        ]
        sign = 1 if clip.kind == "miss" else -1
        assert scores.label[clip.row] == ("anomaly" if clip.kind == "miss" else "normal")
        beyond = sum(sign * other > sign * scores.score[clip.row] for other in others)
        assert clip.share == pytest.approx(beyond / len(others))
    few = telling_clips(scores, rows, budget=80, size=lambda _: 10)
    places = {(scores.section[c.row], scores.domain[c.row], c.kind) for c in few}
    assert len(few) == len(places) == 8  # the worst of each
    assert telling_clips(scores, rows, budget=9, size=lambda _: 10) == []


def test_clips_on_the_right_side_are_not_telling() -> None:
    scores = some_scores()
    apart = scores.with_score(np.where(scores.label == "anomaly", 2.0, 1.0))
    assert telling_clips(apart, labelled_rows(apart), budget=1e9, size=lambda _: 1) == []
    assert share_above(np.array([1.0, 2.0]), np.array([1.0, 1.5])).tolist() == [0.5, 0.0]
