"""An exported detector gives the scores of the run that it comes from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asd
import asd_runtime
from asd.evaluation import evaluate
from asd.experiment import train
from asd.inference.export import build_model
from asd.inference.export_run import exported_detector
from asd.runs.folder import RunFolder
from asd_runtime.detector import Detector
from asd_runtime.model_file import Model, read_model, write_model
from tests.support.factory import make_machine

Job = Callable[..., dict[str, Any]]

SMALL = [
    ("backbone=small", "input=512x32"),
    ("backbone=small", "input=1024x32", "input.scale=log", "input.pad=zeros", "input.standardise=frequency"),
    ("method=autoencoder", "backbone=autoencoder"),
]
LARGE = [
    (f"backbone={backbone}", f"input={size}")
    for backbone in ("mobilefacenet", "resnet50", "efficientnet_b0")
    for size in ("512x32", "1024x32")
]


def finished(job: Job, *overrides: str) -> RunFolder:
    """A trained and evaluated run."""
    run = train(job("train", *overrides))
    evaluate(job("evaluate"))
    return run


def recordings() -> list[Path]:
    """All test clips."""
    return sorted(Path("data/dev_data/fan").glob("*_test/*.wav"))


def assert_same_scores(run: RunFolder, model: Model) -> None:
    """Compares every test clip with `asd score`: score, pieces, times and nearest clips."""
    plain, detector = asd.load_run(run.path), Detector(model)
    for path in recordings():
        expected = plain.score(path)
        found = detector.score_file(path, int(path.name[8:10]))
        assert abs(found.score - expected.score) <= 1e-4 * max(abs(expected.score), 1e-2)
        np.testing.assert_allclose(found.pieces, expected.pieces, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(found.seconds, expected.seconds)


@pytest.mark.parametrize("overrides", SMALL, ids=lambda overrides: "-".join(overrides))
def test_every_input_and_scorer(workplace: Path, job: Job, overrides: tuple[str, ...]) -> None:
    run = finished(job, *overrides)
    model = build_model(exported_detector(run.path))
    write_model(Path("fan.asd"), model)
    first = Path("fan.asd").read_bytes()
    assert_same_scores(run, read_model(Path("fan.asd")))
    write_model(Path("fan.asd"), build_model(exported_detector(run.path)))
    assert Path("fan.asd").read_bytes() == first  # same run, same bytes
