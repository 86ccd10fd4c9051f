"""The server: answers, refusals, two hundred hostile requests, and the page in a browser."""

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn

from asd_runtime.cli import main, read_token
from asd_runtime.detector import Detector
from asd_runtime.model_file import Model
from asd_runtime.server import Limits, create_app
from tests.support.browser import complaints, open_browser, requests
from tests.support.factory import RATE, tone

LIMITS = Limits(max_bytes=400_000, max_seconds=5, timeout=5, at_once=2, waiting=4)
TOKEN = "a long enough secret"


@contextmanager
def served(model: Model, limits: Limits = LIMITS, **settings: Any) -> Iterator[int]:
    """The port of a server that runs in a thread."""
    app = create_app({"fan": Detector(model)}, limits, **settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def ask(port: int, path: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, Any]:
    """Status and content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(content) if is_json else content.decode()


def sound(samples: np.ndarray, rate: int = RATE, **how: str) -> bytes:
    """A recording in memory, WAV unless another format is given."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV"} | how)
    return file.getvalue()


CLIP = tone(520, 1.5, 3)


def test_an_answer_is_the_detectors_own_score(model: Model) -> None:
    expected = Detector(model).score(CLIP, RATE, 1, domain="source")  # by the same rule
    with served(model) as port:
        for how in ({}, {"format": "FLAC"}, {"format": "AIFF"}):
            status, found = ask(port, "/score?section=1&domain=source", sound(CLIP, **how))
            assert (status, found["score"], found["pieces"]) == (200, expected.score, expected.pieces.tolist())
        assert found["verdict"] == ("anomalous" if expected.is_anomalous else "normal")
        assert (found["threshold"], found["share_below"]) == (expected.threshold.value, expected.share_below)
        assert (found["seconds"], found["nearest"]) == (expected.seconds.tolist(), expected.nearest.tolist())
        assert ask(port, "/health")[1]["status"] == "ok"
        (described,) = ask(port, "/models")[1]
        assert (described["name"], described["sections"], described["sample_rate"]) == ("fan", [0, 1], RATE)
        figures = ask(port, "/metrics")[1]
        assert 'asd_requests_total{path="/score",status="200"} 3.0' in figures
        assert "asd_scoring_seconds_count 3.0" in figures
        assert "audio/*" in json.dumps(ask(port, "/openapi.json")[1]["paths"]["/score"])
        assert "<canvas" in ask(port, "/")[1]


WRONG: list[tuple[int, str, str, bytes]] = [
    (400, "empty", "?section=0", b""),
    (404, "give one of fan", "?section=0&model=pump", sound(CLIP)),
    (413, "larger than 0.4 MB", "?section=0", bytes(400_001)),
    (413, "at most 80000", "?section=0", sound(np.zeros(90_000, np.int16))),
    (415, "cannot be read as sound", "?section=0", b"no sound at all"),
    (415, "2 channels", "?section=0", sound(np.stack([CLIP, CLIP], axis=1))),
    (415, "truncated", "?section=0", sound(CLIP)[:-100]),
    (415, "NaN or infinite", "?section=0", sound(np.full(24_000, np.nan), subtype="FLOAT")),
    (422, "name the section", "", sound(CLIP)),
    (422, "section: Input should be a valid integer", "?section=zero", sound(CLIP)),
    (422, "section 7 is not in this model", "?section=7", sound(CLIP)),
    (422, "expected 16000 Hz", "?section=0", sound(CLIP, 8000)),
    (422, "too short", "?section=0", sound(CLIP[:0])),
    (422, "silent", "?section=0", sound(np.zeros(24_000, np.int16))),
    (422, "give official, quantile=SHARE", "?section=0&threshold=often", sound(CLIP)),
    (422, "domain", "?section=0&domain=sink", sound(CLIP)),
]


def test_what_cannot_be_scored_is_answered_in_words(plain_model: Model) -> None:
    with served(plain_model) as port:
        for status, words, query, body in WRONG:
            found = ask(port, f"/score{query}", body)
            assert (found[0], words in found[1]["detail"]) == (status, True), found
        assert ask(port, "/score")[0] == 405
        assert ask(port, "/nothing")[0] == 404
        assert ask(port, "/clip?name=x")[0] == 404


