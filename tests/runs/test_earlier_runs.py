"""A run that version 0.1.0 made, at commit 306b0e5, is one of today's: its scores, its results, its place on disk.

It is in tests/fixtures/run_306b0e5; its recordings are made again:
`python train.py data=folder data.root=data machine=fan backbone=small batch_size=4 trainer.max_steps=3
trainer.accelerator=cpu progress=false`, then `python evaluate.py accelerator=cpu progress=false`.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import asd
from asd.evaluation import evaluate
from asd.experiment import train
from asd.launch.script import preflight
from asd.runs.checkpoint import load_checkpoint
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done
from asd.runs.scores import read_scores

KEPT = Path(__file__).parents[1] / "fixtures" / "run_306b0e5"
WORDS = ["data=folder", "data.root=data", "machine=fan", "backbone=small", "batch_size=4", "trainer.max_steps=3"]
WORDS += ["trainer.accelerator=cpu", "progress=false"]
ROUNDING = 1e-6  # other processors round differently


@pytest.fixture
def earlier(workplace: Path) -> RunFolder:
    """The run, where today's commands look for it."""
    run = RunFolder(Path("outputs/main/fan/small-512x32-s0/train"))
    shutil.copytree(KEPT, run.path)
    return run


def files(run: RunFolder) -> dict[Path, bytes]:
    """What is in its folder, but for who held it."""
    return {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path != run.claim}


def test_every_recording_has_the_score_that_it_had(earlier: RunFolder) -> None:
    known = read_scores(earlier.scores("cosine") / "scores.csv")
    detector = asd.load_run(earlier.path)
    found = [detector.score(Path("data") / clip).score for clip in known.clip]
    np.testing.assert_allclose(found, known.score, rtol=0, atol=ROUNDING)
    assert len(set(known.score)) == len(known.score) == 28


def test_embedding_it_anew_gives_the_same_scores(earlier: RunFolder) -> None:
    known = read_scores(earlier.scores("cosine") / "scores.csv")
    before = np.load(earlier.references)["unit"]
    evaluate(preflight("evaluate", ["overwrite=true", "accelerator=cpu", "progress=false"]).configs[0])
    found = read_scores(earlier.scores("cosine") / "scores.csv")
    assert found.clip.tolist() == known.clip.tolist()
    np.testing.assert_allclose(found.score, known.score, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(np.load(earlier.references)["unit"], before, rtol=0, atol=ROUNDING)


def test_it_is_scored_already(earlier: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(earlier)
    evaluate(preflight("evaluate", ["accelerator=cpu", "progress=false"]).configs[0])
    assert f"{earlier.path} is scored already" in capsys.readouterr().out
    assert files(earlier) == before
    assert earlier.system in Path("outputs/main/results/table2.csv").read_text()


def test_the_same_words_find_it_finished(earlier: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(earlier)
    assert train(preflight("train", WORDS).configs[0]) == earlier
    assert f"{earlier.path} is finished: nothing to do" in capsys.readouterr().out
    assert files(earlier) == before


@pytest.mark.parametrize(
    ("word", "line"), [("loss.margin=0.2", r"loss\.margin: 0\.05 → 0\.2"), ("schedule=constant", r"schedule\._target_")]
)
def test_other_words_are_another_run(earlier: RunFolder, word: str, line: str) -> None:
    with pytest.raises(ValueError, match=rf"belongs to another configuration:\s+{line}"):
        preflight("train", [*WORDS, word])


def test_one_that_was_stopped_goes_on(earlier: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    expected = load_checkpoint(earlier.checkpoint)["state_dict"]
    earlier.manifest.unlink()  # as if it had been killed before its last file
    train(preflight("train", WORDS).configs[0])
    assert is_done(earlier)
    assert "going on at step 3" in capsys.readouterr().out
    found = load_checkpoint(earlier.checkpoint)["state_dict"]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_fine_tuning_starts_from_it(earlier: RunFolder, job: Callable[..., Any]) -> None:
    start = load_checkpoint(earlier.checkpoint)["state_dict"]
    tuned = train(job("finetune", "freeze=until_last_block"))
    checkpoint = load_checkpoint(tuned.checkpoint)
    assert checkpoint["asd"]["frozen"]
    assert all(torch.equal(checkpoint["state_dict"][name], start[name]) for name in checkpoint["asd"]["frozen"])
