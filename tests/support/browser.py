"""A real browser for tests: headless Chromium, driven by Selenium, with everything that it asks the network for."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",  # a click does not wait for smooth scrolling
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1280,900",
)


def open_browser() -> Iterator[Any]:
    """A browser that is closed afterwards; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: the page is not tested in a browser")
    from selenium.webdriver.chrome.service import Service

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver: the page is not tested in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def open_page(browser: Any, path: Path) -> None:
    """Opens a page from disk and waits until it is complete; the first one of a browser can come late."""
    browser.get(path.as_uri())
    end = time.monotonic() + 20
    ready = "return document.readyState === 'complete' && location.protocol === 'file:'"
    while not browser.execute_script(ready):
        assert time.monotonic() < end, f"{path.name} did not open"
        time.sleep(0.02)


def requests(browser: Any) -> list[str]:
    """What the browser asked for since the last call."""
    messages = (json.loads(line["message"])["message"] for line in browser.get_log("performance"))
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def complaints(browser: Any) -> list[str]:
    """What stands in its console since the last call."""
    return [line["message"] for line in browser.get_log("browser")]