def damaged(random: np.random.Generator, whole: bytes) -> bytes:
    """A recording with bytes overwritten, cut out, repeated or cut off; most hits are in the header."""
    content = bytearray(whole)
    for _ in range(random.integers(1, 6)):
        first = int(random.integers(0, 64 if random.random() < 0.7 else len(content)))
        kind, n = random.integers(4), int(random.integers(1, 9))
        if kind == 0:
            content[first : first + n] = random.bytes(n)
        elif kind == 1:
            del content[first : first + n]
        elif kind == 2:
            content[first:first] = content[first : first + n] * int(random.integers(1, 50))
        else:
            del content[max(first, 12) :]
    return bytes(content)


def test_two_hundred_damaged_recordings_are_answered(plain_model: Model) -> None:
    random = np.random.default_rng(0)
    formats = [{}, {"format": "FLAC"}, {"format": "AIFF"}, {"format": "OGG"}, {"format": "WAV", "subtype": "FLOAT"}]
    formats += [{"format": "W64"}, {"format": "CAF"}, {"format": "AU"}, {"format": "MP3"}, {"format": "RF64"}]
    originals = [sound(CLIP / 32768, **how) for how in formats]
    bodies = [damaged(random, originals[number % len(originals)]) for number in range(180)]
    bodies += [random.bytes(int(random.integers(1, 5000))) for _ in range(20)]
    with served(plain_model) as port:
        found = [ask(port, "/score?section=0", body or b"x") for body in bodies]
        assert ask(port, "/health")[0] == 200
    assert {200, 415} <= {status for status, _ in found} <= {200, 413, 415, 422}
    refused = [answer for status, answer in found if status != 200]
    assert len(refused) > 100
    assert all(isinstance(answer["detail"], str) and answer["detail"] for answer in refused)


RAW = [
    b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
    b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e9\r\n\r\nabc",
    b"POST /score?section=0 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /score?section=0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc",  # and no more
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /score?section=%00%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /models HTTP/1.1\r\n\r\n",  # no host
    b"\x00" * 1000,
]


def test_bytes_that_are_no_http_do_no_harm(plain_model: Model) -> None:
    with served(plain_model, Limits(timeout=0.2)) as port:
        for raw in RAW:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(raw)
                answer = connection.recv(1000)
                assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer
        assert ask(port, "/health")[0] == 200


