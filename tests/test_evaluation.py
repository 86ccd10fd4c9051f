"""From finished runs to scores, ensembles and the table."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import roc_auc_score

import asd
from asd.cli import main as cli
from asd.evaluation import evaluate
from asd.experiment import train
from asd.report.scored import choose_phase
from asd.runs.folder import RunFolder
from asd.runs.manifest import read_manifest
from asd.runs.scores import read_scores
from tests.support.factory import make_machine, scan_machine

Job = Callable[..., Any]
RUN = Path("outputs/main/fan/small-512x32-s0/train")


def rows(path: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_clip_exactly_once(evaluated: RunFolder) -> None:
    table = scan_machine(Path("data"), "fan")
    scores = read_scores(evaluated.scores("cosine") / "scores.csv")
    assert scores.clip.tolist() == table.path.tolist()
    assert np.isfinite(scores.score).all()
    assert set(scores.split) == {"train", "test"}


def test_a_score_is_what_the_files_say(evaluated: RunFolder) -> None:
    """One test clip's and one training clip's score from references.npz by a plain loop."""
    scores = read_scores(evaluated.scores("cosine") / "scores.csv")
    references = np.load(evaluated.references)
    bank_run = asd.load_run(evaluated.path)
    owner = references["path"][references["clip"]]
    for name in ("source_test_anomaly_0000", "source_train_normal_0001"):
        row = next(i for i, clip in enumerate(scores.clip) if name in clip and scores.section[i] == 1)
        unit = embed(bank_run, Path("data") / scores.clip[row])
        there = (references["section"][references["clip"]] == 1) & (owner != scores.clip[row])
        cosines = np.sort(unit @ references["unit"][there].T, axis=1)[:, -10:]
        assert scores.score[row] == pytest.approx((1 - cosines.mean(axis=1)).mean(), abs=1e-6)


def embed(run: Any, path: Path) -> np.ndarray:
    """The unit embeddings of a file's pieces."""
    from asd.data.decoding import Decoding, read_clip
    from asd.data.waveforms import WaveformBank

    samples = read_clip(path, Decoding(16_000, 1))
    [unit] = run.extractor.extract(WaveformBank.from_arrays([samples]))
    return unit.numpy()


def test_pieces_tell_their_nearest_training_clips(evaluated: RunFolder) -> None:
    pieces = np.load(evaluated.scores("cosine") / "pieces.npz")
    scores = read_scores(evaluated.scores("cosine") / "scores.csv")
    assert pieces["nearest"].shape == (len(pieces["clip"]), 10)
    assert scores.is_train[pieces["nearest"]].all()
    assert (scores.section[pieces["nearest"]] == scores.section[pieces["clip"]][:, None]).all()
    assert not (pieces["nearest"] == pieces["clip"][:, None]).any()  # nobody is his own neighbour
    means = np.bincount(pieces["clip"], pieces["score"]) / np.bincount(pieces["clip"])
    np.testing.assert_allclose(means, scores.score, rtol=1e-12)


