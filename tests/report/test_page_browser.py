"""The page of a small real grid in a real browser: opened from disk, without network."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd.cli import main as cli
from asd.evaluation import evaluate
from asd.experiment import train
from asd.report.page.render import write_report
from tests.support import jobs
from tests.support.browser import complaints, open_browser, open_page, requests
from tests.support.factory import make_machine
from tests.support.grid_files import CONFIG, TRAIN, make_run, write_results

HOSTILE = "<img src=x onerror=document.title='owned'>"
CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")
MEDIA_MB = 4
MAX_PAGE_BYTES = 600_000  # of the page of a run with 64 test clips
MAX_SECONDS = 3.0  # from the address to the page being loaded, on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.ci]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page of three runs on two machines, with a training clip of a hostile name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("grid"))
        patch.delenv("ASD_CACHE", raising=False)
        for machine in ("fan", "pump"):
            make_machine(Path("data"), machine, test=8)
            for clip in sorted(Path("data/dev_data", machine, "train").glob("section_00_*.wav")):
                clip.rename(clip.with_name(f"{clip.stem}_{HOSTILE}.wav"))  # whichever is nearest to a clip of the page
            train(compose("train", machine))
        train(compose("finetune", "fan"))
        evaluate(compose("evaluate"))
        assert cli(["report", "outputs/main", "--media-mb", str(MEDIA_MB)]) == 0
        yield Path("outputs/main/report").absolute()


def compose(script: str, machine: str = "") -> dict[str, Any]:
    """A tiny job."""
    overrides = ["progress=false", "accelerator=cpu"]
    if script != "evaluate":
        overrides = [f"machine={machine}", "data=folder", "data.root=data", "backbone=small", "batch_size=4"]
        overrides += ["trainer.max_steps=3", "trainer.accelerator=cpu", "progress=false"]
    return jobs.compose(script, *overrides)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    yield from open_browser()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """The browser; every test must leave its console empty and the network alone."""
    complaints(chromium), requests(chromium)
    yield chromium
    assert complaints(chromium) == []
    assert [url for url in requests(chromium) if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def run_page(browser: Any, report: Path) -> Any:
    """The browser at the page of fan's first run."""
    open_page(browser, report / "fan--small-512x32-s0--train.html")
    return browser


def find(browser: Any, selector: str) -> list[Any]:
    return browser.find_elements("css selector", selector)


def shown_rows(browser: Any, column: int) -> list[str]:
    """The text of a column of the clips' table, as far as it is shown."""
    script = (
        "return [...document.querySelectorAll('#clip-table tbody tr:not([hidden])')].map(r => r.cells[%d].innerText)"
    )
    return browser.execute_script(script % column)


def go_to(browser: Any, selector: str) -> None:
    """Scrolls there; what is far from the window is not drawn and cannot be pressed."""
    browser.execute_script("document.querySelector(arguments[0]).scrollIntoView()", selector)
    wait(lambda: find(browser, selector)[0].is_displayed())


