"""An exported detector gives the scores of the run that it comes from."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import asd
from asd.config import CONF
from asd.data.decoding import Decoding, from_array, read_clip
from asd.evaluation import evaluate
from asd.experiment import train
from asd.features.input import SpectrogramPieces
from asd.inference.export import build_model
from asd.inference.export_run import exported_detector
from asd.inference.export_scorers import scoring_of, state_of
from asd.runs.folder import RunFolder
from asd.scoring.cosine import CosineNeighbours
from asd.scoring.density import LocalDensity, LocalOutlierFactor
from asd.scoring.distributions import GaussianMixture, Mahalanobis, PcaResidual
from asd.scoring.domain_neighbours import DomainNeighbours
from asd.scoring.euclidean import EuclideanNeighbours
from asd.scoring.fusion import Fusion
from asd.scoring.neighbours import unit_embeddings
from asd.scoring.scorer import ClipPieces, Scorer
from asd.scoring.window_scores import FirstFeature
from asd_runtime.back_ends import back_end_scores
from asd_runtime.detector import Detector
from asd_runtime.model_file import (
    BackEndScoring,
    LogMelInput,
    Model,
    NeighbourScoring,
    PieceInput,
    read_model,
    typed,
    write_model,
)
from asd_runtime.spectrogram import clip_pieces
from asd_runtime.waveform import read_recording, to_steps
from tests.support.factory import RATE, make_machine, tone
from tests.support.jobs import compose

Job = Callable[..., dict[str, Any]]

SMALL = [
    ("backbone=small", "input=512x32"),
    ("backbone=small", "input=1024x32", "input.scale=log", "input.pad=zeros", "input.standardise=frequency"),
]
OTHER_INPUTS = [
    ("backbone=small", "input=logmel", "input.n_frames=16", "input.standardise=time_mean"),
    ("backbone=aisfx", "backbone.pretrained=false", "input=aisfx", "input.n_frames=40"),
    (
        "backbone=beats",
        "backbone.pretrained=false",
        "backbone.embedding_dim=32",
        "+backbone.n_layers=1",
        "+backbone.n_heads=2",
        "input=beats",
        "input.n_frames=40",
    ),
    (
        "backbone=eat",
        "backbone.pretrained=false",
        "backbone.embedding_dim=32",
        "+backbone.n_layers=1",
        "+backbone.n_heads=2",
        "input=eat",
        "input.n_frames=40",
    ),
    ("backbone=multiresolution", "input=waveform", "input.seconds=1.2", "loss=feature_exchange"),
    ("backbone=singleresolution", "input=waveform", "input.seconds=1.2", "loss=adaproj", "loss.scale=10"),
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


SCORERS = [
    (LocalDensity, {"n_neighbors": 5, "n_density": 3}),
    (LocalOutlierFactor, {"n_neighbors": 5}),
    (Mahalanobis, {"per_domain": True}),
    *((GaussianMixture, {"covariance": covariance}) for covariance in ("full", "tied", "diag", "spherical")),
    (PcaResidual, {"explained": 0.8, "aggregation": "max"}),
    (EuclideanNeighbours, {"n_neighbors": 3}),
    *((DomainNeighbours, {"enlarge": enlarge, "n_neighbors": k}) for enlarge, k in (("smote", 1), ("mixed", 13))),
    *((CosineNeighbours, {"n_neighbors": 3, "references": domain}) for domain in ("both", "target", "nearest")),
]


def assert_same_scores(run: RunFolder, model: Model, unit: float = 1e-2) -> None:
    """Compares every test clip with `asd score`: score, pieces and times to 1e-4 of the score, or of a unit near 0."""
    plain, detector = asd.load_run(run.path), Detector(model)
    for path in recordings():
        expected = plain.score(path)
        found = detector.score_file(path, int(path.name[8:10]), threshold="quantile=0.9")
        assert abs(found.score - expected.score) <= 1e-4 * max(abs(expected.score), unit)
        np.testing.assert_allclose(found.pieces, expected.pieces, rtol=1e-4, atol=1e-4 * unit)
        np.testing.assert_array_equal(found.seconds, expected.seconds)


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("overrides", SMALL, ids=lambda overrides: "-".join(overrides))
def test_every_input_and_scorer(workplace: Path, job: Job, overrides: tuple[str, ...]) -> None:
    run = finished(job, *overrides)
    model = build_model(exported_detector(run.path))
    write_model(Path("fan.asd"), model)
    first = Path("fan.asd").read_bytes()
    assert_same_scores(run, read_model(Path("fan.asd")))
    write_model(Path("fan.asd"), build_model(exported_detector(run.path)))
    assert Path("fan.asd").read_bytes() == first  # same run, same bytes


def pieces_of(n_clips: int, seed: int) -> ClipPieces:
    """Random unit embeddings of clips of four pieces, the last three clips of the target domain."""
    random = np.random.default_rng(seed)
    unit = unit_embeddings(torch.from_numpy(random.standard_normal((4 * n_clips, 8)).astype(np.float32)))
    return ClipPieces("fan section 00", 0, unit, np.repeat(np.arange(n_clips), 4), np.arange(n_clips) < n_clips - 3)


@pytest.mark.parametrize(("kind", "settings"), SCORERS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_scorer(kind: type[Scorer], settings: dict[str, Any]) -> None:
    scorer, pieces = kind(**settings), pieces_of(5, 1)
    assert_same_formula(scorer, pieces)
    fused = [Fusion(scorers=[kind(**settings), Mahalanobis()], how=how) for how in ("mean", "minimum")]
    for fusion in fused:
        assert_same_formula(fusion, pieces)


def assert_same_formula(scorer: Scorer, pieces: ClipPieces) -> None:
    """Compares a fitted scorer with the runtime's formula of its arrays."""
    scorer.fit(pieces_of(12, 0))
    expected = scorer.score(pieces)
    scoring = scoring_of(scorer)
    found = back_end_scores(pieces.embedding.numpy(), scoring, state_of(scorer))
    np.testing.assert_allclose(found.score, expected.pieces, rtol=1e-5, atol=1e-6)
    assert scoring.aggregation == scorer.aggregation
    if expected.nearest.shape[1]:
        np.testing.assert_array_equal(found.nearest, expected.nearest[:, 0])


