"""Both baselines from the command's configuration to the table, and what they leave alone."""

import csv
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import roc_auc_score

import asd
from asd.cli import main as cli
from asd.data.waveforms import WaveformBank
from asd.evaluation import evaluate, score_sections
from asd.experiment import train
from asd.launch.script import preflight
from asd.methods.method import build_method, config_of
from asd.models.objective import ObjectiveModule
from asd.runs.checkpoint import load_checkpoint
from asd.runs.excluded import read_skipped
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done
from asd.runs.record import read_record
from asd.runs.scores import read_scores
from tests.support import jobs
from tests.support.factory import make_machine, scan_machine
from tests.support.originals import Originals

METHODS = ["autoencoder", "mobilenetv2"]
METHOD_CLASSES = {
    "autoencoder": "asd.methods.autoencoder.AutoencoderMethod",
    "mobilenetv2": "asd.methods.mobilenetv2.MobileNetV2Method",
}
ADDRESS = {"autoencoder": "autoencoder-128x5-s0/train", "mobilenetv2": "mobilenetv2-128x64-s0/train"}
SCORES = {"autoencoder": "mean_squared_error", "mobilenetv2": "log_odds-official_2021-hop1"}
Job = Callable[..., Any]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with clips of three seconds: an image takes two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    make_machine(tmp_path / "data", source=3, target=1, test=2, seconds=3.0)
    return tmp_path


def compose(name: str, *overrides: str) -> Any:
    """One checked configuration of train or finetune."""
    tiny = ["data=folder", "data.root=data", "machine=fan", "trainer.accelerator=cpu", "progress=false"]
    return jobs.compose(name, *defaults(tiny, overrides), *overrides)


def defaults(words: list[str], overrides: tuple[str, ...]) -> list[str]:
    """The words of keys that are not given."""
    given = {word.partition("=")[0] for word in overrides}
    return [word for word in words if word.partition("=")[0] not in given]


def baseline(method: str, *overrides: str) -> Any:
    """A tiny training of a baseline: the steps of an epoch are 4 (autoencoder: 223 windows) or 7 (28 images)."""
    batch = {"autoencoder": 64, "mobilenetv2": 4}[method]
    return compose(
        "train", f"method={method}", f"batch_size={batch}", *defaults(["trainer.max_steps=6"], overrides), *overrides
    )


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_checkpoint(run.checkpoint)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def finished(place: Path, originals: Originals, job: Job) -> Callable[[str], RunFolder]:
    """Lays out a tiny run of one baseline, evaluated."""

    def lay_out(method: str) -> RunFolder:
        def make() -> None:
            train(baseline(method))
            evaluate(job("evaluate"))

        originals.lay_out(method, make)
        return RunFolder(Path("outputs/main/fan") / ADDRESS[method])

    return lay_out


Finished = Callable[[str], RunFolder]


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_leaves_the_same_folder_as_any_run(finished: Finished, method: str) -> None:
    run = finished(method)
    assert is_done(run)
    content = torch.load(run.checkpoint, weights_only=True)
    assert content["asd"]["config"]["method"] == {"_target_": METHOD_CLASSES[method]}
    assert content["asd"]["sections"] == [0, 1]
    lines = read_record(run)
    assert lines[-1]["step"] == 6
    assert {"epoch", "loss", "lr", "pieces_per_second"} <= lines[0].keys()
    assert ("accuracy" in lines[0]) == (method == "mobilenetv2")
    scores = read_scores(run.scores(SCORES[method]) / "scores.csv")
    assert scores.clip.tolist() == scan_machine(Path("data"), "fan").path.tolist()
    assert np.isfinite(scores.score).all()
    pieces = np.load(run.scores(SCORES[method]) / "pieces.npz")
    means = np.bincount(pieces["clip"], pieces["score"]) / np.bincount(pieces["clip"])
    np.testing.assert_allclose(means, scores.score, rtol=1e-12)


def organisers_score(path: Path, state: dict[str, np.ndarray]) -> float:
    """The score of a clip as the organisers' 01_test.py computes it: librosa, vectors, network, mean squared error."""
    waveform = soundfile.read(path, dtype="float32")[0]
    mel = librosa.feature.melspectrogram(
        y=waveform, sr=16_000, n_fft=1024, hop_length=512, n_mels=128, power=2.0, pad_mode="reflect"
    )
    columns = 20.0 / 2.0 * np.log10(np.maximum(mel, sys.float_info.epsilon))
    n_vectors = columns.shape[1] - 5 + 1
    data = np.hstack([columns[:, t : t + n_vectors].T for t in range(5)])
    hidden = data.astype(np.float64)
    for layer in range(0, 27, 3):
        hidden = hidden @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]
        centred = hidden - state[f"{layer + 1}.running_mean"]
        scaled = centred / np.sqrt(state[f"{layer + 1}.running_var"] + 1e-3)
        hidden = np.maximum(scaled * state[f"{layer + 1}.weight"] + state[f"{layer + 1}.bias"], 0)
    return float(np.mean(np.square(data - (hidden @ state["27.weight"].T + state["27.bias"]))))


