"""Clips that cannot be used: refused all at once, or left out and listed wherever someone looks."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd.data import decoding
from asd.data.bad_clips import BadClipsError, check_sections, read_clips
from asd.data.readers.dcase import DcaseReader
from asd.evaluation import evaluate
from asd.experiment import train
from asd.runs.excluded import keep_skipped, read_skipped, write_skipped
from asd.runs.folder import RunFolder
from asd.runs.manifest import read_manifest
from asd.runs.scores import read_scores
from tests.support.factory import RATE, make_machine, scan_machine, tone
from tests.support.refusals import check_refusal

Job = Callable[..., dict[str, Any]]
FAN = Path("data/dev_data/fan")
RESULTS = Path("outputs/main/results")


def damaged(path: Path, change: Callable[[bytes], bytes]) -> None:
    soundfile.write(path, tone(400, 1.5, 0), RATE)
    path.write_bytes(change(path.read_bytes()))


def floats(path: Path, value: float) -> None:
    sound = tone(400, 1.5, 0) / 32768
    sound[777] = value
    soundfile.write(path, sound, RATE, subtype="FLOAT")


# Every way in which a file of sound is none, and what is said of it.
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (lambda p: damaged(p, lambda content: content[:20_000]), "truncated"),
    "cut by one byte": (lambda p: damaged(p, lambda content: content[:-1]), "truncated"),
    "header only": (lambda p: soundfile.write(p, np.zeros(0), RATE), "holds no sound"),
    "half a header": (lambda p: damaged(p, lambda content: content[:30]), "cannot be read as sound"),
    "empty": (lambda p: p.write_bytes(b""), "cannot be read as sound"),
    "stereo": (lambda p: soundfile.write(p, tone(400, 3, 0).reshape(-1, 2), RATE), "2 channels"),
    "44.1 kHz": (lambda p: soundfile.write(p, tone(400, 4, 0), 44_100), "44100 Hz, expected 16000 Hz"),
    "8 kHz": (lambda p: soundfile.write(p, tone(400, 2, 0), 8_000), "8000 Hz, expected 16000 Hz"),
    "NaN": (lambda p: floats(p, np.nan), "non-finite values"),
    "infinite": (lambda p: floats(p, np.inf), "non-finite values"),
    "bytes of no sound": (lambda p: floats(p, 3e30), "times full scale: more than 1e+12 is damage"),
    "silent": (lambda p: soundfile.write(p, np.zeros(24_000), RATE), "silent; all of its 24000 samples are 0"),
    "constant": (lambda p: soundfile.write(p, np.full(24_000, 55, np.int16), RATE), "samples are 55"),
    "too short": (lambda p: soundfile.write(p, tone(400, 0.5, 0), RATE), "too short, 8000 samples; one piece needs"),
    "one sample": (lambda p: soundfile.write(p, np.ones(1, np.int16), RATE), "too short, 1 samples"),
    "text": (lambda p: p.write_text("no sound"), "cannot be read as sound"),
    "a picture": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000)), "cannot be read as sound"),
    "an archive": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(5000)), "cannot be read as sound"),
    "zeros": (lambda p: p.write_bytes(bytes(50_000)), "cannot be read as sound"),
    "noise": (lambda p: p.write_bytes(np.random.default_rng(0).bytes(50_000)), "cannot be read as sound"),
}


def put_bad_clips() -> dict[str, str]:
    """One of each kind, by turns among the training and the test clips; path relative to the root → what is said."""
    said = {}
    for number, (write, message) in enumerate(BAD.values()):
        folder, split = ("train", "train_normal") if number % 2 else ("target_test", "test_anomaly")
        domain = "source" if number % 2 else "target"
        path = FAN / folder / f"section_{number % 4 // 2:02d}_{domain}_{split}_{9000 + number}.wav"
        write(path)
        said[path.relative_to("data").as_posix()] = message
    return said


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_bad_clips_are_named_in_one_message(workplace: Path, job: Job) -> None:
    bad = put_bad_clips()
    with pytest.raises(BadClipsError, match=f"{len(BAD)} clips cannot be used; .*data.on_bad_clip=skip") as caught:
        train(job("train"))
    head, *lines = str(caught.value).splitlines()
    check_refusal(head, "correct or remove them, or leave them out with data.on_bad_clip=skip")
    assert len(lines) == len(bad)
    for path, message in bad.items():
        assert any(path in line and message in line for line in lines), path
    assert not list(Path("outputs/.cache").glob("*.bank"))


@pytest.mark.ci
@pytest.mark.slow
def test_skipped_clips_stand_in_everything_that_is_read(
    workplace: Path, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    good = scan_machine(Path("data"), "fan").path.tolist()
    bad = put_bad_clips()
    run = train(job("train", "data.on_bad_clip=skip"))
    evaluate(job("evaluate"))
    printed = capsys.readouterr().out
    assert printed.count(f"fan: {len(bad)} of {len(good) + len(bad)} clips are SKIPPED, such as ") == 2
    assert f"{len(bad)} clips were SKIPPED, unusable (all in skipped.csv)" in printed
    for listed in (read_skipped(run.path), read_skipped(run.scores("cosine"))):
        assert listed.keys() == bad.keys()
        assert all(bad[path] in why for path, why in listed.items())
    assert {row["clip"] for row in rows(RESULTS / "skipped.csv")} == bad.keys()
    assert {row["machine"] for row in rows(RESULTS / "skipped.csv")} == {"fan"}
    assert "clips were SKIPPED" in (RESULTS / "table2.md").read_text()
    scores = read_scores(run.scores("cosine") / "scores.csv")
    assert scores.clip.tolist() == good
    assert np.isfinite(scores.score).all()
    manifest = read_manifest(run.scores("cosine") / "manifest.json")
    assert manifest is not None
    assert manifest["skipped"] == len(bad)
    assert {"skipped.csv"} <= manifest["files"].keys()


@pytest.mark.ci
@pytest.mark.slow
def test_what_is_skipped_is_as_if_it_were_not_there(evaluated: RunFolder, job: Job) -> None:
    put_bad_clips()
    other = train(job("train", "data.on_bad_clip=skip", "name=other"))
    evaluate(job("evaluate", "name=other"))
    first, second = (read_scores(each.scores("cosine") / "scores.csv") for each in (evaluated, other))
    assert first.clip.tolist() == second.clip.tolist()
    assert first.score.tolist() == second.score.tolist()


def test_nothing_skipped_leaves_no_list(workplace: Path, job: Job) -> None:
    run = train(job("train", "data.on_bad_clip=skip"))
    evaluate(job("evaluate"))
    assert not list(Path("outputs").rglob("skipped.csv"))
    write_skipped(run.path, {"a.wav": "silent"})
    assert read_skipped(run.path) == {"a.wav": "silent"}
    assert write_skipped(run.path, {}) == {}
    assert read_skipped(run.path) == {}


def test_the_next_opening_decodes_nothing_and_says_it_again(
    workplace: Path, job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = put_bad_clips()
    run = train(job("train", "data.on_bad_clip=skip"))
    listed = read_skipped(run.path)
    capsys.readouterr()

    def no_decoding(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(decoding.soundfile, "SoundFile", no_decoding)
    again = train(job("train", "data.on_bad_clip=skip", "name=again"))
    assert f"fan: {len(bad)} of" in capsys.readouterr().out
    assert read_skipped(again.path) == listed


def test_a_repaired_clip_is_looked_at_again(workplace: Path, job: Job) -> None:
    path = FAN / "train/section_00_source_train_normal_0003.wav"
    sound = path.read_bytes()
    path.write_bytes(bytes(len(sound)))
    run = train(job("train", "data.on_bad_clip=skip"))
    assert list(read_skipped(run.path)) == [path.relative_to("data").as_posix()]
    path.write_bytes(sound)
    repaired = train(job("train", "data.on_bad_clip=skip", "name=repaired"))
    assert read_skipped(repaired.path) == {}
    with pytest.raises(
        ValueError, match=r"was trained on other clips .* no longer skipped: dev_data/fan/train/section_00"
    ):
        evaluate(job("evaluate"))


def test_a_test_clip_that_breaks_after_training(trained: RunFolder, job: Job) -> None:
    path = FAN / "source_test/section_01_source_test_normal_0001.wav"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(BadClipsError, match="1 clips cannot be used"):
        evaluate(job("evaluate"))
    evaluate(job("evaluate", "data.on_bad_clip=skip"))
    assert len(read_skipped(trained.scores("cosine"))) == 1
    assert path.name not in (trained.scores("cosine") / "scores.csv").read_text()
    row = next(row for row in rows(RESULTS / "metrics.csv") if (row["section"], row["domain"]) == ("1", "source"))
    assert (row["n_normal"], row["n_anomaly"]) == ("1", "2")
    with pytest.raises(BadClipsError, match="1 clips cannot be used"):
        evaluate(job("evaluate", "data.on_bad_clip=error"))


def test_a_training_clip_that_breaks_after_training(trained: RunFolder, job: Job) -> None:
    path = FAN / "train/section_01_source_train_normal_0001.wav"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ValueError, match=r"was trained on other clips .* now skipped: dev_data/fan/train/section_01"):
        evaluate(job("evaluate", "data.on_bad_clip=skip"))


def test_a_training_clip_replaced_by_another_of_its_size(workplace: Path, job: Job) -> None:
    run = train(job("train"))
    path = FAN / "train/section_01_source_train_normal_0001.wav"
    sound = path.read_bytes()
    path.write_bytes((FAN / "train/section_01_source_train_normal_0002.wav").read_bytes())
    with pytest.raises(ValueError, match="training clips of fan under data hold other sound than those"):
        evaluate(job("evaluate"))
    path.write_bytes(sound)  # at another time
    evaluate(job("evaluate"))
    test = FAN / "source_test/section_01_source_test_normal_0001.wav"
    test.write_bytes((FAN / "source_test/section_01_source_test_normal_0000.wav").read_bytes())
    evaluate(job("evaluate", "overwrite=true"))
    manifest = read_manifest(run.manifest)
    assert manifest is not None
    assert manifest["content"].startswith("content:")


def test_a_run_goes_on_with_the_clips_it_began_with(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    keep_skipped(run, {"a.wav": "silent"})
    run.checkpoint.parent.mkdir()
    run.checkpoint.touch()
    keep_skipped(run, {"a.wav": "truncated"})
    for others in ({}, {"b.wav": "silent"}):
        with pytest.raises(ValueError, match=r"began with other clips .* no longer skipped: a\.wav"):
            keep_skipped(run, others)


def test_the_policy_is_part_of_what_a_run_is(trained: RunFolder, job: Job) -> None:
    with pytest.raises(ValueError, match=r"data\.on_bad_clip: error → skip"):
        job("train", "data.on_bad_clip=skip")


def test_a_section_is_not_lost_without_a_word(workplace: Path, job: Job) -> None:
    for path in FAN.glob("train/section_01_*.wav"):
        path.write_bytes(b"broken")
    with pytest.raises(
        ValueError,
        match=r"no training clip of section 01 can be used; replace or remove the section:\n.*section_01_source_train",
    ):
        train(job("train", "data.on_bad_clip=skip"))


def test_a_section_left_with_one_clip(workplace: Path, job: Job) -> None:
    for path in sorted(FAN.glob("train/section_01_*.wav"))[1:]:
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match="section 01 has one training clip"):
        train(job("train", "data.on_bad_clip=skip"))


def test_nothing_usable_at_all(workplace: Path, job: Job) -> None:
    with pytest.raises(
        ValueError, match=r"no training clip of section 00, section 01 can .*\n.*16000 Hz, expected 8000"
    ):
        train(job("train", "data.on_bad_clip=skip", "input.sample_rate=8000"))


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("train/section_01_*", r"section 01 has test clips, but no training clips to compare them with"),
        ("train/section_01_*_000[1-9].wav", None),
        ("train/section_0[01]_*", r"section 00 has test clips.*section 01 has test clips"),
    ],
)
def test_sections_that_could_not_be_scored_are_said_before_the_training(
    workplace: Path, job: Job, gone: str, message: str | None
) -> None:
    for path in FAN.glob(gone):
        path.unlink()
    if message is None:
        check_sections(scan_machine(Path("data"), "fan"))  # a source and a target clip are left
        (FAN / "train/section_01_target_train_normal_0000.wav").unlink()
        message = "section 01 has one training clip, which has no other"
    with pytest.raises(ValueError, match=message):
        job("train")  # before anything starts


def spoil_names() -> dict[str, str]:
    """Files whose name or place is wrong, by path; what is said of each."""
    train_folder, name = FAN / "train", "section_00_source_train_normal"
    (train_folder / f"{name}_8001.wav").symlink_to("nowhere.wav")
    (train_folder / f"{name}_8002.wav").symlink_to(f"{name}_8002.wav")
    (train_folder / f"{name}_8003.wav").mkdir()
    os.mkfifo(train_folder / f"{name}_8004.wav")
    for wrong in (f"{name}_8005.txt.wav", f"{name.upper()}_8006.wav", "noise.wav", f"{name}_8007_\x1b[2J.wav"):
        soundfile.write(train_folder / wrong, tone(400, 1.5, 0), RATE, format="WAV")
    (train_folder / os.fsdecode(f"{name}_8008_".encode() + b"\xff.wav")).write_bytes(b"")
    (FAN / "source_test" / f"{name}_8009.wav").write_bytes(b"")
    (FAN / "Train").mkdir()
    (FAN / "Train" / f"{name}_8010.wav").write_bytes(b"")
    return {
        f"{name}_8001.wav": "a link that leads nowhere",
        f"{name}_8002.wav": "a link that leads nowhere",
        f"{name}_8003.wav": "not a regular file",
        f"{name}_8004.wav": "not a regular file",
        f"{name}_8005.txt.wav": "not the name of a clip",
        f"{name.upper()}_8006.wav": "not the name of a clip",
        "noise.wav": "not the name of a clip",
        f"{name}_8007_\\x1b[2J.wav": "characters that cannot be written down",
        f"{name}_8008_\\udcff.wav": "characters that cannot be written down",
        f"{name}_8009.wav": "belongs into train",
        f"{name}_8010.wav": "lies in Train; clips lie in train",
    }


def test_wrong_names_and_places_follow_the_policy(workplace: Path, job: Job) -> None:
    good = scan_machine(Path("data"), "fan").path.tolist()
    said = spoil_names()
    with pytest.raises(ValueError, match=f"{len(said)} files of fan do not fit") as caught:
        train(job("train"))
    for name, message in said.items():
        assert any(name in line and message in line for line in str(caught.value).splitlines()), name
    run = train(job("train", "data.on_bad_clip=skip"))
    assert {Path(path).name for path in read_skipped(run.path)} == said.keys()
    evaluate(job("evaluate"))
    assert read_scores(run.scores("cosine") / "scores.csv").clip.tolist() == good


def test_a_link_in_the_place_of_a_folder(workplace: Path) -> None:
    (FAN / "target_test").rename(FAN.parent / "elsewhere")
    (FAN / "target_test").symlink_to("nowhere")
    for policy in ("error", "skip"):
        with pytest.raises(ValueError, match="target_test: a link that leads nowhere"):
            read_clips(DcaseReader(Path("data")), "fan", policy)
    (FAN / "target_test").unlink()
    (FAN / "target_test").symlink_to("target_test")
    with pytest.raises(ValueError, match="target_test: a link that leads nowhere"):
        scan_machine(Path("data"), "fan")


def test_links_to_clips_outside_are_clips(workplace: Path, job: Job) -> None:
    Path("store").mkdir()
    for number, path in enumerate(sorted(FAN.rglob("*.wav"))):
        path.rename(f"store/{number} größe.wav")
        path.symlink_to(Path(f"store/{number} größe.wav").absolute())
    run = train(job("train"))
    evaluate(job("evaluate"))
    assert len(read_scores(run.scores("cosine") / "scores.csv").clip) == len(list(Path("store").iterdir()))


@pytest.mark.ci
@pytest.mark.slow
def test_spaces_and_other_scripts_all_the_way(workplace: Path, job: Job) -> None:
    root = Path("Prüfstand 3 — ファン")
    Path("data").rename(root)
    path = root / "dev_data/fan/train/section_00_source_train_normal_0003.wav"
    path.rename(path.with_name("section_00_source_train_normal_0003_größe 2 回転.wav"))
    run = train(job("train", f'data.root="{root}"'))
    evaluate(job("evaluate"))
    scores = read_scores(run.scores("cosine") / "scores.csv")
    assert any("größe 2 回転" in clip for clip in scores.clip)
    assert np.isfinite(scores.score).all()


def test_a_root_that_is_no_utf8(workplace: Path, job: Job) -> None:
    root = os.fsdecode(b"data \xff")
    Path("data").rename(root)
    with pytest.raises(ValueError, match=r"data \\udcff: the path has control characters or invalid UTF-8"):
        job("train", f'data.root="{root}"')


def test_files_without_a_single_clip(workplace: Path) -> None:
    for number, path in enumerate(list(FAN.rglob("*.wav"))):
        path.rename(path.with_name(f"normal_id_00_{number:08d}.wav"))
    with pytest.raises(
        ValueError,
        match=r"has 28 files of sound and none is a clip of edition 2021:\n.*normal_id_00",
    ):
        DcaseReader(Path("data"), edition=2021).read("fan")


@pytest.mark.ci
@pytest.mark.slow
def test_sections_of_one_class_are_named_in_the_results(
    workplace: Path, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    make_machine(Path("data"), "pump")
    for path in FAN.glob("source_test/section_01_*_anomaly_*.wav"):
        path.unlink()
    for path in Path("data/dev_data/pump").glob("*_test/*_normal_*.wav"):
        path.unlink()
    for machine in ("fan", "pump"):
        train(job("train", f"machine={machine}"))
    evaluate(job("evaluate"))
    groups = {(row["machine"], row["section"], row["domain"]) for row in rows(RESULTS / "metrics.csv")}
    assert groups == {("fan", "0", "source"), ("fan", "0", "target"), ("fan", "1", "target")}
    listed = {tuple(row.values()) for row in rows(RESULTS / "unmeasured.csv")}
    pump = {("pump", section, domain, "0", "2") for section in "01" for domain in ("source", "target")}
    assert listed == {("fan", "1", "source", "2", "0"), *pump}
    table = (RESULTS / "table2.md").read_text()
    assert "5 sections and domains have no figure" in table
    assert "fan section 01 source (2 normal, 0 anomalous)" in table
    assert "fan section 01 source (2 normal, 0 anomalous)" in capsys.readouterr().out
    assert json.loads((RESULTS / "summary.json").read_text())["submission4"] > 0


def test_a_machine_without_any_label(workplace: Path, job: Job) -> None:
    for number, path in enumerate(sorted(FAN.glob("*_test/*.wav"))):
        path.rename(path.with_name(f"{path.name[:22]}_{number:04d}.wav"))
    run = train(job("train"))
    evaluate(job("evaluate"))
    assert rows(RESULTS / "metrics.csv") == []
    assert len(rows(RESULTS / "unmeasured.csv")) == 4
    assert json.loads((RESULTS / "summary.json").read_text()) == {run.system: None}
