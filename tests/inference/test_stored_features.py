"""Features that are kept: used for another scorer, and only where they are the same function of the same sound."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asd.evaluation import evaluate
from asd.inference.stored_features import FeatureStore
from asd.launch.script import preflight
from asd.models.embedder import Embedder
from asd.runs.folder import RunFolder
from asd.runs.scores import read_scores

Job = Callable[..., Any]
STORE = Path("outputs/.cache/features/main-fan-small-512x32-s0-train.npz")
FEATURES = [torch.arange(6.0).view(3, 2), torch.ones(1, 2)]


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of clips whenever a network embeds them."""
    counts: list[int] = []
    original = Embedder.extract

    def extract(self: Embedder, bank: Any) -> Iterator[Tensor]:
        counts.append(len(bank))
        return original(self, bank)

    monkeypatch.setattr(Embedder, "extract", extract)
    return counts


@pytest.mark.ci
@pytest.mark.slow
def test_another_scorer_needs_no_network(trained: RunFolder, job: Job, embedded: list[int]) -> None:
    evaluate(job("evaluate"))
    evaluate(job("evaluate", "scorer=mahalanobis"))
    assert embedded == [28]
    STORE.unlink()
    before = (trained.scores("mahalanobis") / "scores.csv").read_bytes()
    shutil.rmtree(trained.scores("mahalanobis"))
    evaluate(job("evaluate", "scorer=mahalanobis"))
    assert embedded == [28, 28]
    assert (trained.scores("mahalanobis") / "scores.csv").read_bytes() == before


@pytest.mark.ci
@pytest.mark.slow
def test_several_scorers_are_one_call(trained: RunFolder, embedded: list[int]) -> None:
    words = ["-m", "scorer=cosine,mahalanobis,pca", "progress=false", "accelerator=cpu"]
    for config in preflight("evaluate", words).configs:
        evaluate(config)
    assert embedded == [28]
    assert sorted(path.name for path in trained.scores("x").parent.iterdir()) == ["cosine", "mahalanobis", "pca"]


def test_overwriting_computes_anew(trained: RunFolder, job: Job, embedded: list[int]) -> None:
    evaluate(job("evaluate"))
    evaluate(job("evaluate", "overwrite=true"))
    assert embedded == [28, 28]


@pytest.mark.ci
@pytest.mark.slow
def test_another_stride_computes_anew(trained: RunFolder, job: Job, embedded: list[int]) -> None:
    evaluate(job("evaluate"))
    shutil.rmtree(trained.scores("cosine"))
    evaluate(job("evaluate", "scorer.stride=4"))
    assert embedded == [28, 28]


def test_a_test_clip_with_other_sound_computes_anew(trained: RunFolder, job: Job, embedded: list[int]) -> None:
    evaluate(job("evaluate"))
    clip = next(Path("data").rglob("*source_test_normal_0000.wav"))
    clip.write_bytes(clip.read_bytes()[:-2] + b"\x11\x05")
    known = read_scores(trained.scores("cosine") / "scores.csv")
    row = next(row for row, path in enumerate(known.clip) if clip.name in path)
    evaluate(job("evaluate", "scorer.name=again"))
    assert embedded == [28, 28]
    assert read_scores(trained.scores("again") / "scores.csv").score[row] != known.score[row]


def test_a_damaged_file_is_said_and_replaced(
    trained: RunFolder, job: Job, embedded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(job("evaluate"))
    whole = STORE.read_bytes()
    STORE.write_bytes(whole[: len(whole) // 2])
    evaluate(job("evaluate", "scorer=mahalanobis"))
    assert "its features are computed again" in capsys.readouterr().out
    assert embedded == [28, 28]
    assert STORE.read_bytes() == whole


def test_features_come_back_as_they_were(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "a" / "b.npz", {"stride": 1})
    assert store.get(lambda: iter(FEATURES)) == FEATURES
    back = store.get(lambda: pytest.fail("they are kept"))
    assert len(back) == 2
    for one, other in zip(back, FEATURES, strict=True):
        assert torch.equal(one, other)
    assert FeatureStore(store.path, {"stride": 2}).read() is None


def test_objects_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "b.npz"
    np.savez(path, features=np.array([{}], dtype=object), n_pieces=np.array([1]), identity=np.array("{}"))
    assert FeatureStore(path, {}).read() is None
