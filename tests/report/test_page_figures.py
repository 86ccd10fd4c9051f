"""The numbers behind the page, each against a plain calculation."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from asd.report.clips import clip_rows, listening_order, worst_errors
from asd.report.page import tables
from asd.report.page.load import read_grid
from asd.report.page.media import MediaStore, decibels
from asd.report.page.render import signed
from asd.report.page.timeline import Columns, Timeline, timeline
from asd.report.projection import MAX_CLIPS, confusion, project
from asd.runs.recorded import RecordedInput
from asd.scoring.thresholds import Threshold
from tests.support.factory import make_machine
from tests.support.grid_files import CONFIG, make_grid


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return make_grid(tmp_path / "outputs" / "main")


def test_gain_by_hand(grid: Path) -> None:
    source, target = tables.gains(read_grid(grid), "fan")
    assert (source.domain, target.domain) == ("source", "target")
    assert source.change == pytest.approx(5.0)
    assert source.before == pytest.approx(70.0)
    assert (source.spread, source.n_systems) == (None, 1)
    assert tables.gains(read_grid(grid), "pump") == []


def test_verdicts_and_the_worst_errors(grid: Path) -> None:
    run = read_grid(grid).of_machine("pump")[0]
    rows = clip_rows(run.table, run.pieces, Threshold(0.2, "gamma", 0.9, 0.1))
    assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)
    assert {row.verdict for row in rows if row.label == "normal"} == {"passed"}
    missed = [row for row in rows if row.verdict == "missed"]
    assert {row.score for row in missed} == {0.01}
    assert all(row.train_percentile == 0 for row in missed)  # below every training clip
    assert np.mean(rows[0].pieces) == pytest.approx(rows[0].score)
    assert len(rows[0].nearest) == 2
    errors = worst_errors(rows)
    first = errors[0]
    assert (first.n_anomalies, first.n_missed, first.n_normals, first.n_false_alarms) == (12, 2, 12, 0)
    assert [clip.score for clip in first.misses][:2] == [0.01, 0.01]
    order = listening_order(errors)
    assert order[:4] == [first.misses[0], first.false_alarms[0], errors[1].misses[0], errors[1].false_alarms[0]]
    assert len(order) == 2 * 2 * 3
    assert len(worst_errors(rows, n_worst=1)[0].misses) == 1


def test_pieces_lie_in_time_where_they_were_cut() -> None:
    line = Timeline(Columns(n_frames=32, stride=16, hop_length=512, sample_rate=16_000), low=0.0, high=2.0)
    middles = line.middles(19, 10.0)  # 313 columns; the last piece starts at 281, not at 288
    assert middles[0] == pytest.approx(16 / 313)
    assert middles[-1] == pytest.approx((281 + 16) / 313)
    assert line.middles(4, None) == [0.125, 0.375, 0.625, 0.875]
    assert line.middles(2, 10.0) == [0.25, 0.75]  # another method's pieces
    assert timeline(RecordedInput(), None, [1.0], 0.5).middles(2, 10.0) == [0.25, 0.75]
    assert line.points([0.0, 1.0, 5.0], None) == "167,100 500,50 833,0"


def test_long_curves_are_thinned() -> None:
    line = Timeline(Columns(n_frames=5, stride=1, hop_length=512, sample_rate=16_000), low=0.0, high=2.0)
    assert len(line.points([1.0] * 309, 10.0).split()) == 78  # every fourth
    assert line.points([], None) == ""


@pytest.mark.parametrize(("pieces", "threshold"), [([0.1, 0.4], 0.3), ([-2.0, 1.0], 0.5), ([0.0], 0.0)])
def test_the_scale_holds_the_threshold_and_every_low_score(pieces: list[float], threshold: float) -> None:
    line = timeline(RecordedInput(**CONFIG["input"]), 16, pieces, threshold)
    assert line.height(min([0.0, *pieces])) == 100
    assert line.height(threshold) in (67, 100)  # a third of the height, or nothing lies below it
    assert line.height(1e9) == 0


def test_the_budget_is_kept(tmp_path: Path) -> None:
    make_machine(tmp_path / "data")
    clips = sorted(path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*.wav"))
    store = MediaStore(tmp_path / "data", 200_000, 16_000)
    kept = store.fill(tmp_path, clips)
    used = sum(path.stat().st_size for path in (tmp_path / "media").iterdir())
    assert used == store.used <= 200_000
    assert list(kept) == clips[: len(kept)]
    assert 0 < len(kept) < len(clips)
    assert store.n_excluded == len(clips) - len(kept)
    assert kept[clips[0]].seconds == pytest.approx(1.5)


def test_a_tone_stands_at_its_frequency() -> None:
    tone = (8000 * np.sin(2 * np.pi * 2000 * np.arange(16_000) / 16_000)).astype(np.int16)
    assert decibels(tone).mean(axis=1).argmax() == 2000 * 256 // 8000


def test_the_projection_is_the_same_every_time() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((40, 16))
    first, second = project(vectors), project(vectors)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.tsne, second.tsne)
    centred = vectors - vectors.mean(axis=0)
    lengths = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(first.explained, (lengths**2 / (lengths**2).sum())[:2])
    np.testing.assert_allclose(np.linalg.norm(first.pca, axis=0), lengths[:2])
    assert project(vectors[:4]) is None


def test_many_clips_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd.report.projection.MAX_CLIPS", 20)
    found = project(np.random.default_rng(0).standard_normal((60, 4)))
    assert found is not None
    assert (len(found.rows), found.n_clips) == (20, 60)
    assert len(set(found.rows.tolist())) == 20
    assert MAX_CLIPS >= 500


def test_confusion_by_a_plain_loop(grid: Path) -> None:
    run = read_grid(grid).of_machine("pump")[0]
    scores = run.table
    vectors = np.random.default_rng(3).standard_normal((len(scores.clip), 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = confusion(vectors, scores)
    assert found is not None
    distance = pairwise_distances(vectors, metric="cosine")
    expected = {"normal": np.zeros((2, 2)), "anomaly": np.zeros((2, 2))}
    for i in np.flatnonzero(scores.split == "test"):
        nearest = min(np.flatnonzero(scores.is_train), key=lambda j: distance[i, j])
        expected[scores.label[i]][scores.section[i], scores.section[nearest]] += 1
    np.testing.assert_array_equal(found.normal, expected["normal"])
    np.testing.assert_array_equal(found.anomaly, expected["anomaly"])


def test_a_sign_is_more_than_a_colour() -> None:
    assert [signed(value) for value in (1.25, -0.5, 0.0)] == ["▲ +1.2", "▼ −0.5", "■ +0.0"]