def test_any_recording_gets_the_number_of_the_file(evaluated: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    scores = read_scores(evaluated.scores("cosine") / "scores.csv")
    run = asd.load_run(RUN)
    for clip, score in zip(scores.clip[::5], scores.score[::5], strict=True):
        assert run.score(Path("data") / clip).score == score
    clip = next(c for c in scores.clip if "section_01_target_test" in c)
    capsys.readouterr()
    assert cli(["score", str(RUN), f"data/{clip}"]) == 0
    printed = capsys.readouterr().out.split("\t")
    assert float(printed[0]) == scores.score[list(scores.clip).index(clip)]
    assert cli(["score", str(RUN), f"data/{clip}", "--json", "--section", "1"]) == 0
    told = json.loads(capsys.readouterr().out)[f"data/{clip}"]
    assert told["score"] == float(printed[0])
    assert len(told["pieces"]) == len(told["seconds"]) == len(told["nearest"])


def test_a_recording_of_any_name_needs_its_section(evaluated: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    next(Path("data").rglob("*.wav")).rename("humming.wav")
    assert cli(["score", str(RUN), "humming.wav", "--section", "0"]) == 0
    assert cli(["score", str(RUN), "humming.wav"]) == 2
    assert "the name tells no section; give --section, one of [0, 1]" in capsys.readouterr().err
    assert cli(["score", str(RUN), "humming.wav", "--section", "7"]) == 2
    assert "section 7 is not known" in capsys.readouterr().err
    assert cli(["score", str(RUN), "nowhere.wav", "--section", "0"]) == 2
    assert "nowhere.wav" in capsys.readouterr().err
    assert cli(["score", "outputs/main", "humming.wav"]) == 2
    assert "is no finished run" in capsys.readouterr().err


def test_a_recording_of_a_day_is_refused(evaluated: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write("day.wav", np.zeros(33, np.int16), 16_000)
    monkeypatch.setattr("asd.inference.detector.MOST_SAMPLES", 32)
    with pytest.raises(ValueError, match=r"day\.wav: 0\.0 s of sound; at most 0\.0 s are taken as one clip\. Cut it"):
        asd.load_run(evaluated.path).score("day.wav", 0)


def test_each_score_is_printed_as_soon_as_it_is_known(evaluated: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    clips = [str(path) for path in sorted(Path("data").rglob("*.wav"))[:2]]
    assert cli(["score", str(RUN), *clips, "no.wav", "--section", "0"]) == 2
    assert [line.split("\t")[-1] for line in capsys.readouterr().out.splitlines()] == clips


def test_an_unscored_run_says_what_to_type(trained: RunFolder) -> None:
    with pytest.raises(ValueError, match=r"is not scored: python evaluate\.py name=main first"):
        asd.load_run(RUN)


def test_the_metrics_are_of_the_test_clips(evaluated: RunFolder) -> None:
    scores = read_scores(evaluated.scores("cosine") / "scores.csv")
    found = [row for row in rows("outputs/main/results/metrics.csv") if row["system"] == evaluated.system]
    assert [(row["section"], row["domain"]) for row in found] == [
        ("0", "source"), ("0", "target"), ("1", "source"), ("1", "target"),
    ]  # fmt: skip
    for row in found:
        here = (scores.split == "test") & (scores.section == int(row["section"])) & (scores.domain == row["domain"])
        expected = roc_auc_score(scores.label[here] == "anomaly", scores.score[here])
        assert float(row["auc"]) == pytest.approx(expected, abs=1e-12)
        assert (int(row["n_normal"]), int(row["n_anomaly"])) == (2, 2)


def test_the_table_says_what_it_was_measured_on(evaluated: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    table = Path("outputs/main/results/table2.md").read_text()
    assert "small-512x32-s0/train" in table
    assert "submission1 | oracle" in table
    assert "76.61/71.45" not in table  # published rows stand beside the report's own data alone
    assert "Data: folder, other data than the report's." in table
    assert "Metrics: rule of 2021: AUC and pAUC per section and domain, harmonic means." in table
    assert "A run of another phase or seed takes no part in submissions and can stand above them." in table
    systems = [row["system"] for row in rows("outputs/main/results/table2.csv")]
    assert "submission4" in systems
    summary = json.loads(Path("outputs/main/results/summary.json").read_text())
    assert summary[evaluated.system] == summary["submission4"]  # an average of one


@pytest.mark.ci
@pytest.mark.slow
def test_submissions_average_one_phase(workplace: Path, job: Job) -> None:
    for shape in ("512x32", "1024x32"):
        train(job("train", f"input={shape}"))
        train(job("finetune", f"input={shape}"))
    evaluate(job("evaluate"))
    tuned = [RunFolder(path.parent) for path in Path("outputs/main/fan").glob("*/finetune-none/config.yaml")]
    mean = np.mean([read_scores(run.scores("cosine") / "scores.csv").score for run in tuned], axis=0)
    reference = read_scores(tuned[0].scores("cosine") / "scores.csv")
    here = (reference.split == "test") & (reference.section == 0) & (reference.domain == "source")
    expected = roc_auc_score(reference.label[here] == "anomaly", mean[here])
    row = next(row for row in rows("outputs/main/results/metrics.csv") if row["system"] == "submission4")
    assert float(row["auc"]) == pytest.approx(expected, abs=1e-12)
    assert "oracle, 2 of 5 members" in Path("outputs/main/results/table2.md").read_text()


def test_the_phase_of_the_submissions() -> None:
    assert choose_phase({"train"}, None) == "train"
    assert choose_phase({"train", "finetune-none"}, None) == "finetune-none"
    assert choose_phase({"train", "finetune-none", "finetune-arcface"}, None) is None
    assert choose_phase({"train", "finetune-none"}, "train") == "train"


@pytest.mark.ci
@pytest.mark.slow
def test_several_fine_tunings_want_a_name(trained: RunFolder, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    for freeze in ("none", "arcface"):
        train(job("finetune", f"freeze={freeze}"))
    evaluate(job("evaluate"))
    assert "several fine-tunings: name one, phase=" in capsys.readouterr().out
    assert "submission" not in Path("outputs/main/results/table2.csv").read_text()
    evaluate(job("evaluate", "phase=finetune-arcface"))
    assert "submission4" in Path("outputs/main/results/table2.csv").read_text()


@pytest.mark.ci
@pytest.mark.slow
def test_machines_one_several_all(workplace: Path, job: Job) -> None:
    make_machine(Path("data"), "pump")
    for machine in ("fan", "pump"):
        train(job("train", f"machine={machine}"))
    evaluate(job("evaluate", "machine=fan"))
    assert not Path("outputs/main/pump/small-512x32-s0/train/scores").exists()
    evaluate(job("evaluate", "machine=[fan,pump]"))
    assert {row["machine"] for row in rows("outputs/main/results/metrics.csv")} == {"fan", "pump"}
    with pytest.raises(ValueError, match=r"machine=\['valve'\]: no finished run"):
        job("evaluate", "machine=[fan,valve]")


@pytest.mark.ci
@pytest.mark.slow
def test_scores_are_not_made_twice(evaluated: RunFolder, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    path = evaluated.scores("cosine") / "scores.csv"
    before = path.stat().st_mtime_ns
    evaluate(job("evaluate"))
    assert "is scored already" in capsys.readouterr().out
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"n_neighbors: 10 → 3.*scorer\.name="):
        evaluate(job("evaluate", "scorer.n_neighbors=3"))
    evaluate(job("evaluate", "scorer.n_neighbors=3", "scorer.name=cosine3"))
    assert (evaluated.scores("cosine3") / "scores.csv").is_file()
    path.write_text("damaged")
    evaluate(job("evaluate"))
    assert read_scores(path).score.size


@pytest.mark.ci
@pytest.mark.slow
def test_scores_of_another_precision_are_refused(
    evaluated: RunFolder, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(job("evaluate", "precision=32"))
    assert "scored already" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"embeddings in float32: give overwrite=true"):
        evaluate(job("evaluate", "precision=bf16"))
    evaluate(job("evaluate", "precision=bf16", "overwrite=true"))
    manifest = read_manifest(evaluated.scores("cosine") / "manifest.json")
    assert manifest
    assert manifest["precision"] == "bfloat16"


@pytest.mark.parametrize("other", ["precision=bf16", "scorer.stride=8"])
def test_no_scorer_takes_another_ones_references(evaluated: RunFolder, job: Job, other: str) -> None:
    with pytest.raises(ValueError, match=r"scores/cosine was made of embeddings with stride 16 in float32.*or remove"):
        evaluate(job("evaluate", "scorer.name=other", other))
    assert read_manifest(evaluated.scores("cosine") / "manifest.json")
    assert not evaluated.scores("other").exists()


def test_changed_data_are_refused(evaluated: RunFolder, job: Job) -> None:
    next(Path("data").rglob("*test_normal*.wav")).unlink()
    with pytest.raises(ValueError, match=r"are not those that .* was trained on"):
        evaluate(job("evaluate", "overwrite=true"))


def test_data_that_moved(evaluated: RunFolder, job: Job) -> None:
    Path("data").rename("elsewhere")
    evaluate(job("evaluate", "overwrite=true", "data.root=elsewhere"))


def test_unlabelled_clips_are_scored_and_left_out_of_the_metrics(workplace: Path, job: Job) -> None:
    for path in list(Path("data").rglob("section_01_*_test_*.wav")):
        label = 0 if "normal" in path.name else 50
        index = int(path.stem[-4:]) + label
        path.rename(path.with_name(f"{path.name[:22]}_{index:04d}.wav"))
    run = train(job("train"))
    evaluate(job("evaluate"))
    scores = read_scores(run.scores("cosine") / "scores.csv")
    assert (scores.label == "unknown").sum() == 8
    assert {row["section"] for row in rows("outputs/main/results/metrics.csv")} == {"0"}


def test_too_few_references_are_named(trained: RunFolder, job: Job) -> None:
    with pytest.raises(ValueError, match=r"fan section 00.*n_neighbors"):
        evaluate(job("evaluate", "scorer.n_neighbors=500", "scorer.name=many"))


def test_logmel_neighbour_stands_in_the_table(trained: RunFolder, job: Job) -> None:
    evaluate(job("evaluate", "logmel_neighbour=true"))
    assert "1-NN on mean log-mel" in Path("outputs/main/results/table2.md").read_text()


def test_nothing_to_evaluate(workplace: Path, job: Job) -> None:
    with pytest.raises(ValueError, match=r"no finished run in outputs/main.*train\.py makes runs"):
        job("evaluate")


def test_a_checkpoint_runs_no_code(evaluated: RunFolder) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path("executed").touch, ())

    from asd.runs.checkpoint import load_checkpoint

    torch.save({"asd": Evil()}, "evil.ckpt")
    with pytest.raises(ValueError, match=r"evil\.ckpt cannot be loaded"):
        load_checkpoint(Path("evil.ckpt"))
    assert not Path("executed").exists()


@pytest.mark.parametrize("mistake", [("scorer=lof", "scorer.n_neighbors=0"), ("scorer=bands", "scorer.bands=two")])
def test_a_scorer_of_wrong_settings_is_answered_before_clips_are_read(
    trained: RunFolder, job: Job, mistake: tuple[str, ...]
) -> None:
    shutil.rmtree("data")
    with pytest.raises(ValueError, match=mistake[-1].partition("=")[0]):
        evaluate(job("evaluate", *mistake))
