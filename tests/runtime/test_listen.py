"""Listening: windows, states, sources, and the command end to end."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd.cli import main as asd_command
from asd_runtime.cli import hop_samples, main
from asd_runtime.detector import Detector
from asd_runtime.listening import Alarm, Event, Heard, Listener
from asd_runtime.model_file import Model
from asd_runtime.snippets import Snippets
from asd_runtime.sources import pipe, recordings
from asd_runtime.windows import Block, Gap, Window, cut
from tests.support.factory import RATE, tone

ROOT = Path(__file__).parents[2]


def listener(model: Model, on: float, off: float, min_seconds: float = 0.0) -> Listener:
    """Listens for section 0."""
    detector = Detector(model)
    return Listener(detector, detector.find_section(0), Alarm(on, off, min_seconds))


def test_windows_are_those_of_a_slow_loop() -> None:
    sound = np.arange(1000, dtype=np.int16)
    blocks = [Block(part) for part in np.split(sound, [3, 10, 400, 401])]
    for length, hop in ((100, 30), (100, 100), (100, 170)):
        found = list(cut(blocks, length=length, hop=hop))
        least = max(length, hop)
        starts = [start for start in range(0, 1000, hop) if start + least <= 1000]
        assert [window.start for window in found] == starts
        assert all(np.array_equal(window.samples, sound[window.start :][:length]) for window in found)


def test_no_window_spans_a_gap() -> None:
    parts = [Block(np.zeros(150, np.int16)), Gap("lost", 20), Block(np.ones(120, np.int16))]
    found = list(cut(parts, length=100, hop=50))
    assert [window.start for window in found if isinstance(window, Window)] == [0, 50, 170]
    assert set(found[-1].samples) == {1}
    with pytest.raises(ValueError, match="at least 1"):
        list(cut(parts, length=0, hop=1))


def test_a_gap_is_where_the_sound_stops_and_sound_too_short_for_a_window_is_said() -> None:
    short, whole = Block(np.ones(70, np.int16)), Block(np.ones(130, np.int16))
    found = list(cut([Gap("a"), short, Gap("b"), whole, Gap("c", 20), short], length=100, hop=50))
    gaps = [(part.reason, part.start) for part in found if isinstance(part, Gap)]
    said = "70 samples without a gap get no score: a window takes 100"
    assert gaps == [("a", 0), (said, 0), ("b", 70), ("c", 200), (said, 220)]
    assert [window.start for window in found if isinstance(window, Window)] == [70]


@pytest.mark.ci
@pytest.mark.slow
def test_a_score_in_a_stream_is_the_offline_score_to_the_bit(model: Model) -> None:
    sound = np.concatenate([tone(400, 3, 1), tone(520, 3, 2)])
    windows = list(cut(pipe(io.BytesIO(sound.tobytes()), RATE), length=model.clip_samples, hop=8192))
    heard = [each for each in listener(model, 9.0, 9.0).listen(windows) if isinstance(each, Heard)]
    assert len(heard) == len(windows) > 5
    for each, window in zip(heard, windows, strict=True):
        assert each.score == Detector(model).score(window.samples, RATE, 0, threshold="9").score


def test_an_alarm_has_hysteresis_and_a_minimum_duration(model: Model) -> None:
    states = listener(model, on=2.0, off=1.0, min_seconds=2.0)
    scores = [0, 3, 3, 0, 3, 3, 3, 1.5, 0, 1.5, 0, 0, 0, 0]
    events = [event for second, score in enumerate(scores) for event in states.update(score, second)]
    assert [(event.event, event.seconds) for event in events] == [("alarm-begins", 6), ("alarm-ends", 12)]
    assert events[1].peak == 3
    with pytest.raises(ValueError, match="must not be higher"):
        Alarm(1.0, 2.0)
    with pytest.raises(ValueError, match="negative"):
        Alarm(2.0, 1.0, -1)


def test_silence_clipping_and_gaps_are_said_and_survived(model: Model) -> None:
    silent = np.zeros(model.clip_samples, np.int16)
    loud = np.where(np.arange(model.clip_samples) % 40 < 20, 32767, -32768).astype(np.int16)
    parts = [Window(0, silent), Window(24_000, loud), Gap("unplugged"), Window(60_000, tone(400, 1.5, 0))]
    found = list(listener(model, 9.0, 9.0).listen(parts))
    names = [event.event for event in found if isinstance(event, Event)]
    assert names == ["silence-begins", "silence-ends", "clipping-begins", "gap", "clipping-ends"]


def test_a_pipe_with_a_header_is_no_raw_sound() -> None:
    with pytest.raises(ValueError, match="s16le"):
        list(pipe(io.BytesIO(b"RIFF" + bytes(100)), RATE))
    found = list(pipe(io.BytesIO(bytes(101)), RATE))
    assert isinstance(found[-1], Gap)


def test_unusable_recordings_are_passed_over(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(400, 1, 0), RATE)
    soundfile.write(tmp_path / "b.wav", tone(400, 1, 0), 8000)
    (tmp_path / "c.wav").write_bytes(b"no sound")
    found = list(recordings(tmp_path, RATE, follow=False))
    reasons = " ".join(part.reason for part in found if isinstance(part, Gap))
    assert "8000 Hz" in reasons
    assert "c.wav" in reasons
    assert sum(len(part.samples) for part in found if isinstance(part, Block)) == RATE
    with pytest.raises(ValueError, match="no such"):
        list(recordings(tmp_path / "none", RATE, follow=False))


def test_a_folder_that_grows_is_read_when_its_files_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "A.WAV", tone(400, 1, 0), RATE)  # as many recorders write it
    soundfile.write(tmp_path / "b.wav", tone(400, 1, 0), RATE)
    half, whole = (tmp_path / "b.wav").read_bytes()[:-8000], (tmp_path / "b.wav").read_bytes()
    (tmp_path / "b.wav").write_bytes(half)
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nothing")
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds
        if now[0] == 3:  # after looks that found it unchanged
            (tmp_path / "b.wav").write_bytes(whole)

    monkeypatch.setattr("asd_runtime.sources.time.sleep", wait)
    monkeypatch.setattr("asd_runtime.sources.time.monotonic", lambda: now[0])
    found = [next(stream) for stream in [recordings(tmp_path, RATE, follow=True)] for _ in range(7)]
    reasons = [part.reason for part in found if isinstance(part, Gap)]
    assert "gone.wav: cannot be read as sound" in reasons[0]
    assert reasons[1:] == ["recording A.WAV", "recording b.wav"]
    assert sum(len(part.samples) for part in found if isinstance(part, Block)) == 2 * RATE


@pytest.mark.parametrize("option", ["--hop=inf", "--off=nan", "--min-seconds=nan", "--snippets-mb=inf"])
def test_numbers_that_are_not_finite_are_named(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["listen", "fan.asd", "-", option])
    assert f"argument {option[:5]}" in capsys.readouterr().err


def test_snippets_stay_within_their_budget(tmp_path: Path) -> None:
    snippets = Snippets(tmp_path, 5000, RATE)
    for second in range(6):
        snippets.keep(second, np.zeros(1000, np.int16))
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["alarm-000000004000ms.wav", "alarm-000000005000ms.wav"]
    assert snippets.keep(9, np.zeros(9000, np.int16)) is None


def test_the_command_scores_and_listens(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write("odd.wav", tone(3000, 4, 5), RATE)
    assert main(["score", "fan.asd", "odd.wav", "--section", "0", "--threshold=-1", "--fail-on-anomaly"]) == 1
    line = capsys.readouterr().out
    assert "anomalous\todd.wav" in line
    assert asd_command(["score", "fan.asd", "odd.wav", "--section", "0", "--threshold=-1", "--fail-on-anomaly"]) == 1
    assert capsys.readouterr().out == line
    listen = ["listen", "fan.asd", "odd.wav", "--section", "0", "--threshold=-1", "--snippets", "kept"]
    assert main([*listen, "--events", "events.jsonl"]) == 0
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["gap", "alarm-begins"]
    assert len(list(Path("kept").iterdir())) == 1
    for wrong in (["--rate", "8000"], ["--section", "9"], ["--threshold", "often"], ["--threshold", "quantile=2"]):
        assert main([*listen, *wrong]) == 2
    assert main(["score", "odd.wav", "odd.wav"]) == 2  # no exported detector
    assert asd_command(["score", "fan.asd", "odd.wav", "--section", "0", "--scorer", "lof"]) == 2


def test_a_hop_at_which_windows_share_no_piece_is_said_and_never_the_default(
    model: Model, plain_model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = Detector(model)
    step = detector.piece_step
    assert hop_samples(None, detector) % step == 0
    assert hop_samples(step / RATE, detector) == step
    assert capsys.readouterr().err == ""
    assert hop_samples(1.2, detector) == 1.2 * RATE
    assert f"with --hop {round(1.2 * RATE / step) * step / RATE:g} they share most" in capsys.readouterr().err
    assert hop_samples(model.clip_samples / RATE, detector) == model.clip_samples  # nothing overlaps
    plain = Detector(plain_model)
    assert plain.piece_step is None
    assert hop_samples(1.2, plain) == 1.2 * RATE
    assert capsys.readouterr().err == ""


def test_who_waits_at_a_terminal_without_seeing_scores_sees_a_bar(
    plain_model: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write("odd.wav", tone(3000, 4, 5), RATE)
    command = ["score", "fan.asd", "odd.wav", "./odd.wav", "--section", "0"]
    assert asd_command(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TERM", "dumb")  # plain lines, for nothing can be drawn here
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert asd_command(command) == 0
    assert "scoring: 2 clips" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert asd_command(command) == 0
    assert "scoring" not in capsys.readouterr().err
    assert asd_command([*command, "--json"]) == 0
    assert "scoring: 2 clips" in capsys.readouterr().err


HOURS = float(os.environ.get("ASD_LISTEN_HOURS", "2"))  # a week has 168
HOP, LENGTH = 15.0, 2.0  # seconds
ON, OFF, MIN_SECONDS = 20.0, 10.0, 20.0


class Plant:
    """Sound without end: second s of each kind is one of eight takes. Read as a pipe is.

    Args:
        hours: When it ends.
    """

    def __init__(self, hours: float) -> None:
        hum, time = [tone(400, 1, seed) for seed in range(8)], np.arange(RATE) / RATE
        faulty = [np.clip(take + 9000 * np.sin(2 * np.pi * 2500 * time), -32768, 32767) for take in hum]
        slight = [take + 300 * np.sin(2 * np.pi * 2500 * time) for take in hum]
        clipped = [np.sign(take) * 32767 for take in hum]
        silent = [np.zeros(RATE)] * 8
        self.takes = np.array([hum, slight, faulty, clipped, silent]).astype("<i2")
        random = np.random.default_rng(0)
        n_seconds = round(3600 * hours)
        self.kind = np.zeros(n_seconds, np.int64)
        for start in random.integers(0, n_seconds, max(8, n_seconds // 600)):
            self.kind[start : start + random.integers(1, 120)] = random.integers(1, 5)
        self.position = 0

    def samples(self, start: int, count: int) -> np.ndarray:
        """int16 from a position on; fewer at the end."""
        first, end = start // RATE, min(len(self.kind), -(-(start + count) // RATE))
        seconds = np.arange(first, end)
        found = self.takes[self.kind[seconds], seconds % 8].reshape(-1)
        return found[start - first * RATE :][:count]

    def read(self, n_bytes: int) -> bytes:
        """The next bytes."""
        found = self.samples(self.position, n_bytes // 2)
        self.position += len(found)
        return found.tobytes()


def offline_events(plant: Plant, model: Model) -> list[tuple[str, float]]:
    """What should be said of all windows, each scored as a recording of its own."""
    detector, events = Detector(model), []
    is_alarm = is_silent = is_clipped = False
    wish: list[float] = []  # begins of the windows in a row that ask for the other state
    length = round(LENGTH * RATE)
    for number in range(int((len(plant.kind) - HOP) / HOP) + 1):
        start = round(number * HOP * RATE)
        window, seconds = plant.samples(start, length), start / RATE
        was = is_silent, is_clipped
        is_silent = len(set(window.tolist())) == 1
        is_clipped = np.isin(window, (32767, -32767, -32768)).mean() > 0.001
        if not is_silent:
            score = detector.score(window, RATE, 0, threshold="1").score
            wish = [*wish, seconds] if (score <= OFF if is_alarm else score > ON) else []
            if wish and wish[-1] - wish[0] >= MIN_SECONDS:
                is_alarm, wish = not is_alarm, []
                events.append(("alarm-begins" if is_alarm else "alarm-ends", seconds))
        for name, before, now in (("silence", was[0], is_silent), ("clipping", was[1], is_clipped)):
            if before != now:
                events.append((f"{name}-{'begins' if now else 'ends'}", seconds))
    return events


@pytest.mark.slow
def test_long_listening_loses_and_invents_nothing_in_flat_memory(plain_model: Model) -> None:
    """Two hours; `ASD_LISTEN_HOURS=168` makes it a week."""
    run = "import sys; from asd_runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "listen", "fan.asd", "-", "--section", "0", "--hop", str(HOP)]
    command += ["--threshold", str(ON), "--off", str(OFF), "--min-seconds", str(MIN_SECONDS)]
    command += ["--events", "events.jsonl", "--snippets", "kept", "--snippets-mb", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    plant, resident = Plant(HOURS), []
    with open("lines.txt", "w") as lines:
        listening = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=lines
        )
    assert listening.stdin is not None
    while sound := plant.read(2 * 60 * RATE):
        listening.stdin.write(sound)
        resident.append(resident_mb(listening.pid))
    listening.stdin.close()
    assert listening.wait() == 0
    found = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    expected = offline_events(plant, plain_model)
    assert len({event for event, _ in expected}) == 6
    assert [(event["event"], event["seconds"]) for event in found] == expected
    assert max(resident[len(resident) // 5 :]) - resident[len(resident) // 5] < 5
    assert sum(path.stat().st_size for path in Path("kept").iterdir()) <= 1e6
    print(f"{HOURS:g} h, {len(found)} events, {resident[len(resident) // 5]:.1f} … {max(resident):.1f} MB")


def resident_mb(pid: int) -> float:
    """Memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.split("VmRSS:")[1].split()[0]) / 1000


def test_the_runtime_never_imports_torch(model: Model) -> None:
    soundfile.write("odd.wav", tone(3000, 2, 5), RATE)
    code = "import sys; from asd_runtime.cli import main\n"
    code += "assert main('score fan.asd odd.wav --section 0 --threshold quantile=0.9'.split()) == 0\n"
    code += "assert not {'torch', 'scipy', 'librosa', 'asd', 'sklearn', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
