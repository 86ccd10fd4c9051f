"""What the page says, from files made by hand: figures, verdicts, budgets, names; no browser."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import pairwise_distances

from asd.cli import main as cli
from asd.report.page import tables
from asd.report.page.clips import clip_rows, listening_order, telling
from asd.report.page.gather import read_grid
from asd.report.page.media import MediaStore, decibels
from asd.report.page.names import clip_slug, machine_page, slug, system_page
from asd.report.page.projection import MAX_CLIPS, confusion, project
from asd.report.page.render import signed, write_report
from asd.report.page.threshold import Threshold, decision_threshold
from asd.report.page.timeline import Timeline
from tests.factory import make_machine
from tests.grid_files import make_run, write_pieces, write_results

TRAIN, TUNED = "net-512x32-s0/train", "net-512x32-s0/finetune-arcface"


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Two machines; on fan both phases and a failed run, on pump phase 1 alone."""
    path = tmp_path / "outputs" / "main"
    for machine, system in (("fan", TRAIN), ("fan", TUNED), ("pump", TRAIN)):
        make_run(path, machine, system)
    make_run(path, "fan", "net-512x32-s1/train", state="failed")
    write_results(
        path, {(TRAIN, "fan"): (0.7, 0.6), (TUNED, "fan"): (0.75, 0.55), (TRAIN, "pump"): (0.8, 0.5)}, "a note"
    )
    return path


@pytest.fixture
def single(tmp_path: Path) -> Path:
    """One run."""
    path = tmp_path / "outputs" / "single"
    make_run(path, "pump", TRAIN, n=2)
    write_results(path, {(TRAIN, "pump"): (0.8, 0.5)})
    return path


def test_the_report_of_a_grid(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["report", str(grid), "--media-mb", "0"]) == 0
    assert "report/index.html: open it in a browser" in capsys.readouterr().out
    names = sorted(path.name for path in (grid / "report").iterdir())
    assert [name for name in names if name.endswith(".html")] == [
        "fan--net-512x32-s0--finetune-arcface.html",
        "fan--net-512x32-s0--train.html",
        "index.html",
        "machine-fan.html",
        "machine-pump.html",
        "pump--net-512x32-s0--train.html",
    ]
    text = (grid / "report" / "report.md").read_text()
    assert "3 runs done, 1 failed, 2 missing." in text
    assert f"| {TRAIN} | a note | 70.00/60.00 (▼ −3.0 / ▼ −9.0) | 80.00/50.00 (▲ +8.6 / ▼ −12.7) | 61.50 |" in text
    assert "| finetune-arcface | target | 70.0 | ▲ +5.0 | 1 |" in text
    assert f"| {TRAIN} | 70.0/60.0 | 70.0/60.0 | 70.0/60.0 | 70.0/60.0 |" in text
    assert "Other data than the report's" in text


def test_a_report_takes_the_place_of_the_one_before(single: Path) -> None:
    (single / "report").mkdir()
    (single / "report" / "old.html").touch()
    write_report(single, data=None, media_mb=0, scorer="cosine")
    assert not (single / "report" / "old.html").exists()
    assert not list(single.glob(".*"))