def test_a_scorer_that_the_runtime_does_not_know_is_refused() -> None:
    class Own(Mahalanobis):
        pass

    for scorer in (Own(), Fusion(scorers=[Own(), Mahalanobis()]), FirstFeature()):
        with pytest.raises(ValueError, match=r"cannot be exported; BandNeighbours, Cos.* can, and Fusion of them"):
            scoring_of(scorer)


@pytest.mark.parametrize("standardise", ["piece", "frequency", "time_mean", "none"])
@pytest.mark.parametrize("scale", ["linear", "power", "log"])
def test_every_setting_of_pieces(standardise: str, scale: str) -> None:
    values = {"sample_rate": RATE, "n_fft": 254, "hop_length": 64, "n_frames": 8, "n_bins": 64, "pair_mean": True}
    values |= {"scale": scale, "pad": "reflect", "standardise": standardise}
    input = SpectrogramPieces.of({"name": "x", **values})
    clip = tone(400, 0.2, 0)
    expected = input.of_clips(torch.from_numpy(np.pad(clip, 127, mode="reflect")).float()[None], 3, 32768)
    found = np.concatenate(list(clip_pieces(clip, PieceInput(**values, stride=3))))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("method=logmel_neighbour",),
        ("method=temporal_pooling", "r=0.9", "deviation=true", "scorer.covariance=full"),
        pytest.param(
            ("method=temporal_pooling", "scorer=cosine", "scorer.n_neighbors=2", "input.pad=zeros"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda overrides: "-".join(overrides),
)
def test_methods_that_train_nothing(workplace: Path, job: Job, overrides: tuple[str, ...]) -> None:
    small = ["data=folder", "data.root=data", "machine=fan", "trainer.accelerator=cpu", "progress=false"]
    run = train(compose("train", *overrides, *small))
    evaluate(job("evaluate"))
    write_model(Path("fan.asd"), build_model(exported_detector(run.path)))
    assert_same_scores(run, read_model(Path("fan.asd")))


@pytest.mark.ci
@pytest.mark.slow
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


@pytest.mark.ci
@pytest.mark.slow
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
    for seconds in (0.01, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="--window"):
            exported_detector(evaluated.path, clip_seconds=seconds)


@pytest.mark.slow
@pytest.mark.parametrize("scorer", sorted(path.stem for path in (CONF / "scorer").glob("*.yaml")))
def test_every_configured_scorer(trained: RunFolder, job: Job, scorer: str) -> None:
    few = {"density": ["scorer.n_neighbors=4"], "lof": ["scorer.n_neighbors=4"]}
    kinds = ("cosine.CosineNeighbours", "density.LocalDensity")
    two = ", ".join(f"{{_target_: asd.scoring.{kind}, n_neighbors: 4}}" for kind in kinds)
    few["fusion"] = [f"scorer.scorers=[{two}]"]
    evaluate(job("evaluate", f"scorer={scorer}", *few.get(scorer, [])))
    unit = 10.0 if scorer == "fusion" else 1e-2  # fused: in deviations, of scores that are many of them
    assert_same_scores(trained, build_model(exported_detector(trained.path)), unit)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [*OTHER_INPUTS, *LARGE], ids=lambda overrides: "-".join(overrides))
