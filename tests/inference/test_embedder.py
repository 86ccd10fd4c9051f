"""Embedding fast gives the scores of embedding slowly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from asd.config.components import Component
from asd.data.clips import ClipTable
from asd.data.decoding import Decoding
from asd.data.waveforms import WaveformBank
from asd.evaluation import score_sections
from asd.experiment import train
from asd.methods.method import ScorerChoice, build_method, config_of
from asd.models import embedder as embedder_file
from asd.models.embedder import Embedder, runs_of_one_length
from asd.runs.checkpoint import load_checkpoint, load_part
from asd.runs.folder import RunFolder
from tests.support.factory import make_machine, scan_machine

Job = Callable[..., Any]
CPU = torch.device("cpu")
SETTINGS = {"n_neighbors": 10, "aggregation": "mean", "references": "both"}
COSINE = Component.of({"_target_": "asd.scoring.cosine.CosineNeighbours", **SETTINGS})
CHOICE = ScorerChoice("cosine", COSINE, SETTINGS, stride=16, keeps_references=True)


def fast_embedder(run: RunFolder, precision: str | int = 32) -> Embedder:
    """The network of a run as evaluate.py has it."""
    found = build_method(config_of(run)).extractor(load_checkpoint(run.checkpoint), CHOICE, CPU, precision)
    assert isinstance(found, Embedder)
    return found


def plain_embedder(run: RunFolder) -> Embedder:
    """The network as it was trained: nothing folded, float32, contiguous."""
    method: Any = build_method(config_of(run))
    backbone, _ = method.backbone()
    load_part(load_checkpoint(run.checkpoint), "backbone", backbone)
    return Embedder(backbone.eval(), method.input, 16, CPU)


def scores(embedder: Embedder, bank: WaveformBank, table: ClipTable) -> np.ndarray:
    """Of all test clips."""
    found = score_sections(table, list(embedder.extract(bank)), CHOICE, False)
    return found.clips[~table.is_train]


def test_fast_scores_are_the_slow_ones(tmp_path: Path, workplace: Path, job: Job) -> None:
    root = make_machine(tmp_path / "more", source=8, test=12)
    run = train(job("train", "data.root=more", "trainer.max_steps=30", "input.scale=log"))
    table = scan_machine(root, "fan")
    bank = WaveformBank.open(table, tmp_path / "cache", Decoding(16_000, 1), progress=False)
    slow = scores(plain_embedder(run), bank, table)
    anomalous = np.array(["anomaly" in path for path in table.path[~table.is_train]])
    for precision in (32, "bf16"):
        fast = scores(fast_embedder(run, precision), bank, table)
        assert not np.array_equal(slow, fast)
        assert spearmanr(slow, fast).statistic >= 0.999
        assert abs(roc_auc_score(anomalous, slow) - roc_auc_score(anomalous, fast)) <= 0.005


def test_clips_together_are_embedded_as_alone(trained: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = fast_embedder(trained)
    random = np.random.default_rng(0)
    lengths = (24_000, 24_000, 30_000, 24_000, 24_000, 24_000)
    clips = [random.integers(-9000, 9000, n).astype(np.int16) for n in lengths]
    bank = WaveformBank.from_arrays(clips)
    alone = [each for clip in clips for each in embedder.extract(WaveformBank.from_arrays([clip]))]
    n_threads = torch.get_num_threads()
    for n in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n: n)
        beside = list(embedder.extract(bank))
        assert all(torch.equal(a, b) for a, b in zip(alone, beside, strict=True))  # same clip, same bytes
    monkeypatch.undo()
    torch.set_num_threads(n_threads)
    together = [each for clips in ([0, 1], [2], [3, 4, 5]) for each in embedder.embed_together(bank, clips)]
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_neighbours_of_one_length_go_together() -> None:
    lengths = np.array([5, 5, 5, 7, 5, 5])
    assert list(runs_of_one_length(lengths, 2)) == [[0, 1], [2], [3], [4, 5]]
    assert list(runs_of_one_length(lengths, 9)) == [[0, 1, 2], [3], [4, 5]]
    assert list(runs_of_one_length(lengths[:0], 2)) == []
    assert embedder_file.CLIPS_AT_ONCE_ON_GPU > 1


def test_auto_is_float32_on_the_cpu(trained: RunFolder) -> None:
    assert fast_embedder(trained, "auto").precision is torch.float32
    assert fast_embedder(trained, "bf16").precision is torch.bfloat16
