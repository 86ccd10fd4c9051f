"""A data set with one fault of each kind: found, named, and told from a mere note."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd.cli import main
from asd.dcase.check import check, summary
from asd.dcase.counts import Group
from asd.dcase.editions import EDITIONS
from tests.support.factory import make_machine, tone

SECONDS = 0.1
COUNTS = {
    Group("dev_data", "fan", 0, domain, split, label): count
    for domain in ("source", "target")
    for split, label, count in (("train", "normal", 2), ("test", "normal", 2), ("test", "anomaly", 2))
}
EDITION = replace(EDITIONS[2021], seconds=(SECONDS, SECONDS), counts=COUNTS)
TRAIN = "dev_data/fan/train/section_00_source_train_normal_{}.wav"
FIRST, SECOND = TRAIN.format("0000"), TRAIN.format("0001")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_machine(tmp_path, sections=1, source=2, target=2, test=2, seconds=SECONDS)


def test_a_sound_data_set_has_no_problems(root: Path) -> None:
    report = check(root, EDITION, workers=2)
    assert report.findings == []
    assert report.n_files == 12
    assert summary(report).endswith("no problems")


def rewritten(samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, samples, rate, subtype=subtype)


SOUND = tone(500, SECONDS, 99)
FAULTS: dict[str, Callable[[Path], object]] = {
    "rate": rewritten(SOUND, 8000),
    "channels": rewritten(np.stack([SOUND, SOUND], axis=1)),
    "length": rewritten(SOUND[:-1]),
    "finite": rewritten(np.where(np.arange(len(SOUND)) == 5, np.nan, 0.1), subtype="FLOAT"),
    "silent": rewritten(np.zeros(len(SOUND))),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "header": lambda path: path.write_text("<html>"),
    "duplicate": lambda path: path.write_bytes((path.parent / Path(SECOND).name).read_bytes()),
    "name": lambda path: path.rename(path.with_name("sound.wav")),
    "count": lambda path: path.unlink(),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_found_and_named(root: Path, kind: str) -> None:
    FAULTS[kind](root / FIRST)
    report = check(root, EDITION, workers=1)
    assert kind in {finding.kind for finding in report.problems}
    assert f"problem: {kind} (1)" in summary(report)


def test_clips_and_machines_that_do_not_belong(root: Path) -> None:
    (root / FIRST).rename(root / TRAIN.format("0000").replace("section_00", "section_07"))
    (root / "dev_data/fan/train/notes.txt").write_text("x")
    (root / "dev_data/fen").mkdir()
    findings = {(finding.kind, finding.path, finding.severity) for finding in check(root, EDITION).findings}
    assert ("place", "dev_data/fen", "problem") in findings
    assert ("place", "dev_data/fan/train/notes.txt", "note") in findings
    assert ("count", "dev_data/fan", "problem") in findings


def test_links_that_lead_nowhere_and_names_that_cannot_be_written(root: Path) -> None:
    (root / FIRST).unlink()
    (root / FIRST).symlink_to("nowhere")
    (root / SECOND).rename(root / SECOND.replace("section", "sec\ntion"))
    found = {(finding.kind, finding.path) for finding in check(root, EDITION).problems}
    assert ("header", FIRST) in found
    assert ("name", SECOND.replace("section", "sec\\ntion")) in found


def test_a_selection_on_purpose(root: Path) -> None:
    (root / FIRST).unlink()
    assert check(root, EDITION).problems
    report = check(root, EDITION, partial=True)
    assert not report.problems
    assert [finding.message for finding in report.findings] == ["section 00 source train normal: 1 clips, not 2"]


def test_parts_not_fetched_are_notes(root: Path) -> None:
    more = {Group("eval_data", "fan", 3, "source", "train", "normal"): 1, COUNTS_PUMP: 1}
    report = check(root, replace(EDITION, counts=COUNTS | more))
    assert not report.problems
    assert [finding.message for finding in report.findings] == [
        "no clips of pump; not fetched?", "no train clips at all; not fetched?",
    ]  # fmt: skip


COUNTS_PUMP = Group("dev_data", "pump", 0, "source", "train", "normal")


def test_attribute_files_are_missed(tmp_path: Path) -> None:
    path = tmp_path / "bearing/test/section_00_0000.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, tone(500, 10, 1), 16_000)
    report = check(tmp_path, EDITIONS[2022])
    assert [(finding.kind, finding.severity) for finding in report.findings][-1] == ("place", "note")


def test_real_recordings_are_whole(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "check", str(shared / "mimii_fan"), "--json", str(tmp_path / "report.json")]
    assert main(arguments) == 0  # a training takes it
    arguments += ["--edition", "2021"]
    assert main([*arguments, "--partial"]) == 0
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["files"] == 60
    assert {finding["kind"] for finding in written["findings"]} == {"count"}
    assert main(arguments) == 1
    assert "problem: count" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["missing", ""])
def test_nothing_to_check(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ValueError, match=r"no such folder|no clips"):
        check(tmp_path / folder, EDITION)


def test_problems_are_what_a_training_refuses(root: Path) -> None:
    """Any machine's name, any number and length of clips are trained on; a note says where they differ."""
    (root / "dev_data/fan").rename(root / "dev_data/press")
    report = check(root, None)
    assert report.problems == []
    assert (report.edition, report.n_files) == ("2021", 12)


def test_seconds_are_counted_at_the_rate_of_the_file(root: Path) -> None:
    """6 s at 44.1 kHz are not 16.58 s."""
    soundfile.write(root / FIRST, tone(500, 6 * 44_100 / 16_000, 1), 44_100)
    messages = [finding.message for finding in check(root, EDITION).problems if finding.path == FIRST]
    assert messages == ["44100 Hz, expected 16000 Hz", "6 s (264600 samples at 44100 Hz), expected 0.1 s"]
    (refused,) = check(root, None).problems
    assert refused.message == "44100 Hz, expected 16000 Hz, or give data.sample_rate=resample"


def test_own_recordings_are_checked_without_an_edition(tmp_path: Path) -> None:
    for label, seed in (("normal", 1), ("abnormal", 2)):
        (tmp_path / label).mkdir()
        for number in range(3):
            soundfile.write(tmp_path / label / f"{number}.wav", tone(500, 1.5, 10 * seed + number), 16_000)
    (tmp_path / "normal/3.wav").write_bytes(b"no sound")
    report = check(tmp_path, None)
    assert [(finding.kind, finding.path) for finding in report.problems] == [("header", "normal/3.wav")]
    assert summary(report).startswith(f"{tmp_path}: 7 clips checked against the rules of training")