def test_every_backbone(workplace: Path, job: Job, overrides: tuple[str, ...]) -> None:
    run = finished(job, *overrides)
    assert_same_scores(run, build_model(exported_detector(run.path)))


@pytest.mark.parametrize("manifest", ["[" * 100_000, "[]", '{"format": "asd-model-1", "sections": []}', "\x1b"])
def test_a_model_of_another_shape_names_its_file(tmp_path: Path, manifest: str) -> None:
    path = tmp_path / "fan.asd"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest)
        with archive.open("arrays.npz", "w") as file:
            np.savez(file, clips=np.zeros(1))
    with pytest.raises(ValueError, match=r"fan\.asd: no exported detector"):
        read_model(path)


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        (PieceInput, "n_fft", "x"),
        (PieceInput, "hop_length", 0),
        (PieceInput, "stride", 1.5),
        (PieceInput, "pad", "x"),
        (PieceInput, "pair_mean", 1),
        (NeighbourScoring, "n_neighbors", True),
        (BackEndScoring, "parts", "pca"),
        (LogMelInput, "power", float("nan")),
    ],
)
def test_a_setting_that_no_model_has_is_named(kind: type[Any], setting: str, value: Any) -> None:
    proper: dict[Any, Any] = {
        PieceInput: PieceInput(16_000, 2048, 512, 32, 512, "linear", True, "zeros", "piece", 16),
        LogMelInput: LogMelInput(16_000, 1024, 512, 64, 128, 2.0, "reflect", 8),
        NeighbourScoring: NeighbourScoring(10, "mean", "both"),
        BackEndScoring: BackEndScoring(["pca"], "mean", "mean"),
    }
    settings = json.loads(json.dumps(asdict(proper[kind])))
    assert typed(settings) == proper[kind]
    with pytest.raises(ValueError, match=f"^{setting} is {value!r}$"):
        typed({**settings, setting: value})


def test_recordings_finer_than_16_bit_and_beyond_full_scale_lose_nothing(workplace: Path) -> None:
    fine = tone(520, 0.5, 3) / 32768 * 1e-3  # some 10 steps of 16 bit
    kinds = {"fine": (1, "PCM_24"), "quiet": (1e-3, "FLOAT"), "loud": (1e6, "FLOAT"), "plain": (500, "PCM_16")}
    for name, (gain, subtype) in kinds.items():
        soundfile.write(f"{name}.wav", gain * fine, RATE, subtype=subtype)
        expected = read_clip(Path(f"{name}.wav"), Decoding(RATE, min_samples=1))
        read, rate = read_recording(Path(f"{name}.wav"))
        found = to_steps(read)
        np.testing.assert_array_equal(found, expected)
        assert (found.dtype, rate) == (expected.dtype, RATE)
        read = soundfile.read(f"{name}.wav")[0]
        np.testing.assert_array_equal(to_steps(read), from_array(read, RATE, Decoding(RATE, 1)))
    half = (3e6 * fine).astype(np.float16)  # beyond full scale, where float16 has no steps of 16 bit left
    np.testing.assert_array_equal(from_array(half, RATE, Decoding(RATE, 1)), to_steps(half))
    for subtype, suffix in (("PCM_24", "aiff"), ("PCM_16", "w64")):
        soundfile.write(f"cut.{suffix}", fine, RATE, subtype=subtype)
        Path(f"cut.{suffix}").write_bytes(Path(f"cut.{suffix}").read_bytes()[:-400])
        with pytest.raises(ValueError, match="truncated"):
            read_recording(Path(f"cut.{suffix}"))
