"""The page as files: what it says of a grid made by hand, hostile names, mistakes; no browser."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from asd.cli import main as cli
from asd.report.clips import read_pieces
from asd.report.page import tables
from asd.report.page.load import read_grid
from asd.report.page.media import MEGABYTE, MediaStore
from asd.report.page.names import clip_slug, machine_page, slug, system_page
from asd.report.page.render import write_report
from asd.runs.folder import RunFolder
from asd.system.files import NoRoomError
from tests.support.factory import make_machine
from tests.support.full_disk import check_message, file_limit, files_below, full_at
from tests.support.grid_files import CONFIG, TRAIN, TUNED, make_grid, make_run, write_pieces, write_results


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return make_grid(tmp_path / "outputs" / "main")


@pytest.fixture
def single(tmp_path: Path) -> Path:
    """One run."""
    path = tmp_path / "outputs" / "single"
    make_run(path, "pump", TRAIN, n=2)
    write_results(path, {(TRAIN, "pump"): (0.8, 0.5)})
    return path


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid with its page, which tests only read."""
    grid = make_grid(tmp_path_factory.mktemp("reported") / "outputs" / "main")
    assert cli(["report", str(grid), "--media-mb", "0"]) == 0
    return grid


def test_the_report_of_a_grid(reported: Path) -> None:
    names = sorted(path.name for path in (reported / "report").iterdir())
    assert [name for name in names if name.endswith(".html")] == [
        "fan--net-512x32-s0--finetune-arcface.html",
        "fan--net-512x32-s0--train.html",
        "guide.html",
        "index.html",
        "machine-fan.html",
        "machine-pump.html",
        "pump--net-512x32-s0--train.html",
    ]
    text = (reported / "report" / "report.md").read_text()
    assert "3 runs done, 1 failed, 2 missing." in text
    assert f"| {TRAIN} | a note | 70.00/60.00 | 80.00/50.00 | 63.04 |" in text
    assert "| finetune-arcface | target | 70.0 | ▲ +5.0 | 1 |" in text
    assert f"| {TRAIN} | 70.0 | 70.0 | 70.0 | 70.0 |" in text
    assert f"| {TRAIN} | 60.0 | 60.0 | 60.0 | 60.0 |" in text
    assert (
        "Data: folder, other data than the report&#39;s." in text
        or "Data: folder, other data than the report's." in text
    )
    assert "Metrics: rule of 2021" in text
    assert "Submission 4" not in text


def test_published_rows_are_folded_away_beside_other_data(reported: Path) -> None:
    index = (reported / "report" / "index.html").read_text()
    table, folded = index.split("<details>")
    assert "Autoencoder baseline" not in table
    assert "Autoencoder baseline" in folded
    assert "61.89 / 57.37" in folded  # pump
    assert not re.search("▲|▼", table)
    assert "valve" not in index  # no column of dashes for machines that nobody has


@pytest.mark.ci
@pytest.mark.slow
def test_published_rows_stand_beside_the_reports_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIG["data"], "name", "dcase2021")
    grid = tmp_path / "outputs" / "main"
    make_run(grid, "fan", TRAIN, n=2)
    write_results(grid, {(TRAIN, "fan"): (0.7, 0.6)})
    write_report(grid, data=None, media_mb=0, scorer="cosine")
    index = (grid / "report" / "index.html").read_text()
    assert "<details>" not in index
    assert 'data-system="Submission 4 (all six)"' in index
    assert "▼ −3.0" in index
    assert "70.00/60.00 (▼ −3.0 / ▼ −9.0)" in (grid / "report" / "report.md").read_text()


@pytest.mark.ci
@pytest.mark.slow
def test_later_editions_have_no_published_rows_and_say_their_rule(single: Path) -> None:
    write_results(single, {(TRAIN, "pump"): (0.8, 0.5)}, rule="2022")
    write_report(single, data=None, media_mb=0, scorer="cosine")
    for name in ("index.html", "report.md"):
        text = (single / "report" / name).read_text()
        assert "rule of 2022 and later" in text
        assert "Submission 4" not in text
    assert "rule of 2022 and later" in (single / "report" / "machine-pump.html").read_text()