def choose(browser: Any, selector: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(find(browser, selector)[0]).select_by_visible_text(text)


def check(browser: Any, what: str) -> list[str]:
    """What one of the checks in page_checks.js finds wrong with the open page."""
    return browser.execute_script(f"{CHECKS}\nreturn {what}()")


def wait(condition: Any, seconds: float = 10) -> None:
    """Waits until a condition holds; fails if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)


def test_from_the_overview_to_a_machine_to_a_run_to_another_machine(browser: Any, report: Path) -> None:
    open_page(browser, report / "index.html")
    assert "3 runs done" in find(browser, ".lead")[0].text
    assert "1 missing" in find(browser, ".lead")[0].text
    assert "Submission 4 (all six)" not in find(browser, "#table2-table")[0].text
    assert not find(browser, "#published-table")[0].is_displayed()  # folded: other data than the report's
    find(browser, "details summary")[0].click()
    assert "Submission 4 (all six)" in find(browser, "#published-table")[0].text
    find(browser, ".bar nav a")[0].click()
    assert find(browser, "h1")[0].text == "fan"
    find(browser, "tbody th a")[0].click()
    assert find(browser, "h1")[0].text.startswith("small-512x32-s0/")
    find(browser, ".bar nav a")[1].click()
    assert find(browser, "h1")[0].text == "pump"
    assert find(browser, ".bar [aria-current]")[0].text == "pump"


def test_another_row_of_the_report_changes_the_differences(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where the data are the report's."""
    monkeypatch.setitem(CONFIG["data"], "name", "dcase2021")
    grid = tmp_path / "outputs" / "report"
    make_run(grid, "fan", TRAIN, n=2)
    write_results(grid, {(TRAIN, "fan"): (0.7, 0.6)})
    open_page(browser, write_report(grid, data=None, media_mb=0, scorer="cosine"))
    cell = find(browser, "#table2-table td.pair")[0]
    before = cell.text
    choose(browser, "#reference", "Autoencoder baseline")
    told = cell.find_element("css selector", ".diff").text
    assert cell.text != before
    assert told == "▲ +6.8"  # 70 − 63.24


def test_a_machines_page_shows_its_plots(browser: Any, report: Path) -> None:
    open_page(browser, report / "machine-fan.html")
    shown = "return [...document.querySelectorAll('.figure img')].map(i => [i.naturalWidth, i.clientWidth])"
    go_to(browser, "#map")
    wait(lambda: all(natural > 0 for natural, _ in browser.execute_script(shown)))
    sizes = browser.execute_script(shown)
    assert len(sizes) == 2
    assert all(width >= 500 for _, width in sizes)


def test_the_guide_opens_from_every_page(browser: Any, report: Path) -> None:
    for name in ("index", "machine-fan", "fan--small-512x32-s0--train"):
        open_page(browser, report / f"{name}.html")
        find(browser, ".bar .guide")[0].click()
        assert find(browser, "h1")[0].text == "How to read this"


def test_a_table_that_is_cut_off_says_that_it_scrolls(run_page: Any) -> None:
    hints = "return [...document.querySelectorAll('.cut')].length"
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    run_page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        go_to(run_page, "#thresholds")
        wait(lambda: run_page.execute_script(hints) > 0)
        cut = find(run_page, ".cut")[0]
        text = run_page.execute_script("return getComputedStyle(arguments[0], '::before').content", cut)
        assert "scroll sideways" in text
    finally:
        run_page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    wait(lambda: run_page.execute_script(hints) == 0)


def test_a_heading_sorts_both_ways(run_page: Any) -> None:
    go_to(run_page, "#clips")
    score = find(run_page, "#clip-table thead th:nth-child(6) button")[0]
    down = [float(text) for text in shown_rows(run_page, 5)]
    assert down == sorted(down, reverse=True)
    score.click()
    up = [float(text) for text in shown_rows(run_page, 5)]
    assert up == sorted(up)
    assert up[0] < down[-1]  # all rows were sorted, not only those shown
    heading = find(run_page, "#clip-table thead th:nth-child(6)")[0]
    assert heading.get_attribute("aria-sort") == "ascending"


def test_filters_narrow_and_say_how_many(run_page: Any) -> None:
    go_to(run_page, "#clips")
    assert find(run_page, "#shown")[0].text == "50 shown of 64 that match, 64 in all"
    find(run_page, "#more")[0].click()
    assert len(shown_rows(run_page, 1)) == 64
    choose(run_page, "[data-column=label]", "anomaly")
    choose(run_page, "[data-column=section]", "01")
    wait(lambda: len(shown_rows(run_page, 1)) == 16)
    assert set(shown_rows(run_page, 4)) == {"anomaly"}
    assert set(shown_rows(run_page, 2)) == {"01"}
    find(run_page, "[data-column=name]")[0].send_keys("TARGET_test_anomaly_0003")
    wait(lambda: shown_rows(run_page, 1) == ["section_01_target_test_anomaly_0003"])
    find(run_page, "#filters [type=reset]")[0].click()
    wait(lambda: len(shown_rows(run_page, 1)) == 50)


def test_a_clip_plays_and_escape_gives_the_focus_back(run_page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    go_to(run_page, "#clips")
    button = next(b for b in find(run_page, ".play") if b.get_attribute("aria-label").startswith("Play"))
    button.send_keys(Keys.ENTER)
    heard = "return document.querySelector('#player audio')?.currentTime > 0"
    wait(lambda: run_page.execute_script(heard))
    assert len(find(run_page, "#player figure")) == 3  # the clip and two training clips near it
    assert find(run_page, "#player polyline")[0].get_attribute("points")
    find(run_page, "body")[0].send_keys(Keys.ESCAPE)
    assert not find(run_page, "#player")[0].is_displayed()
    assert run_page.switch_to.active_element == button


def test_sound_waits_until_it_is_asked_for(run_page: Any) -> None:
    assert {audio.get_attribute("preload") for audio in find(run_page, "main audio")} == {"none"}
    time.sleep(0.3)
    assert not [url for url in requests(run_page) if url.endswith(".flac")]


def test_the_map_is_coloured_and_one_group_stands_alone(run_page: Any) -> None:
    fill = "return getComputedStyle(document.querySelector('.points.k-normal.d-target')).fill"
    by_label = run_page.execute_script(fill)
    go_to(run_page, "#map")
    find(run_page, "[value=domain]")[0].click()
    assert run_page.execute_script(fill) != by_label
    key = next(b for b in find(run_page, ".key-domain button") if b.text == "source")
    key.click()
    assert key.get_attribute("aria-pressed") == "true"
    assert len(find(run_page, ".points.d-target.dim")) == len(find(run_page, ".points.d-target")) > 0
    assert not find(run_page, ".points.d-source.dim")


def test_the_theme_is_switched_and_remembered(run_page: Any) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    choose(run_page, "#theme", "light")
    light = run_page.execute_script(colour)
    choose(run_page, "#theme", "dark")
    assert run_page.execute_script(colour) != light
    run_page.refresh()
    assert run_page.execute_script("return document.documentElement.dataset.theme") == "dark"
    choose(run_page, "#theme", "as the system")


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(run_page: Any, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    run_page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert run_page.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        run_page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_hostile_name_is_text(browser: Any, report: Path) -> None:
    for page in sorted(report.glob("*.html")):
        open_page(browser, page)
        assert browser.title != "owned"
        assert not find(browser, "[onerror]")
    names = [path.name for path in (report / "media").iterdir()]
    assert any("section_00_source_train_normal" in name for name in names)
    assert all(name.isascii() and not set(name) & set("<>=' ") for name in names)


@pytest.mark.parametrize("name", ["index", "machine-fan", "fan--small-512x32-s0--finetune-none"])
def test_everything_that_can_be_used_has_a_name(browser: Any, report: Path, name: str) -> None:
    open_page(browser, report / f"{name}.html")
    assert check(browser, "nameless") == []
    assert check(browser, "twice") == []
    assert browser.execute_script("return document.querySelectorAll('h1').length") == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, report: Path, theme: str) -> None:
    """Contrast of at least 4.5 : 1 (WCAG AA), on every page."""
    for page in sorted(report.glob("*.html")):
        open_page(browser, page)
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        assert check(browser, "faint") == [], page.name


def test_size_and_opening_time(browser: Any, report: Path) -> None:
    page = report / "fan--small-512x32-s0--train.html"
    media = sum(path.stat().st_size for path in (report / "media").iterdir())
    assert page.stat().st_size < MAX_PAGE_BYTES
    assert 0 < media <= MEDIA_MB * 1_000_000
    started = time.monotonic()
    open_page(browser, page)
    assert time.monotonic() - started < MAX_SECONDS


def test_the_page_is_whole_without_its_script(browser: Any, report: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(browser, report / "fan--small-512x32-s0--train.html")
        assert len(find(browser, "#clip-table tbody tr")) == 64
        assert find(browser, "main audio[controls]")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
