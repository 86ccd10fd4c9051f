"""Detectors in Python and as `asd score`: verdicts, arrays, features, explanations, fitting in seconds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import asd
from asd.cli import main as cli
from asd.inference.detector import Detector
from asd.inference.explanation import band_edges
from asd.inference.references import read_references
from asd.runs.folder import RunFolder
from asd.runs.scores import read_scores
from asd.scoring.logmel import mean_log_mel
from asd.scoring.thresholds import find_threshold
from tests.support.factory import RATE, tone

RUN = "outputs/main/fan/small-512x32-s0/train"


@pytest.fixture
def clip(evaluated: RunFolder) -> Path:
    """A test clip of section 1."""
    return next(Path("data").rglob("section_01_source_test_anomaly_0000.wav"))


def test_a_verdict_counts_the_training_clips_of_the_section(evaluated: RunFolder, clip: Path) -> None:
    table = read_scores(evaluated.scores("cosine") / "scores.csv")
    scores = [s for s, n, t in zip(table.score, table.section, table.is_train, strict=True) if n == 1 and t]
    found = asd.load_run(RUN).score(clip, threshold="quantile=0.5", domain="both")
    assert found.section == 1
    assert found.share_below == sum(score < found.score for score in scores) / 6
    assert found.threshold.value == sorted(scores)[3]  # rank ⌈0.5 · 7⌉
    assert found.is_anomalous == (found.score > sorted(scores)[3])
    official = asd.load_run(RUN).score(clip, threshold="official", domain="both").threshold
    assert official.value == find_threshold(scores).value
    assert "learnt from 6 training clips only" in official.warnings
    target = asd.load_run(RUN).score(clip, threshold="quantile=0.5", domain="target")
    assert target.threshold.value == max(
        table.score[table.is_train & (table.section == 1) & (table.domain == "target")]
    )


def test_all_parts_of_a_training_recording_are_left_out(evaluated: RunFolder) -> None:
    run, other = asd.load_run(RUN), asd.load_run(RUN)
    for each in (run, other):
        each.choice = each.method.choose("cosine", {**each.choice.arguments, "n_neighbors": 2})
    stored = run.references
    assert stored is not None
    clip = Path("data") / stored.path[0]
    parts = np.flatnonzero(stored.section == stored.section[0])[:3]  # as if its file were three training clips
    path = stored.path.copy()
    path[parts] = path[0]
    run.references = replace(stored, path=path)
    kept = (stored.section == stored.section[0])[stored.clip] & ~np.isin(stored.clip, parts)
    cosines = np.sort(run.embed(clip) @ stored.unit[kept].T, axis=1)[:, -2:]
    assert run.score(clip).score == pytest.approx(np.mean(1 - cosines.mean(axis=1)), abs=1e-6)
    assert other.score(clip).score < run.score(clip).score  # its neighbours made it look normal
    assert set(run.score(clip).nearest) <= set(stored.path) - {path[0]}
    run.references = replace(stored, path=np.where(stored.section == stored.section[0], path[0], stored.path))
    with pytest.raises(ValueError, match="fan section 00: every training clip is a part of this recording"):
        run.score(clip)


def test_an_array_is_scored_as_its_file(clip: Path) -> None:
    run = asd.load_run(RUN)
    expected, (samples, rate) = run.score(clip), soundfile.read(clip, dtype="int16")
    for array in (samples, samples / 32768, (samples / 32768).astype(np.float32), samples[:, None]):
        found = run.score(array, 1, sample_rate=rate)
        assert found.score == expected.score
        assert found.nearest.tolist() == expected.nearest.tolist()
    with pytest.raises(ValueError, match="an array needs its sample_rate: 16000 Hz"):
        run.score(samples, 1)
    with pytest.raises(ValueError, match=r"an array: the name tells no section; .* one of \[0, 1\]"):
        run.score(samples, sample_rate=rate)
    with pytest.raises(ValueError, match="8000 Hz, expected 16000 Hz"):
        run.embed(samples, sample_rate=8000)
    with pytest.raises(ValueError, match="2 channels"):
        run.embed(np.stack([samples, samples], axis=1), sample_rate=rate)
    with pytest.raises(ValueError, match="type int64: give"):
        run.embed(samples.astype(np.int64), sample_rate=rate)
    with pytest.raises(ValueError, match="non-finite"):
        run.embed(np.full(RATE * 2, np.nan), sample_rate=rate)
    with pytest.raises(ValueError, match="silent"):
        run.embed(np.zeros(RATE * 2), sample_rate=rate)


def test_what_is_embedded_are_the_references(evaluated: RunFolder) -> None:
    kept, run = read_references(evaluated.references), asd.load_run(RUN)
    np.testing.assert_array_equal(run.embed(Path("data") / kept.path[2]), kept.unit[kept.clip == 2])


def test_a_training_clip_is_not_its_own_neighbour(evaluated: RunFolder) -> None:
    table, run = read_scores(evaluated.scores("cosine") / "scores.csv"), asd.load_run(RUN)
    row = int(np.flatnonzero(table.is_train)[0])
    found = run.score(Path("data") / table.clip[row])
    assert found.score == table.score[row]
    assert table.clip[row] not in found.nearest_clips(9)


def test_the_command_says_what_a_score_means(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = asd.load_run(RUN).score(clip)
    assert cli(["score", RUN, str(clip), "--threshold=-1", "--nearest", "2", "--fail-on-anomaly"]) == 1
    columns = capsys.readouterr().out.rstrip("\n").split("\t")
    share = f"{expected.share_below:.1%}"
    assert columns == [repr(expected.score), share, "-1", "anomalous", str(clip), ", ".join(expected.nearest_clips(2))]
    assert cli(["score", RUN, str(clip), "--threshold=9", "--fail-on-anomaly"]) == 0
    assert "\tnormal\t" in capsys.readouterr().out
    assert cli(["score", RUN, str(clip), "--threshold", "per-day=1", "--hop", "10", "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)[str(clip)]
    assert (told["score"], told["share_below"]) == (expected.score, expected.share_below)
    assert told["verdict"] in ("normal", "anomalous")
    assert "4 training clips can promise one false alarm in 5 scores" in told["threshold"]["warnings"][-1]
    assert "4 training clips can promise one false alarm in 5 scores" in printed.err
    assert cli(["score", RUN, str(clip), "--threshold", "rarely"]) == 2
    assert "threshold rarely: give official" in capsys.readouterr().err


def test_a_file_is_taken_for_an_exported_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / "odd.wav"
    soundfile.write(odd, tone(400, 0.1, 0), RATE)
    assert cli(["score", str(odd), str(odd)]) == 2
    assert "no exported detector" in capsys.readouterr().err


def hum(n: int) -> list[np.ndarray]:
    """Recordings of a tone in noise."""
    return [tone(400, 1.5, seed) for seed in range(n)]


@pytest.fixture(scope="module")
def fitted() -> Detector:
    """Nearest neighbour on mean log-mel, fitted to twelve recordings."""
    return asd.QuickMethod("logmel_neighbour").fit(hum(12), sample_rate=RATE)


def test_fitting_takes_a_list_of_clips(fitted: Detector) -> None:
    """Scores by a slow loop over mean log-mel spectra; a training clip never sees itself."""
    clips, detector = hum(12), fitted
    spectra = [mean_log_mel(clip / np.float32(32768), RATE) for clip in clips]
    loo = [min(np.linalg.norm(a - b) for j, b in enumerate(spectra) if j != i) for i, a in enumerate(spectra)]
    np.testing.assert_allclose(detector.training.score, loo, rtol=1e-4)
    new, odd = tone(400, 1.5, 99), tone(900, 1.5, 98)
    expected = min(np.linalg.norm(mean_log_mel(new / np.float32(32768), RATE) - each) for each in spectra)
    assert detector.score(new, sample_rate=RATE).score == pytest.approx(expected, rel=1e-4)
    found = detector.score(odd, sample_rate=RATE, threshold="quantile=0.9")
    assert found.is_anomalous
    assert found.share_below == 1.0
    assert found.nearest_clips(1)[0].startswith("clip ")


def test_fitting_takes_files_and_sections(workplace: Path) -> None:
    paths = sorted(Path("data").rglob("*source_train*.wav"))
    detector = asd.QuickMethod("temporal_pooling", "scorer=nearest", "r=0.5").fit(paths, [0] * 4 + [1] * 4)
    assert detector.sections == [0, 1]
    assert detector.score(paths[0], 0).score == detector.training.score[0] > 0
    assert detector.score(paths[0], 1).score > detector.score(paths[0], 0).score


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(ValueError, match="method=arcface trains a network"):
        asd.QuickMethod("arcface", "backbone=small")
    method = asd.QuickMethod("logmel_neighbour")
    with pytest.raises(ValueError, match="1 sections for 2 clips"):
        method.fit(hum(2), [0], sample_rate=RATE)
    with pytest.raises(ValueError, match="add training clips"):
        method.fit(hum(1), sample_rate=RATE)


def test_an_explanation_finds_the_band_of_a_whine(fitted: Detector) -> None:
    detector = fitted
    odd = tone(400, 1.5, 50) + (2000 * np.sin(2 * np.pi * 3000 / RATE * np.arange(int(1.5 * RATE)))).astype(np.int16)
    found = detector.explain(odd, sample_rate=RATE, n_bands=8, normal=tone(400, 1.5, 51))
    low, high, carried = found.bands[0]
    assert low < 3000 < high
    assert carried > 0.5 * found.found.score
    assert carried == found.carried.max()
    assert found.replacement == "an array"
    assert len(found.nearest) == 1  # one piece
    assert detector.explain(odd, sample_rate=RATE, n_bands=2).replacement == "silence"  # arrays have no file
    with pytest.raises(ValueError, match="n_bands=1: give 2 or more"):
        detector.explain(odd, sample_rate=RATE, n_bands=1)


def test_an_explanation_takes_the_nearest_training_clip(clip: Path) -> None:
    run = asd.load_run(RUN)
    found = run.explain(clip, n_bands=3)
    expected = run.score(clip)
    assert found.found.score == expected.score
    assert found.nearest == expected.nearest_clips(3)
    assert found.replacement == str(Path("data") / found.nearest[0])
    edges = band_edges(3, RATE)
    assert (found.edges == edges).all()
    np.testing.assert_allclose(np.diff(np.log1p(edges / 700)), np.log1p(8000 / 700) / 3)
    samples, other = (soundfile.read(path)[0] for path in (clip, found.replacement))
    spectrum, normal = np.fft.rfft(samples), np.fft.rfft(other)
    inside = np.fft.rfftfreq(len(samples), 1 / RATE) >= edges[2]
    mixed = np.fft.irfft(np.where(inside, normal, spectrum), len(samples))
    assert expected.score - run.score(mixed, 1, sample_rate=RATE).score == pytest.approx(found.carried[2], abs=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "answer"), [("n_neighbors", 1.5, "1.5 is not allowed"), ("n_neighbours", 2, "no such setting")]
)
def test_a_scorer_edited_by_hand(
    evaluated: RunFolder, clip: Path, key: str, value: object, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = evaluated.scores("cosine") / "manifest.json"
    values = json.loads(manifest.read_text())
    values["scorer"][key] = value
    manifest.write_text(json.dumps(values))
    assert cli(["score", RUN, str(clip)]) == 2
    said = capsys.readouterr().err
    assert f"scores/cosine/manifest.json: scorer: scorer.{key}" in said
    assert answer in said
