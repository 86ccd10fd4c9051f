"""An exported detector gives the scores of the run that it comes from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asd
from asd.evaluation import evaluate
from asd.experiment import train
from asd.inference.export import build_model
from asd.inference.export_run import exported_detector
from asd.runs.folder import RunFolder
from asd_runtime.detector import Detector
from asd_runtime.model_file import Model, read_model, write_model
from tests.support.factory import make_machine
from tests.support.jobs import compose

Job = Callable[..., dict[str, Any]]

SMALL = [
    ("backbone=small", "input=512x32"),
    ("backbone=small", "input=1024x32", "input.scale=log", "input.pad=zeros", "input.standardise=frequency"),
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
        found = detector.score_file(path, int(path.name[8:10]), threshold="quantile=0.9")
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


@pytest.mark.parametrize("method", ["autoencoder", "mobilenetv2"])
def test_both_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Job, method: str) -> None:
    monkeypatch.chdir(tmp_path)
    make_machine(tmp_path / "data", source=3, target=1, test=1, seconds=3.0)
    tiny = ["data=folder", "data.root=data", "machine=fan", "trainer.accelerator=cpu", "progress=false"]
    run = train(compose("train", f"method={method}", "batch_size=4", "trainer.max_steps=3", *tiny))
    evaluate(job("evaluate"))
    assert_same_scores(run, build_model(exported_detector(run.path)))
    with pytest.raises(ValueError, match="--references"):
        build_model(exported_detector(run.path), n_references=5)


def test_fewer_references_are_stated_with_their_cost(evaluated: RunFolder) -> None:
    whole = build_model(exported_detector(evaluated.path))
    model = build_model(exported_detector(evaluated.path), n_references=12, fp16=True)
    for note in model.notes["references"]:
        assert note["kept"] == note["of"] == 12
        assert note["auc"] == note["auc_with_all"]
    with pytest.raises(ValueError, match="keep more"):
        build_model(exported_detector(evaluated.path), n_references=11)
    assert model.sections[0].references.unit.dtype == np.float16
    assert len(model.network) < len(whole.network)
    with pytest.raises(ValueError, match="section 7 is not known"):
        exported_detector(evaluated.path, only=[7])


@pytest.mark.slow
@pytest.mark.parametrize("overrides", LARGE, ids=lambda overrides: "-".join(overrides))
def test_every_backbone(workplace: Path, job: Job, overrides: tuple[str, ...]) -> None:
    run = finished(job, *overrides)
    assert_same_scores(run, build_model(exported_detector(run.path)))