def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_the_server(
    plain_model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    with served(plain_model) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
        wait_for(lambda: 'path="/score",status="400"' in ask(port, "/metrics")[1])


def test_a_float_recording_gets_the_score_of_its_samples(plain_model: Model) -> None:
    fine = tone(520, 1.5, 3) / 32768 * 1e-3
    expected = Detector(plain_model).score(fine.astype(np.float32), RATE, 0).score
    Path("fine.wav").write_bytes(sound(fine, subtype="FLOAT"))
    assert Detector(plain_model).score_file("fine.wav", 0).score == expected
    with served(plain_model) as port:
        assert ask(port, "/score?section=0", sound(fine, subtype="FLOAT"))[1]["score"] == expected


def test_a_slow_body_and_too_many_requests_are_refused(plain_model: Model) -> None:
    head = b"POST /score?section=0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    with served(plain_model, Limits(timeout=1.0, at_once=1, waiting=1)) as port:
        slow = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
        for connection in slow:
            connection.sendall(head)
        wait_for(lambda: "asd_in_flight 2.0" in ask(port, "/metrics")[1])
        status, answer = ask(port, "/score?section=0", sound(CLIP))
        assert (status, "waiting already" in answer["detail"]) == (503, True)
        for connection in slow:
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
            connection.close()
        assert ask(port, "/score?section=0", sound(CLIP))[0] == 200


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_token_and_the_servers_own_names(plain_model: Model) -> None:
    with served(plain_model, token=TOKEN) as port:
        for path, body in (("/models", None), ("/metrics", None), ("/clip?name=x", None), ("/score", b"x")):
            assert ask(port, path, body)[0] == 401
            assert ask(port, path, body, Authorization="Bearer wrong")[0] == 401
            assert ask(port, path, body, Authorization="Basic " + TOKEN)[0] == 401
        assert ask(port, "/models", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert ask(port, "/health")[0] == ask(port, "/")[0] == 200
    with served(plain_model, hosts=["localhost", "127.0.0.1"]) as port:
        assert ask(port, "/models", Host="evil.example")[0] == 400


def test_nearest_clips_are_heard_and_no_other_file(plain_model: Model) -> None:
    section = plain_model.sections[0]
    (Path("data") / section.clips[0]).parent.mkdir(parents=True)
    (Path("data") / section.clips[0]).write_bytes(sound(CLIP))
    with served(plain_model, clips=Path("data")) as port:
        assert raw_clip(port, str(section.clips[0])) == (200, sound(CLIP))
        for name in (
            "a%00b",
            "../fan.asd",
            "/etc/passwd",
            "",
            "fan",
            str(section.clips[1]),
            str(section.clips[0]) + "/..",
        ):
            assert raw_clip(port, name)[0] == 404
    section.clips[0] = "../fan.asd"  # a forged model
    with served(plain_model, clips=Path("data")) as port:
        assert raw_clip(port, "../fan.asd")[0] == 404


def raw_clip(port: int, name: str) -> tuple[int, bytes]:
    """Status and bytes of a training clip."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/clip?" + "name=" + name.replace("/", "%2F"))
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_mistakes_at_the_start_are_answered(plain_model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    Path("token").write_text("ключ" * 4, encoding="utf-8")
    assert main(["serve", "fan.asd", "--token-file", "token"]) == 2
    assert "ASCII" in capsys.readouterr().err
    Path("token").write_text("short")
    Path("other").mkdir()
    Path("other/fan.asd").write_bytes(Path("fan.asd").read_bytes())
    for words, message in (
        (["fan.asd", "--host", "0.0.0.0"], "give --token-file"),
        (["fan.asd", "--host", "plant.example"], "give --token-file"),
        (["fan.asd", "--token-file", "token"], "a token of 5 characters"),
        (["fan.asd", "other/fan.asd"], "one name"),
        (["fan.asd", "--max-seconds", "0"], "max_seconds=0"),
        (["none.asd"], "no exported detector"),
    ):
        assert main(["serve", *words]) == 2
        assert message in capsys.readouterr().err
    Path("token").write_text(TOKEN + "\n")
    assert read_token(Path("token")) == TOKEN


@pytest.fixture
def browser() -> Iterator[Any]:
    """A real one."""
    yield from open_browser()


DRAWN = """const canvas = document.getElementById(arguments[0]);
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 100)"""


@pytest.mark.slow
def test_the_page_scores_a_dropped_recording_in_a_browser(plain_model: Model, tmp_path: Path, browser: Any) -> None:
    (tmp_path / "clip.wav").write_bytes(sound(tone(3000, 2, 5)))
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    clip = Path("data") / plain_model.sections[0].clips[0]
    clip.parent.mkdir(parents=True)
    for name in plain_model.sections[0].clips:
        (Path("data") / name).write_bytes(sound(CLIP))
    at = browser.find_element
    with served(plain_model, token=TOKEN, clips=Path("data")) as port:
        requests(browser)  # those of its own start
        browser.get(f"http://127.0.0.1:{port}/")
        wait_for(lambda: "give the token" in at("id", "message").text)
        at("id", "token").send_keys(TOKEN + "\t")
        wait_for(lambda: at("id", "section").text.split() == ["0", "1"])
        at("id", "threshold").clear()
        at("id", "threshold").send_keys("quantile=0.9")
        at("id", "file").send_keys(str(tmp_path / "clip.wav"))
        wait_for(lambda: at("id", "verdict").text == "anomalous")
        wait_for(lambda: all(browser.execute_script(DRAWN, name) for name in ("curve", "spectrogram")))
        at("css selector", "#nearest button").click()
        wait_for(lambda: bool(browser.find_elements("css selector", "#nearest audio[src^='blob:']")))
        at("id", "file").send_keys(str(tmp_path / "bad.wav"))
        wait_for(lambda: "cannot be read as sound" in at("id", "message").text)
        own = (f"http://127.0.0.1:{port}/", "blob:", "data:")  # the last: icons of the browser's player
        assert [url for url in requests(browser) if not url.startswith(own)] == []
        assert [line for line in complaints(browser) if "Content Security" in line] == []