def test_a_machines_page_shows_its_plots(reported: Path) -> None:
    text = (reported / "report" / "machine-fan.html").read_text()
    shown = {a["src"] for tag, a in Tags(text).found if tag == "img"}
    assert shown == {"plots/fan-roc.svg", "plots/fan-map.svg"}
    assert all((reported / "report" / str(name)).is_file() for name in shown)
    first, second = read_grid(reported).scored("fan")
    assert (first.system, second.system) == (TRAIN, TUNED)  # best first: its AUC and pAUC together


def test_a_state_from_disk_is_escaped(single: Path) -> None:
    failed = make_run(single, "pump", "net-512x32-s1/train", state="failed")
    (failed / "status.json").write_text('{"state": "<img src=x>|\\u202e", "why": "<b>"}')
    write_report(single, data=None, media_mb=0, scorer="cosine")
    text = (single / "report" / "report.md").read_text()
    assert "<img" not in text
    assert "1 damaged" in text  # no state that a run can have
    assert "\u202e" not in text
    assert "<img src=x>" not in (single / "report" / "index.html").read_text()


@pytest.mark.ci
@pytest.mark.slow
def test_a_report_takes_the_place_of_the_one_before(single: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (single / "report").mkdir()
    (single / "report" / "old.html").touch()
    assert cli(["report", str(single), "--media-mb", "0"]) == 0
    assert "report/index.html: open it in a browser" in capsys.readouterr().out
    assert not (single / "report" / "old.html").exists()
    assert not list(single.glob(".*"))


def test_what_a_user_put_beside_a_page_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "outputs" / "failed"
    make_run(path, "pump", TRAIN, state="failed")
    write_results(path, {})
    (path / "report" / "talk").mkdir(parents=True)
    (path / "report" / "talk" / "notes.md").write_text("before the first page")
    assert cli(["report", str(path)]) == 0
    (path / "report" / "machine-old.html").write_text("own")
    (path / "report" / "slides").symlink_to(tmp_path)
    for _ in range(2):
        assert cli(["report", str(path)]) == 0
    assert (path / "report" / "talk" / "notes.md").read_text() == "before the first page"
    assert (path / "report" / "machine-old.html").read_text() == "own"
    assert (path / "report" / "slides").readlink() == tmp_path


def test_a_page_does_not_replace_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "outputs" / "failed"
    make_run(path, "pump", TRAIN, state="failed")
    write_results(path, {})
    (path / "report").symlink_to(tmp_path)
    assert cli(["report", str(path)]) == 1
    assert "report is a link or a file" in capsys.readouterr().err
    assert (path / "report").is_symlink()


@pytest.mark.parametrize("full", [lambda: file_limit(1000), lambda: full_at("page.css")])
def test_a_full_disk_leaves_the_report_before(
    tmp_path: Path, full: Callable[[], AbstractContextManager[None]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a scored run, whose pictures take seconds: they go the same way."""
    path = tmp_path / "outputs" / "failed"
    make_run(path, "pump", TRAIN, state="failed")
    write_results(path, {})
    assert cli(["report", str(path)]) == 0
    (path / "report" / "own.txt").touch()
    before = files_below(path)
    capsys.readouterr()
    with full():
        assert cli(["report", str(path)]) == 1
    check_message(capsys.readouterr().err, "report")
    assert files_below(path) == before
    assert cli(["report", str(path)]) == 0


def test_a_full_disk_while_recordings_are_copied(tmp_path: Path) -> None:
    clip = "dev_data/fan/train/section_00_source_train_normal_0000.wav"
    make_machine(tmp_path, sections=1, source=1, target=0, test=0, seconds=0.2)
    store = MediaStore(tmp_path, MEGABYTE, 16_000)
    with file_limit(1000), pytest.raises(NoRoomError, match=r"no room to write .*\.flac .* bytes are free there"):
        store.fill(tmp_path, [clip])
    assert store.fill(tmp_path, [clip]).keys() == {clip}


@pytest.mark.ci
@pytest.mark.slow
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
        (["nowhere"], "there is no run; give outputs/<name>"),
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
    results = single / "results" / "results.json"
    unruled = re.sub(r'("rules": {\s*")', r"\1no ", results.read_text())
    for text in ("[]", "{", '{"version": 0}', '{"version": 1, "data": 3}', "[" * 100_000, unruled):
        results.write_text(text)
        with pytest.raises(ValueError, match=r"results\.json: .*name=single makes it anew"):
            read_grid(single)
    results.unlink()
    with pytest.raises(ValueError, match=r"not evaluated yet, .*python evaluate\.py name=single makes it"):
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
    write_results(path, {(system, hostile): (0.7, 0.6)}, hostile)
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
    assert (failed.why, failed.scored, failed.stride, failed.pieces) == ("<b>why</b>", None, 32, None)


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
    assert getattr(read_grid(grid).of_machine("pump")[0].scored, "scores", None) == scores / "other"
    assert read_grid(grid, "cosine").of_machine("fan")[0].scored is not None


@pytest.mark.ci
@pytest.mark.slow
def test_runs_scored_before_embeddings_were_kept_have_no_map(single: Path) -> None:
    run = read_grid(single).runs[0]
    assert run.scored is not None
    write_pieces(run.scored.scores / "pieces.npz", run.table, np.random.default_rng(0), embedding=False)
    manifest = run.scored.scores / "manifest.json"
    manifest.write_text('{"files": {}, "scorer": {"stride": 16}}')
    page = write_report(single, data=None, media_mb=0, scorer="cosine").with_name("pump--net-512x32-s0--train.html")
    assert "gets them by python evaluate.py name=single overwrite=true." in page.read_text()


@pytest.mark.parametrize(
    ("key", "value"),
    [("data", None), ("data", {}), ("input", []), ("input", {"sample_rate": "x"}), ("backbone", "x"), ("seed", "x"),
     ("name", []), ("trainer", {"max_steps": []}), ("method", {"_target_": 5}), ("logger", 5)],
)  # fmt: skip
def test_an_odd_configuration_names_its_file(single: Path, key: str, value: object) -> None:
    run = RunFolder(single / "pump" / TRAIN)
    run.write_config(run.read_config() | {key: value})
    with pytest.raises(ValueError, match=rf"config\.yaml: {key}"):
        write_report(single, data=None, media_mb=0, scorer="cosine")


@pytest.mark.parametrize("text", ["trainer: {}", "method: []", "optimizer: 5", "a: [", "[" * 1000, "\udcff"])
def test_a_configuration_of_another_shape_names_its_file(single: Path, text: str) -> None:
    (single / "pump" / TRAIN / "config.yaml").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=r"config\.yaml: "):
        write_report(single, data=None, media_mb=0, scorer="cosine")


@pytest.mark.parametrize(
    "arrays", [{"clip": [0, 99]}, {"score": [0.5]}, {"nearest": [[7], [10_000]]}, {"path": [1, 2]}]
)
def test_pieces_that_do_not_fit_together_name_their_file(tmp_path: Path, arrays: dict[str, list]) -> None:
    whole = {"score": [0.1, 0.2], "clip": [0, 1], "path": ["a", "b"], "nearest": [[1], [-1]]}
    np.savez(tmp_path / "pieces.npz", **whole)
    assert read_pieces(tmp_path) is not None
    np.savez(tmp_path / "pieces.npz", **whole | arrays)
    with pytest.raises(ValueError, match=r"pieces\.npz: "):
        read_pieces(tmp_path)


@pytest.mark.parametrize("scorer", ["5", "[]", '"x"'])
def test_an_odd_manifest_of_scores_names_its_file(single: Path, scorer: str) -> None:
    run = read_grid(single).runs[0]
    (run.folder.scores("cosine") / "manifest.json").write_text(f'{{"files": {{}}, "scorer": {scorer}}}')
    with pytest.raises(ValueError, match=r"manifest\.json: scorer"):
        write_report(single, data=None, media_mb=0, scorer="cosine")
