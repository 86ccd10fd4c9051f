"""Methods that train nothing, and networks that stay as they start: runs like any other."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import asd
from asd.cli import main as cli
from asd.evaluation import evaluate
from asd.experiment import train
from asd.features.temporal_pooling import pooled_log_mel
from asd.inference.references import read_references
from asd.launch.script import preflight
from asd.report.collect import logmel_scores
from asd.report.page.render import write_report
from asd.report.results import read_results
from asd.report.scored import metric_rows
from asd.runs.checkpoint import load_checkpoint
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done
from asd.runs.overview import survey
from asd.runs.record import read_record
from asd.runs.scores import read_scores
from tests.support import jobs
from tests.support.factory import RATE, tone
from tests.support.wandb_files import recorded

Job = Callable[..., Any]
SCORES = {"logmel_neighbour": "nearest", "temporal_pooling": "mixture"}
ADDRESS = {"logmel_neighbour": "logmel-nearest-s0/train", "temporal_pooling": "pooling1-mixture-s0/train"}
NAMES = sorted(SCORES)
TINY = ["data=folder", "data.root=data", "machine=fan", "progress=false", "trainer.accelerator=cpu"]


def untrained(method: str, *words: str) -> Any:
    """The configuration of a run of a method that trains nothing."""
    return jobs.compose("train", *TINY, f"method={method}", *words)


@pytest.mark.parametrize("method", NAMES)
def test_a_run_has_everything(workplace: Path, job: Job, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(untrained(method))
    assert run.path == Path("outputs/main/fan") / ADDRESS[method]
    assert is_done(run)
    assert read_record(run) == []
    found = survey(run, verify=True)
    assert (found.state, found.step, found.epoch) == ("done", 0, None)
    assert load_checkpoint(run.checkpoint)["state_dict"] == {}
    before = run.checkpoint.read_bytes()
    train(untrained(method))
    assert "is finished: nothing to do" in capsys.readouterr().out
    evaluate(job("evaluate"))
    scores = read_scores(run.scores(SCORES[method]) / "scores.csv")
    assert np.isfinite(scores.score).all()
    row = int(np.flatnonzero(scores.split == "test")[0])
    path = Path("data") / scores.clip[row]
    assert asd.load_run(run.path).score(path).score == pytest.approx(scores.score[row], rel=1e-6)
    capsys.readouterr()
    assert cli(["score", str(run.path), str(path)]) == 0
    assert f"{scores.score[row]:.4f}"[:5] in capsys.readouterr().out
    assert run.checkpoint.read_bytes() == before


@pytest.mark.parametrize("method", NAMES)
def test_a_run_that_was_killed_before_its_manifest_ends_with_the_same_bytes(workplace: Path, method: str) -> None:
    run = train(untrained(method))
    before = run.checkpoint.read_bytes()
    run.manifest.unlink()
    train(untrained(method))
    assert is_done(run)
    assert run.checkpoint.read_bytes() == before


def test_other_sound_under_the_same_names_is_refused(workplace: Path) -> None:
    run = train(untrained("logmel_neighbour"))
    run.manifest.unlink()
    clip = next(Path("data").rglob("*source_train*.wav"))
    content = bytearray(clip.read_bytes())
    content[-2] ^= 1
    clip.write_bytes(content)
    with pytest.raises(ValueError, match="began with other sound"):
        train(untrained("logmel_neighbour"))


def test_its_scores_are_those_of_the_row_that_evaluate_adds(workplace: Path, job: Job) -> None:
    run = train(untrained("logmel_neighbour"))
    evaluate(job("evaluate", "logmel_neighbour=true"))
    beside = read_scores(logmel_scores("main", "fan"))
    np.testing.assert_allclose(read_scores(run.scores("nearest") / "scores.csv").score, beside.score, rtol=1e-4)


def test_what_is_kept_are_the_pooled_energies(workplace: Path, job: Job) -> None:
    run = train(untrained("temporal_pooling", "r=0.5", "scorer.n_components=1"))
    evaluate(job("evaluate"))
    assert run.path.parent.name == "pooling0.5-mixture-s0"
    kept = read_references(run.references)
    waveform, _ = soundfile.read(Path("data") / kept.path[3])
    expected = pooled_log_mel(waveform, sample_rate=16_000, r=0.5)
    np.testing.assert_allclose(kept.unit[kept.clip == 3][0], expected, rtol=1e-4)


def test_any_scorer_is_a_run_of_its_own(workplace: Path, job: Job) -> None:
    run = train(untrained("temporal_pooling", "scorer=mahalanobis"))
    assert run.path.parent.name == "pooling1-mahalanobis-s0"
    evaluate(job("evaluate", "scorer=cosine"))
    assert json.loads((run.scores("mahalanobis") / "manifest.json").read_text())["scorer"]["per_domain"] is True
    assert not run.scores("cosine").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=logmel_neighbour", "trainer.max_steps=5"], "this method trains nothing; leave both out"),
        (["method=temporal_pooling", "trainer.max_epochs=3"], "this method trains nothing; leave both out"),
        (["method=temporal_pooling", "r=1.5"], r"r=1\.5 is not allowed"),
        (["method=logmel_neighbour", "backbone=small"], "backbone belongs to method=arcface"),
    ],
)
def test_mistakes_are_named(workplace: Path, words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preflight("train", [*TINY, *words])


def test_they_have_one_phase(workplace: Path) -> None:
    with pytest.raises(ValueError, match="has one phase"):
        preflight("finetune", [*TINY, "method=logmel_neighbour"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=logmel_neighbour", "scorer.n_neighbors=0"], r"scorer\.n_neighbors=0: give 1 or more"),
        (["method=temporal_pooling", "input.n_fft=1023"], r"input\.n_fft=1023: must be even"),
        (["method=logmel_neighbour", "scorer._target_=asd.scoring.logmel.mean_log_mel"], "scorer"),
    ],
)
def test_mistakes_in_its_parts_are_answered_before_clips_are_decoded(
    workplace: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(jobs.compose("train", *TINY, *words))
    assert not list(Path("outputs").rglob("*.bank"))


@pytest.mark.ci
@pytest.mark.slow
def test_a_network_can_stay_as_it_starts(workplace: Path, job: Job) -> None:
    run = train(job("train", "trainer.max_steps=0"))
    assert run.path.parent.name == "small-512x32-s0"
    assert is_done(run)
    evaluate(job("evaluate"))
    one_step = train(job("train", "trainer.max_steps=1", "name=step", "optimizer.lr=1e-9"))
    start, after = (load_checkpoint(each.checkpoint)["state_dict"] for each in (run, one_step))
    name = "head.weight"
    torch.testing.assert_close(start[name], after[name])
    assert set(start) == set(after)
    tuned = train(job("finetune", "freeze=none"))
    assert is_done(tuned)


def test_a_network_that_stays_is_made_once(workplace: Path, job: Job) -> None:
    run = train(job("train", "trainer.max_steps=0"))
    before = run.checkpoint.read_bytes()
    run.manifest.unlink()
    train(job("train", "trainer.max_steps=0"))
    assert run.checkpoint.read_bytes() == before
    with pytest.raises(ValueError, match=r"trainer\.max_steps: 0 → 2"):
        train(job("train"))


@pytest.mark.ci
@pytest.mark.slow
def test_a_run_without_network_and_epochs_is_mirrored(workplace: Path, job: Job, offline_wandb: None) -> None:
    train(untrained("logmel_neighbour"))
    evaluate(job("evaluate"))
    assert cli(["wandb", "sync", "--offline"]) == 0
    trained, scored, table = recorded(Path("outputs"))
    assert trained.config["backbone_name"] == trained.config["input_name"] == ""
    assert (trained.history, scored.job_type, table.job_type) == ([], "evaluate", "ensemble")


@pytest.mark.slow
@pytest.mark.ci
def test_two_folders_and_no_domain_from_training_to_the_page(workplace: Path) -> None:
    for state, factor in (("normal", 1.0), ("abnormal", 1.3)):
        for index in range(8):
            path = Path("mine") / state / f"{index}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, tone(400 * factor, 1.5, index), RATE)
    words = ["data=folder", "data.root=mine", "machine=mine", "progress=false", "trainer.accelerator=cpu"]
    run = train(preflight("train", [*words, "method=temporal_pooling"]).configs[0])
    assert run.read_config()["data"]["edition"] == "own"
    evaluate(preflight("evaluate", ["machine=mine", "progress=false", "accelerator=cpu"]).configs[0])
    assert "rule of 2020" in Path("outputs/main/results/table2.md").read_text()
    assert asd.load_run(run.path).score("mine/abnormal/0.wav").score > 0  # the name tells no section: there is one
    pages = write_report(Path("outputs/main"), data=None, media_mb=1, scorer="cosine").parent
    text = (pages / "mine--pooling1-mixture-s0--train.html").read_text()
    assert "<option>none</option>" in text
    assert 'class="sortable without-domains"' in text
    assert re.search(r'<polyline points="0,(\d+) 1000,\1"/>', text)  # one piece is the whole clip
    assert '<h2 id="sections">Sections</h2>' in (pages / "machine-mine.html").read_text()


def test_the_best_system_joins_a_network_in_an_ensemble(evaluated: RunFolder, job: Job) -> None:
    best = train(jobs.compose("train", *TINY, "experiment=best", "name=main"))
    assert best.path.parent.name == "pooling1+deviation-mahalanobis-s0"
    with pytest.raises(ValueError, match="arcfacemethod and temporalpoolingmethod have different units"):
        evaluate(job("evaluate"))
    evaluate(job("evaluate", "ensemble=zscore"))
    folders = evaluated.scores("cosine"), best.scores("mahalanobis")
    members = [read_scores(folder / "scores.csv") for folder in folders]
    scaled = [(t.score - t.score[t.is_train].mean()) / t.score[t.is_train].std() for t in members]
    found = {system.name: system for system in read_results(Path("outputs/main/results")).systems}
    together = members[0].with_score(np.mean(scaled, axis=0))
    assert found["submission4"].rows == metric_rows("fan", together, "2021")
    assert found["submission4"].note == "all 2"


def test_the_pretrained_member_of_the_best_system_trains_nothing(workplace: Path) -> None:
    config = jobs.compose("train", *TINY, "experiment=best_pretrained")
    assert (config.name, config.system, config.trainer.max_steps) == ("best", "aisfx-aisfx", 0)
