"""Exported detectors for the tests of the runtime."""

from pathlib import Path

import numpy as np
import pytest

from asd_runtime.logmel import pooled_log_mel
from asd_runtime.model_file import (
    BackEndScoring,
    Identity,
    Model,
    PooledInput,
    Section,
    TailQuantiles,
    read_model,
    write_model,
)
from tests.support.factory import RATE, tone
from tests.support.originals import Originals


@pytest.fixture
def model(request: pytest.FixtureRequest, originals: Originals) -> Model:
    """A tiny exported run that listens to windows of 1.5 s; its file is fan.asd."""
    from asd.inference.export import build_model
    from asd.inference.export_run import exported_detector

    evaluated = request.getfixturevalue("evaluated")

    def export() -> None:
        write_model(Path("fan.asd"), build_model(exported_detector(evaluated.path, clip_seconds=1.5)))

    originals.lay_out("exported", export)
    return read_model(Path("fan.asd"))


@pytest.fixture
def plain_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A detector of no network, which needs no torch: the distance between mean spectra; its file is fan.asd."""
    monkeypatch.chdir(tmp_path)
    settings = PooledInput(RATE, n_fft=256, hop_length=256, pad="zeros", r=1.0, floor=1e-10)
    bands = np.repeat(np.eye(16), 8, axis=0)
    filters = np.concatenate([bands, bands[-1:]])
    model = Model(
        identity=Identity("main/fan/plain/train", "fan", "LogmelNeighbourMethod", "nearest", "", {}),
        input=settings,
        scoring=BackEndScoring(["euclidean"], "mean", "mean"),
        clip_samples=2 * RATE,
        sections={number: section(number, settings, filters) for number in (0, 1)},
        network=None,
        mel_filters=filters,
    )
    write_model(Path("fan.asd"), model)
    return model


def section(number: int, settings: PooledInput, filters: np.ndarray) -> Section:
    """A section that hums at a frequency of its own, and what is known of ten clips."""
    clips = [tone(400 * (1 + number), 2, seed) for seed in range(10)]
    vectors = np.concatenate([pooled_log_mel(clip, settings, filters) for clip in clips]).astype(np.float64)
    centre = vectors.mean(axis=0)
    state = {"reference": vectors - centre, "centre": centre, "clip": np.arange(10), "k": np.array(1)}
    levels = TailQuantiles(np.array([0.5, 0.1, 1e-6]), np.array([1.0, 2.0, 20.0]))
    apart = np.linalg.norm(vectors[:, None] - vectors, axis=2) + np.diag(np.full(10, np.inf))
    return Section(
        number=number,
        class_index=number,
        clips=np.array([f"fan/train/section_{number:02d}_{clip}.wav" for clip in range(10)]),
        training_scores=apart.min(axis=1),
        is_source=np.arange(10) < 7,
        gamma={"both": levels},
        state={"mean": np.zeros(1), "deviation": np.ones(1)} | {f"0.{name}": array for name, array in state.items()},
    )
