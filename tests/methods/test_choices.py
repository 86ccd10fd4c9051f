"""Every head, input, network and scorer of conf/ from the command's configuration to scores of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asd
from asd.config import CONF
from asd.evaluation import evaluate
from asd.experiment import train
from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from asd.runs.scores import read_scores

Job = Callable[..., Any]
TWO_CLASSES = {"adacos": ["loss.scale=10"], "adaproj": ["loss.scale=10"]}  # whose own scale would be 0
NETWORKS = {
    "logmel pieces": ["input=logmel", "input.n_frames=16", "input.n_mels=64"],
    "four branches": ["backbone=multiresolution", "input.seconds=1.4", "loss=feature_exchange"],
    "two branches": ["backbone=singleresolution", "input.seconds=1.4", "loss=subspace",
                     "loss.n_branches=2"],
    "aisfx": ["backbone=aisfx", "backbone.pretrained=false", "input.n_frames=16"],
    "beats": ["backbone=beats", "backbone.pretrained=false", "backbone.embedding_dim=32", "+backbone.n_layers=1",
              "+backbone.n_heads=2", "input.n_frames=64"],
    "eat": ["backbone=eat", "backbone.pretrained=false", "backbone.embedding_dim=32", "+backbone.n_layers=1",
            "+backbone.n_heads=2", "input.n_frames=64"],
    "adamw": ["optimizer=adamw", "schedule=constant"],
}  # fmt: skip


def choices(group: str) -> list[str]:
    """The files of a group of conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("loss", choices("loss"))
def test_every_head_learns_sections(workplace: Path, job: Job, loss: str) -> None:
    run = train(job("train", f"loss={loss}", *TWO_CLASSES.get(loss, [])))
    last = read_record(run)[-1]
    assert np.isfinite(last["loss"])
    assert 0 <= last["accuracy"] <= 1
    evaluate(job("evaluate"))
    assert np.isfinite(read_scores(run.scores("cosine") / "scores.csv").score).all()


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_and_input(workplace: Path, job: Job, network: str) -> None:
    run = train(job("train", *NETWORKS[network], "trainer.max_steps=1"))
    evaluate(job("evaluate", "scorer.n_neighbors=2"))
    scores = read_scores(run.scores("cosine") / "scores.csv")
    assert np.isfinite(scores.score).all()
    assert len(set(scores.score)) > len(scores.score) // 2


@pytest.mark.parametrize("scorer", choices("scorer"))
def test_every_scorer_scores_a_trained_run(trained: RunFolder, job: Job, scorer: str) -> None:
    evaluate(job("evaluate", f"scorer={scorer}", "scorer.stride=4"))
    scores = read_scores(trained.scores(scorer) / "scores.csv")
    assert np.isfinite(scores.score).all()
    assert len(set(scores.score)) > len(scores.score) // 2
    detector = asd.load_run(trained.path, scorer=scorer)
    for row in (0, len(scores.score) - 1):
        path = Path("data") / scores.clip[row]
        if scores.split[row] == "test":
            assert detector.score(path).score == pytest.approx(scores.score[row], rel=1e-5, abs=1e-6)
    assert set(scores.split) == {"train", "test"}