def test_a_failure_leaves_the_report_before(single: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(single, data=None, media_mb=0, scorer="cosine")

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("asd.report.page.render.copy_assets", fail)
    with pytest.raises(OSError, match="No space left"):
        write_report(single, data=None, media_mb=0, scorer="cosine")
    assert (single / "report" / "index.html").is_file()
    assert not list(single.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no run lies there; give outputs/<name>"),
        (["{grid}"], "data: no recordings of fan there; give --data DIR, their place, or --media-mb 0"),
        (["{grid}", "--media-mb", "-1"], "--media-mb is -1; give 0"),
        (["{grid}", "{grid}"], "give one grid, or two behind compare"),
        (["compare", "{grid}"], "give one grid, or two behind compare"),
    ],
)
def test_mistakes_are_named(
    grid: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(grid.parents[1])
    assert cli(["report", *(argument.format(grid=grid) for argument in arguments)]) == 1
    assert message in capsys.readouterr().err


def test_a_grid_without_results_says_what_to_type(single: Path) -> None:
    (single / "results" / "metrics.csv").unlink()
    with pytest.raises(ValueError, match=r"not evaluated yet; python evaluate\.py name=single first"):
        read_grid(single)


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_names_from_disk_are_never_markup(tmp_path: Path) -> None:
    hostile = "<script>alert(1)<&\"'`|"
    path = tmp_path / hostile
    system = f"{hostile}-s0/train"
    make_run(path, hostile, system)
    make_run(path, hostile, f"{hostile}-s1/train", state="failed")
    write_results(path, {(system, hostile): (0.7, 0.6)}, hostile.replace("|", "\\|"))
    page = write_report(path, data=None, media_mb=0, scorer="cosine")
    for file in page.parent.glob("*.html"):
        assert set(file.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
        tags = Tags(file.read_text()).found
        scripts = [attributes for tag, attributes in tags if tag == "script"]
        assert all(a.get("src") == "page.js" or a.get("type") == "application/json" for a in scripts)
        assert not [(tag, a) for tag, a in tags if any(name.startswith("on") for name in a)]
        assert not [a for tag, a in tags if tag == "b"]
        for tag, attributes in tags:
            target = attributes.get("href" if tag == "a" else "src" if tag in ("img", "audio") else "") or "#"
            assert target.startswith("#") or (page.parent / target).is_file(), target
    assert "<script" not in (page.parent / "report.md").read_text()


def test_names_of_files() -> None:
    assert slug("fan") == "fan"
    assert slug("a/b") != slug("a b")
    assert slug("../..").isascii()
    assert "/" not in slug("../..")
    assert clip_slug("dev_data/fan/train/x.wav") != clip_slug("eval_data/fan/train/x.wav")
    assert clip_slug("dev_data/fan/train/x.wav").startswith("fan-x-")
    assert machine_page("fan") == "machine-fan.html"
    assert system_page("fan", "a-s0/train") == "fan--a-s0--train.html"


def test_what_is_missing(grid: Path) -> None:
    found = read_grid(grid)
    assert sorted(found.missing()) == [("pump", TUNED), ("pump", "net-512x32-s1/train")]
    assert tables.counts(found) == {"done": 3, "failed": 1, "missing": 2}
    failed = next(run for run in found.runs if run.state == "failed")
    assert (failed.why, failed.scored, failed.scores, failed.scorer, failed.pieces()) == (
        "<b>why</b>",
        None,
        None,
        {},
        None,
    )


def test_a_run_whose_files_changed_is_not_done(single: Path) -> None:
    run = read_grid(single).runs[0]
    assert run.state == "done"
    run.folder.config.write_text(run.folder.config.read_text() + "# changed\n")
    assert read_grid(single).runs[0].state == "unfinished"


def test_changed_scores_do_not_count(single: Path) -> None:
    with open(single / "pump" / TRAIN / "scores" / "cosine" / "scores.csv", "a", encoding="utf-8") as file:
        file.write("\n")
    assert read_grid(single).runs[0].scored is None


def test_a_cut_line_of_the_record_is_left_out(single: Path) -> None:
    run = read_grid(single).runs[0]
    assert [line["step"] for line in run.record()] == [2, 4, 6]


def test_another_scorer_is_shown_only_if_asked_for_or_alone(grid: Path) -> None:
    scores = grid / "pump" / TRAIN / "scores"
    (scores / "cosine").rename(scores / "other")
    assert read_grid(grid).of_machine("pump")[0].scored == scores / "other"
    assert read_grid(grid, "cosine").of_machine("fan")[0].scored is not None


def test_runs_scored_before_embeddings_were_kept_have_no_map(single: Path) -> None:
    run = read_grid(single).runs[0]
    assert run.scores is not None
    assert run.scored is not None
    write_pieces(run.scored / "pieces.npz", run.scores, np.random.default_rng(0), embedding=False)
    manifest = run.scored / "manifest.json"
    manifest.write_text('{"files": {}, "scorer": {"stride": 16}}')
    page = write_report(single, data=None, media_mb=0, scorer="cosine").with_name("pump--net-512x32-s0--train.html")
    assert "No embeddings of whole clips were kept: python evaluate.py name=single overwrite=true" in page.read_text()


def test_gain_by_hand(grid: Path) -> None:
    source, target = tables.gains(read_grid(grid), "fan")
    assert (source.domain, target.domain) == ("source", "target")
    assert source.change == pytest.approx(5.0)
    assert source.before == pytest.approx(70.0)
    assert (source.spread, source.n_systems) == (None, 1)
    assert tables.gains(read_grid(grid), "pump") == []


def test_the_threshold_is_the_quantile_of_the_fitted_gamma() -> None:
    scores = np.random.default_rng(0).gamma(3.0, 0.1, 2000)
    found = decision_threshold(scores)
    assert found.value == stats.gamma.ppf(0.9, *stats.gamma.fit(scores))
    assert found.warning == ""
    assert (scores > found.value).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("scores", [np.full(50, 0.25), np.r_[np.full(99, 1e-9), 1.0]], ids=["constant", "outlier"])
def test_a_threshold_that_does_not_fit_is_said(scores: np.ndarray) -> None:
    found = decision_threshold(scores)
    assert found.value == np.quantile(scores, 0.9)
    assert "the gamma fit failed" in found.warning


def test_no_training_scores_no_threshold() -> None:
    with pytest.raises(ValueError, match="needs the scores of training clips"):
        decision_threshold(np.array([]))


def test_verdicts_and_the_most_telling_clips(grid: Path) -> None:
    run = read_grid(grid).of_machine("pump")[0]
    assert run.scores is not None
    rows = clip_rows(run.scores, run.pieces(), Threshold(0.2, ""))
    assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)
    assert {row.verdict for row in rows if row.label == "normal"} == {"passed"}
    missed = [row for row in rows if row.verdict == "missed"]
    assert {row.score for row in missed} == {0.01}
    assert all(row.stranger == 0 for row in missed)  # below every training clip
    assert np.mean(rows[0].pieces) == pytest.approx(rows[0].score)
    assert len(rows[0].nearest) == 2
    first = telling(rows)[0]
    assert (first.n_anomalies, first.n_missed, first.n_normals, first.n_false_alarms) == (12, 2, 12, 0)
    assert [clip.score for clip in first.misses][:2] == [0.01, 0.01]
    order = listening_order(rows)
    assert order[0] == first.misses[0].row
    assert order[1:3] == first.misses[0].nearest
    assert len(order) == len(set(order))


def test_pieces_lie_in_time_where_they_were_cut() -> None:
    line = Timeline(n_frames=32, stride=16, hop_length=512, sample_rate=16_000, tops={0: 2.0})
    middles = line.middles(19, 10.0)  # 313 columns; the last piece starts at 281, not at 288
    assert middles[0] == pytest.approx(16 / 313)
    assert middles[-1] == pytest.approx((281 + 16) / 313)
    assert line.middles(4, None) == [0.125, 0.375, 0.625, 0.875]
    assert line.middles(2, 10.0) == [0.25, 0.75]  # another method's pieces
    assert line.points(0, [0.0, 1.0, 5.0], None) == "167,100 500,50 833,0"


def test_the_budget_is_kept(tmp_path: Path) -> None:
    make_machine(tmp_path / "data")
    clips = sorted(path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*.wav"))
    store = MediaStore(tmp_path / "data", 200_000, 16_000)
    kept = store.fill(tmp_path, clips)
    used = sum(path.stat().st_size for path in (tmp_path / "media").iterdir())
    assert used == store.used <= 200_000
    assert list(kept) == clips[: len(kept)]
    assert 0 < len(kept) < len(clips)
    assert store.left_out == len(clips) - len(kept)
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
    monkeypatch.setattr("asd.report.page.projection.MAX_CLIPS", 20)
    found = project(np.random.default_rng(0).standard_normal((60, 4)))
    assert found is not None
    assert (len(found.rows), found.n_clips) == (20, 60)
    assert len(set(found.rows.tolist())) == 20
    assert MAX_CLIPS >= 500


def test_confusion_by_a_plain_loop(grid: Path) -> None:
    run = read_grid(grid).of_machine("pump")[0]
    scores = run.scores
    assert scores is not None
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