def test_a_score_is_the_organisers_score(finished: Finished) -> None:
    run = finished("autoencoder")
    scores = read_scores(run.scores("mean_squared_error") / "scores.csv")
    prefix = "network.layers."
    state = {key.removeprefix(prefix): value.double().numpy() for key, value in weights(run).items()}
    for clip, score in zip(scores.clip, scores.score, strict=True):
        assert score == pytest.approx(organisers_score(Path("data") / clip, state), rel=1e-6)


@pytest.mark.parametrize(
    "method", ["autoencoder", pytest.param("mobilenetv2", marks=[pytest.mark.slow, pytest.mark.ci])]
)
def test_same_seed_same_bytes(place: Path, method: str) -> None:
    first = weights(train(baseline(method)))
    assert same(first, weights(train(baseline(method, "name=again", "data.workers=1"))))
    assert not same(first, weights(train(baseline(method, "seed=1"))))


@pytest.mark.parametrize(
    ("method", "step"),
    [("autoencoder", 1), ("autoencoder", 3), pytest.param("mobilenetv2", 3, marks=[pytest.mark.slow, pytest.mark.ci])],
)
def test_an_interrupted_baseline_goes_on_to_the_bit(
    place: Path, method: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(baseline(method, "name=whole"))
    original = ObjectiveModule.training_step

    def training_step(self: ObjectiveModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectiveModule, "training_step", training_step)
        with pytest.raises(SystemExit) as end:
            train(baseline(method))
    assert end.value.code == 143
    run = train(baseline(method))
    assert same(weights(run), weights(whole))
    losses = [[(line["epoch"], line["loss"]) for line in read_record(r)] for r in (run, whole)]
    assert losses[0] == losses[1]


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_any_recording_gets_the_score_of_the_files(
    finished: Finished, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished(method)
    scores = read_scores(run.scores(SCORES[method]) / "scores.csv")
    capsys.readouterr()
    clip = str(Path("data") / scores.clip[5])
    assert cli(["score", str(run.path), clip]) == 0
    assert float(capsys.readouterr().out.split("\t")[0]) == scores.score[5]
    found = asd.load_run(run.path).score(clip)
    assert found.score == scores.score[5]
    assert found.seconds[1] == 512 / 16_000
    assert set(found.nearest.tolist()) == {""}


@pytest.mark.ci
@pytest.mark.slow
def test_the_autoencoder_knows_no_sections_the_classifier_does(finished: Finished) -> None:
    runs = {method: finished(method) for method in METHODS}
    clip = next(Path("data").rglob("section_01_source_test_normal_0000.wav"))
    Path("unnamed.wav").write_bytes(clip.read_bytes())
    expected = asd.load_run(runs["autoencoder"].path).score(clip).score
    assert asd.load_run(runs["autoencoder"].path).score("unnamed.wav").score == expected
    classifier = asd.load_run(runs["mobilenetv2"].path)
    with pytest.raises(ValueError, match=r"unnamed\.wav: the name tells no section"):
        classifier.score("unnamed.wav")
    assert classifier.score("unnamed.wav", 1).score == classifier.score(clip).score
    with pytest.raises(ValueError, match="section 7 is not known"):
        classifier.score(clip, 7)


@pytest.mark.ci
@pytest.mark.slow
def test_both_formulas_stand_side_by_side(finished: Finished, job: Job) -> None:
    run = finished("mobilenetv2")
    evaluate(job("evaluate", "log_odds.formula=corrected_2022", "log_odds.hop=8"))
    official, corrected = (
        read_scores(run.scores(name) / "scores.csv").score
        for name in ("log_odds-official_2021-hop1", "log_odds-corrected_2022-hop8")
    )
    assert not np.array_equal(official, corrected)
    assert "MobileNetV2 baseline, corrected_2022" in Path("outputs/main/results/table2.md").read_text()
    with pytest.raises(ValueError, match=r"is scored with log_odds-corrected_2022-hop8, log_odds-official.*name one"):
        asd.load_run(run.path)
    path = Path("data") / read_scores(run.scores("log_odds-corrected_2022-hop8") / "scores.csv").clip[0]
    assert asd.load_run(run.path, scorer="log_odds-corrected_2022-hop8").score(path).score == corrected[0]


@pytest.mark.ci
@pytest.mark.slow
def test_baselines_have_rows_but_take_no_part_in_submissions(
    finished: Finished, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [finished(method) for method in METHODS]
    arcface = train(job("train"))
    evaluate(job("evaluate"))
    with open("outputs/main/results/metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["system"] for row in rows} >= {arcface.system, "submission4", *(run.system for run in runs)}
    scores = read_scores(runs[0].scores("mean_squared_error") / "scores.csv")
    for row in (row for row in rows if row["system"] == runs[0].system):
        here = (scores.split == "test") & (scores.section == int(row["section"])) & (scores.domain == row["domain"])
        expected = roc_auc_score(scores.label[here] == "anomaly", scores.score[here])
        assert float(row["auc"]) == pytest.approx(expected, abs=1e-12)
    summary = json.loads(Path("outputs/main/results/summary.json").read_text())
    assert summary["submission4"] == summary[arcface.system]
    table = Path("outputs/main/results/table2.md").read_text()
    assert "| autoencoder-128x5-s0/train | Autoencoder baseline |" in table
    capsys.readouterr()
    evaluate(job("evaluate"))
    assert capsys.readouterr().out.count("is scored already") == 3


def test_the_reference_system_and_moved_data_work_for_baselines_alone(finished: Finished, job: Job) -> None:
    finished("autoencoder")
    Path("data").rename("elsewhere")
    evaluate(job("evaluate", "data.root=elsewhere", "logmel_neighbour=true"))
    assert "1-NN on mean log-mel" in Path("outputs/main/results/table2.md").read_text()


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("form", ["npz", "pt"])
def test_given_weights_are_scored_as_they_are(finished: Finished, form: str) -> None:
    """docs/baselines.md: nothing learns at lr 0, and statistics stand still at momentum 1."""
    given = weights(finished("autoencoder"))
    state = {key.removeprefix("network."): value for key, value in given.items()}
    if form == "pt":
        torch.save(state, "given.pt")
    else:
        arrays = [value.numpy() for key, value in state.items() if "num_batches" not in key]
        np.savez("given.npz", *(array.T for array in arrays))
    still = ["optimizer.lr=0", "backbone.momentum=1", "trainer.max_steps=1"]
    run = train(baseline("autoencoder", "name=given", f"weights=given.{form}", *still))
    found = weights(run)
    assert all(torch.equal(found[key], given[key]) for key in given if "num_batches" not in key)
    with pytest.raises(ValueError, match=r"weights=nothing\.pt does not fit"):
        train(baseline("autoencoder", "name=none", "weights=nothing.pt"))


def test_arcface_is_what_it_was(place: Path, job: Job) -> None:
    """No key of the configuration and no address tells that there are other methods."""
    run = train(job("train"))
    assert run.path == Path("outputs/main/fan/small-512x32-s0/train")
    config = run.read_config()
    assert config["method"] == {"_target_": "asd.methods.arcface.ArcFaceMethod"}
    assert not {"hold_out", "weights"} & config.keys()


@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_has_one_phase(place: Path, method: str) -> None:
    with pytest.raises(ValueError, match=rf"method={method} has one phase, .*: python train\.py method={method} …"):
        compose("finetune", f"method={method}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["method=autoencoder", "backbone=resnet50"], r"backbone belongs to method=arcface, not to method=autoencoder"),
        (["method=autoencoder", "loss.margin=0.2"], r"loss\.margin belongs to method=arcface, not to method=autoenc"),
        (["method=autoencoder", "+loss.margin=0.2"], r"loss belongs to method=arcface, not to Autoenc"),
        (["method=autoencoder", "backbone.width=0.5"], r"backbone\.width belongs to method=mobilenetv2, not to"),
        (["-m", "method=arcface,autoencoder", "mixup.probability=0"], r"mixup\.probability belongs to method=arcface"),
        (["hold_out=0.1"], r"hold_out belongs to method=autoencoder and mobilenetv2, not to method=arcface"),
        (["experiment=smoke", "method=autoencoder"], r"backbone belongs to method=arcface, not to method=autoencoder"),
        (
            ["experiment=smoke", "+hold_out=0.1"],
            r"hold_out belongs to method=autoencoder and mobilenetv2, not to ArcFa",
        ),
        (["method=autoencode"], r"method=autoencode: no such choice\. Did you mean autoencoder"),
        (["method=autoencoder", "trainer.devices=2"], r"trainer\.devices=2: this method trains on one .*devices=1"),
        (["method=autoencoder", "hold_out=1"], r"hold_out=1 is not allowed: give a number from 0 to 0\.9"),
    ],
)
def test_keys_of_another_method_are_refused(place: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message):
        preflight("train", ["machine=fan", "data=folder", "data.root=data", *arguments])


def test_a_width_that_no_network_has_is_named_before_a_sweep_starts(place: Path) -> None:
    with pytest.raises(ValueError, match=r"^backbone\.width=0\.6: must be one of 0\.35, 0\.5"):
        preflight(
            "train",
            ["-m", "machine=fan", "data=folder", "data.root=data", "method=mobilenetv2", "backbone.width=0.5,0.6"],
        )
    assert not list(Path("outputs").rglob("*.bank"))


def test_a_classifier_needs_two_sections(place: Path) -> None:
    for path in Path("data").rglob("section_01*.wav"):
        path.unlink()
    train(baseline("autoencoder"))
    with pytest.raises(ValueError, match=r"fan: one section with training clips; a classifier of sections needs"):
        train(baseline("mobilenetv2"))


@pytest.mark.ci
@pytest.mark.slow
def test_a_section_without_training_clips_is_named(finished: Finished) -> None:
    run = finished("mobilenetv2")
    method = build_method(config_of(run))
    choice = method.choose(SCORES["mobilenetv2"], {"formula": "official_2021", "hop": 1})
    extractor = method.extractor(load_checkpoint(run.checkpoint), choice, torch.device("cpu"), 32)
    table = scan_machine(Path("data"), "fan")
    bank = WaveformBank.from_arrays([np.zeros(48_000, np.int16)] * len(table))
    features = list(extractor.extract(bank))
    assert np.isfinite(score_sections(table, features, choice, False).clips).all()
    test_clip = np.flatnonzero(~np.asarray(table.is_train))[-1]
    unknown = replace(table, section=np.where(np.arange(len(table)) == test_clip, 5, table.section))
    with pytest.raises(ValueError, match=r"section 05 has no training clips: the network knows \[0, 1\]"):
        score_sections(unknown, features, choice, False)


def test_clips_that_cannot_be_used_are_left_out_and_listed(place: Path, job: Job) -> None:
    for name in ("source_train_normal_0001", "target_test_normal_0000"):
        next(Path("data").rglob(f"section_00_{name}.wav")).write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"2 clips cannot be used"):
        train(baseline("autoencoder", "name=strict"))
    run = train(baseline("autoencoder", "data.on_bad_clip=skip"))
    evaluate(job("evaluate"))
    folder = run.scores("mean_squared_error")
    assert len(read_scores(folder / "scores.csv").clip) == 22
    assert set(read_skipped(folder)) == set(read_skipped(run.path))
    assert len(read_skipped(folder)) == 2
    assert "2 clips were SKIPPED" in Path("outputs/main/results/table2.md").read_text()


def test_an_unscored_or_unfinished_baseline_is_named(place: Path) -> None:
    run = train(baseline("autoencoder"))
    with pytest.raises(ValueError, match=r"is not scored: python evaluate\.py name=main first"):
        asd.load_run(run.path)
    run.manifest.unlink()
    with pytest.raises(ValueError, match="is no finished run"):
        asd.load_run(run.path)


def test_the_organisers_numbers_stand_in_conf(place: Path) -> None:
    autoencoder, mobilenet = (compose("train", f"method={method}") for method in METHODS)
    shared = {"sample_rate": 16_000, "n_fft": 1024, "hop_length": 512, "n_mels": 128, "power": 2.0, "pad": "reflect"}
    for config in (autoencoder, mobilenet):
        assert {key: getattr(config.input, key) for key in shared} == shared
        assert config.hold_out == 0.1
        assert (config.optimizer.betas, config.optimizer.eps) == ([0.9, 0.999], 1e-7)
        assert config.backbone.arguments["epsilon"] == 0.001
    assert (autoencoder.trainer.max_epochs, autoencoder.batch_size, autoencoder.optimizer.lr) == (100, 512, 1e-3)
    assert (mobilenet.trainer.max_epochs, mobilenet.batch_size, mobilenet.optimizer.lr) == (20, 32, 1e-5)
    assert (autoencoder.input.n_frames, mobilenet.input.n_frames) == (5, 64)
    assert (autoencoder.input.frame_hop, mobilenet.input.frame_hop) == (1, 8)
    momentum = [config.backbone.arguments["momentum"] for config in (autoencoder, mobilenet)]
    assert (momentum, mobilenet.backbone.arguments["width"]) == ([0.99, 0.999], 0.5)


@pytest.mark.slow
@pytest.mark.ci
def test_both_baselines_on_all_machines(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd.launch.script.require", lambda config, words, networks: None)  # the data set is not there
    jobs = preflight("train", ["-m", "experiment=baselines"]).configs
    assert len({config.folder() for config in jobs}) == len(jobs) == 14
    assert {config.name for config in jobs} == {"report"}


def test_the_development_set_alone(place: Path) -> None:
    run = train(compose("train", "method=autoencoder", "data.root=data/dev_data", "trainer.max_steps=1"))
    assert is_done(run)


@pytest.mark.slow
def test_the_autoencoder_learns(place: Path) -> None:
    run = train(baseline("autoencoder", "trainer.max_steps=300"))
    losses = [line["loss"] for line in read_record(run)]
    assert losses[-1] < losses[0] / 10  # 19 to 25 times less, by the processor's rounding
