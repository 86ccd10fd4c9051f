"""Readers of recordings as people keep them: folders and tables, each odd file and cell by name."""

import csv
import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd.data.clips import ClipTable
from asd.data.readers.contract import Reading
from asd.data.readers.dcase import DcaseReader
from asd.data.readers.describe import describe, explain_missing
from asd.data.readers.folder import FolderReader
from asd.data.readers.overview import describe_table
from asd.data.readers.split import Split
from asd.data.readers.table import TableReader, write_table
from asd.data.readers.words import machine_name, number_sections
from asd.data.sound_files import OTHER_SUFFIXES, SUFFIXES, list_sound
from tests.support.factory import RATE, make_machine, tone
from tests.support.refusals import check_refusal

Groups = dict[tuple[str, str], int]


def put(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"sound")
    return root


def numbered(folder: str, count: int, suffix: str = "wav") -> list[str]:
    return [f"{folder}/{number:03d}.{suffix}" for number in range(count)]


def groups(table: ClipTable) -> Groups:
    return dict(Counter(zip(table.split.tolist(), table.label.tolist(), strict=True)))


def own(root: Path) -> Path:
    """Eight normal and three anomalous recordings of one machine."""
    return put(root / "press", *numbered("normal", 8), *numbered("abnormal", 3))


# Layouts: files → machines, and groups of the first machine.
LAYOUTS: dict[str, tuple[list[str], list[str], Groups]] = {
    "normal and abnormal": (
        [*numbered("normal", 8), *numbered("abnormal", 3)],
        ["root"],
        {("train", "normal"): 6, ("test", "normal"): 2, ("test", "anomaly"): 3},
    ),
    "other words, other letter case": (
        [*numbered("OK", 8), *numbered("Defective", 3)],
        ["root"],
        {("train", "normal"): 6, ("test", "normal"): 2, ("test", "anomaly"): 3},
    ),
    "train and test with labels": (
        [*numbered("train/normal", 4), *numbered("test/normal", 2), *numbered("test/anomaly", 3)],
        ["root"],
        {("train", "normal"): 4, ("test", "normal"): 2, ("test", "anomaly"): 3},
    ),
    "train without a label": (
        [*numbered("train", 4), *numbered("test/good", 2), *numbered("test/broken", 3)],
        ["root"],
        {("train", "normal"): 4, ("test", "normal"): 2, ("test", "anomaly"): 3},
    ),
    "a blind test": (
        [*numbered("train", 4), *numbered("test", 5)],
        ["root"],
        {("train", "normal"): 4, ("test", "unknown"): 5},
    ),
    "train beside normal and abnormal": (
        [*numbered("train", 4), *numbered("normal", 2), *numbered("abnormal", 3)],
        ["root"],
        {("train", "normal"): 4, ("test", "normal"): 2, ("test", "anomaly"): 3},
    ),
    "normal beside a test folder": (
        [*numbered("normal", 4), *numbered("test/normal", 2), *numbered("test/faulty", 3)],
        ["root"],
        {("train", "normal"): 4, ("test", "normal"): 2, ("test", "anomaly"): 3},
    ),
    "MIMII": (
        [*numbered("fan/id_00/normal", 4), *numbered("fan/id_02/normal", 4), *numbered("fan/id_00/abnormal", 2)],
        ["fan"],
        {("train", "normal"): 6, ("test", "normal"): 2, ("test", "anomaly"): 2},
    ),
    "one machine of MIMII": (
        [*numbered("id_00/normal", 4), *numbered("id_02/normal", 4)],
        ["root"],
        {("train", "normal"): 6, ("test", "normal"): 2},
    ),
    "ToyADMOS": (
        [
            *numbered("ToyCar/case1/NormalSound_IND", 4),
            *numbered("ToyCar/case1/AnomalousSound_IND", 2),
            *numbered("ToyCar/EnvironmentalNoise_CNT", 2),
        ],
        ["ToyCar"],
        {("train", "normal"): 3, ("test", "normal"): 1, ("test", "anomaly"): 2},
    ),
    "a folder for each machine": (
        [*numbered("press/normal", 4), *numbered("pump 2/normal", 4), *numbered("press/abnormal", 1)],
        ["press", "pump_2"],
        {("train", "normal"): 3, ("test", "normal"): 1, ("test", "anomaly"): 1},
    ),
    "domains": (
        [*numbered("source/normal", 4), *numbered("target/normal", 4)],
        ["root"],
        {("train", "normal"): 6, ("test", "normal"): 2},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_folders(tmp_path: Path, layout: str) -> None:
    files, machines, expected = LAYOUTS[layout]
    reader = FolderReader(put(tmp_path / "root", *files))
    assert reader.machines() == machines
    reading = reader.read(machines[0])
    assert groups(reading.table) == expected
    assert reading.excluded == {}
    assert reading.table.edition == "own"


def test_individuals_are_sections_and_folders_below_are_attributes(tmp_path: Path) -> None:
    files = [*numbered("fan/id_04/normal/load 2/speed 1", 3), *numbered("fan/id_00/normal", 3)]
    table = FolderReader(put(tmp_path, *files)).read("fan").table
    assert table.section_names == {0: "id_00", 4: "id_04"}
    assert set(table.attributes[table.section == 4]) == {"load 2/speed 1"}
    assert not table.has_domains
    assert table.is_source.all()


def test_domains_by_folder(tmp_path: Path) -> None:
    table = (
        FolderReader(put(tmp_path / "a", *numbered("source/normal", 2), *numbered("target/normal", 2))).read("a").table
    )
    assert table.is_target.tolist() == [False, False, True, True]
    assert table.has_domains


# What cannot be read in one way alone is asked for by key.
OPEN = [
    (numbered("lab/press/normal", 2), "data.reader.levels=[machine,section] or [machine,attribute]"),
    (numbered("a/b/id_00/normal", 2), "data.reader.levels=[attribute,machine,section]"),
    ([*numbered("normal", 2), *numbered("press/normal", 2)], "unlike numbers of folders"),
    ([*numbered("a b/normal", 2), *numbered("a_b/normal", 2)], "are both machine=a_b; rename one"),
]


@pytest.mark.parametrize(("files", "message"), OPEN, ids=range(len(OPEN)))
def test_what_is_ambiguous_is_asked(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        FolderReader(put(tmp_path, *files)).machines()
    check_refusal(str(caught.value), str(tmp_path), message)


def test_levels_answer(tmp_path: Path) -> None:
    files = [*numbered("0_dB/fan/id_00/normal", 3), *numbered("6_dB/fan/id_00/normal", 3)]
    reader = FolderReader(put(tmp_path, *files), levels=["attribute", "machine", "section"])
    assert reader.machines() == ["fan"]
    assert set(reader.read("fan").table.attributes) == {"0_dB", "6_dB"}
    below = FolderReader(
        put(tmp_path / "b", *numbered("normal/press", 2), *numbered("normal/pump", 2)), levels=["machine"]
    )
    assert below.machines() == ["press", "pump"]


def test_a_word_alone_is_one_word_and_a_number_is_its_digits(tmp_path: Path) -> None:
    put(tmp_path / "press", *numbered("0", 8), *numbered("1", 3), "o/x.wav", "noise/y.wav")
    reader = FolderReader(tmp_path / "press", normal=0, anomalous="1", ignore="noise")  # type: ignore[arg-type]
    reading = reader.read("press")
    assert groups(reading.table) == {("train", "normal"): 6, ("test", "normal"): 2, ("test", "anomaly"): 3}
    assert list(reading.excluded) == ["o/x.wav"]
    table = table_of(tmp_path, "2024,label\n0.wav,0\n1.wav,0\n2.wav,1\n")
    words = {"columns": {"path": 2024}, "normal": 0, "anomalous": 1}
    assert len(TableReader(table, **words).read("clips").table) == 3  # type: ignore[arg-type]


# One odd file among good ones: (path, what is said of it); None: passed over, and counted.
ODD = [
    ("stray.wav", "in no folder called normal"),
    ("other/stray.wav", "in no folder called normal"),
    ("normal/abnormal/both.wav", "two kinds of label"),
    ("train/abnormal/x.wav", "an anomaly among the training clips"),
    ("normal/phone.m4a", "libsndfile does not read .m4a"),
    ("normal/phone.AAC", "libsndfile does not read .AAC"),
    ("normal/old.wma", "libsndfile does not read .wma"),
    ("normal/film.mp4", "libsndfile does not read .mp4"),
    ("normal/bare.raw", "libsndfile does not read .raw"),
    ("normal/bell\x07.wav", "cannot be written down"),
    ("normal/line\nbreak.wav", "cannot be written down"),
    ("normal/._000.wav", None),
    ("normal/.hidden.wav", None),
    ("normal/.DS_Store", None),
    ("normal/Thumbs.db", None),
    ("normal/desktop.ini", None),
    ("__MACOSX/normal/000.wav", None),
    ("@eaDir/normal/000.wav", None),
    (".git/normal/000.wav", None),
    ("normal/notes.txt", None),
    ("normal/picture.png", None),
    ("normal/sound.mat", None),
    ("normal/nosuffix", None),
    ("readme.md", None),
    ("EnvironmentalNoise_CNT/000.wav", None),
]


@pytest.mark.parametrize(("path", "message"), ODD, ids=[ascii(path) for path, _ in ODD])
def test_odd_files_are_named_or_counted(tmp_path: Path, path: str, message: str | None) -> None:
    reading = FolderReader(put(own(tmp_path), path)).read("press")
    assert len(reading.table) == 11
    shown = path.encode("ascii", "backslashreplace").decode() if path.isprintable() else None
    if message is None:
        assert reading.excluded == {}
        assert len(reading.ignored) == 1
    else:
        ((found, why),) = reading.excluded.items()
        check_refusal(why, message)
        assert shown is None or found == path
        assert f"1 files cannot be used:\n    {found}: " in describe_table(reading)


@pytest.mark.parametrize("suffix", ["wav", "WAV", "Wave", "flac", "OGG", "mp3", "aiff", "au", "w64", "rf64", "caf"])
def test_suffixes_in_any_letter_case(tmp_path: Path, suffix: str) -> None:
    put(own(tmp_path), f"normal/x.{suffix}")
    assert len(FolderReader(tmp_path / "press").read("press").table) == 12


def test_suffixes_are_those_of_libsndfile() -> None:
    formats = {name.lower() for name in soundfile.available_formats()}
    assert {"wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "rf64", "voc", "nist"} <= SUFFIXES
    assert {"wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "rf64", "voc", "nist"} <= formats
    assert not SUFFIXES & OTHER_SUFFIXES


def link(target: str, path: Path) -> None:
    path.symlink_to(target)


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to nowhere": (lambda path: link("nowhere.wav", path), "a link that leads nowhere"),
    "a link to itself": (lambda path: link(path.name, path), "a link that leads nowhere"),
    "a folder called .wav": (lambda path: path.mkdir(), "not a regular file"),
    "a pipe": (lambda path: os.mkfifo(path), "not a regular file"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file(tmp_path: Path, kind: str) -> None:
    make, message = SPECIAL[kind]
    make(own(tmp_path) / "normal/x.wav")
    ((path, why),) = FolderReader(tmp_path / "press").read("press").excluded.items()
    assert path == "normal/x.wav"
    check_refusal(why, message)


def test_links_to_folders_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    put(tmp_path / "store", *numbered("normal", 4))
    (tmp_path / "press").mkdir()
    link(str(tmp_path / "store/normal"), tmp_path / "press/normal")
    link("..", tmp_path / "store/normal/circle")
    link(str(tmp_path / "press"), tmp_path / "store/normal/back")
    reading = FolderReader(tmp_path / "press").read("press")
    assert len(reading.table) == 4
    assert any("a link to a folder that holds it" in why for why in reading.ignored.values())


def test_folders_within_folders_without_end(tmp_path: Path) -> None:
    folder = own(tmp_path) / "normal"
    for _ in range(80):
        folder = folder / "d"
    put(folder, "x.wav")
    ((path, why),) = FolderReader(tmp_path / "press").read("press").excluded.items()
    assert path.startswith("normal/d/d")
    check_refusal(why, "folders deep")


def test_anomalies_in_training_and_files_beside_both_splits(tmp_path: Path) -> None:
    files = [*numbered("train", 3), *numbered("test", 2), "train/faulty/x.wav", "normal/y.wav"]
    reading = FolderReader(put(tmp_path / "a", *files)).read("a")
    check_refusal(reading.excluded["train/faulty/x.wav"], "an anomaly among the training clips")
    check_refusal(reading.excluded["normal/y.wav"], "neither in train nor in test")


def test_options_out_of_range() -> None:
    for options, message in (
        ({"levels": ["machine", "machine"]}, "machine is not allowed there"),
        ({"levels": ["storey"]}, "storey is not allowed there"),
        ({"normal": ["ok"], "anomalous": ["OK"]}, "both hold ok"),
        ({"split": {"test_share": 1}}, "give a share from 0 to below 1"),
        ({"split": {"by": "("}}, "give file, folder or a regular expression"),
        ({"segment": {"seconds": 0}}, "give seconds above 0"),
        ({"segment": {"hop": 2}}, "give data.reader.segment.seconds too"),
    ):
        with pytest.raises(ValueError, match=r".*") as caught:
            FolderReader(Path(), **options)  # type: ignore[arg-type]
        check_refusal(str(caught.value), "data.reader.", message)


def test_the_split_is_seeded_and_keeps_sessions_together() -> None:
    paths = [f"normal/2024-0{month}_{number}.wav" for month in range(1, 9) for number in range(5)]
    by_file = Split().test_files(paths)
    assert by_file == Split().test_files(paths[::-1])
    assert by_file != Split(seed=1).test_files(paths)
    assert len(by_file) == 10
    by_session = Split(by=r"2024-\d\d").test_files(paths)
    months = Counter(path[:14] for path in by_session)
    assert months == dict.fromkeys(months, 5)
    assert len(months) == 2
    channels = [f"x_ch{channel}_{number:04d}.wav" for number in range(8) for channel in range(1, 5)]
    assert set(Counter(path[-8:] for path in Split().test_files(channels)).values()) == {4}
    assert Split(by="folder").test_files(["a/1", "a/2"]) == set()


def test_a_single_session_is_not_divided(tmp_path: Path) -> None:
    reading = FolderReader(put(tmp_path / "a", "normal/long.wav", "abnormal/long.wav")).read("a")
    assert groups(reading.table) == {("train", "normal"): 1, ("test", "anomaly"): 1}
    assert "There is no AUC without normal test clips" in reading.notes[0]


def long_recordings(root: Path) -> Path:
    for path, seconds in (("normal/a", 25), ("normal/b", 21), ("abnormal/c", 10), ("abnormal/d", 3)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / f"{path}.wav", tone(500, seconds, 1), RATE)
    return root


def test_long_recordings_are_cut_and_never_divided_between_splits(tmp_path: Path) -> None:
    reading = FolderReader(long_recordings(tmp_path / "a"), segment={"seconds": 10, "hop": 5}).read("a")
    table = reading.table
    spans = {
        path: list(zip(*(column[table.path == path].tolist() for column in (table.start, table.stop)), strict=True))
        for path in np.unique(table.path)
    }
    ten = 10 * RATE
    assert spans["normal/a.wav"] == [(start * RATE, start * RATE + ten) for start in (0, 5, 10, 15)]
    assert spans["normal/b.wav"] == [(start * RATE, start * RATE + ten) for start in (0, 5, 10, 11)]
    assert spans["abnormal/c.wav"] == [(0, -1)]
    assert spans["abnormal/d.wav"] == [(0, -1)]
    assert all(len(set(table.split[table.path == path])) == 1 for path in spans)
    assert len(set(table.clip_names.tolist())) == len(table)
    assert "10 clips in 4 files" in describe_table(reading)
    whole = FolderReader(tmp_path / "a").read("a").table
    assert whole.fingerprint() != table.fingerprint()


def test_a_recording_that_cannot_be_cut(tmp_path: Path) -> None:
    put(long_recordings(tmp_path / "a"), "normal/z.wav")
    reading = FolderReader(tmp_path / "a", segment={"seconds": 10}).read("a")
    assert "cannot be read as sound" in reading.excluded["normal/z.wav"]


def as_columns(table: ClipTable) -> list[list[object]]:
    names = ("path", "section", "domain", "split", "label", "attributes", "size", "mtime_ns", "start", "stop")
    return [getattr(table, name).tolist() for name in names]


def test_a_dcase_folder_is_read_as_ever(tmp_path: Path) -> None:
    make_machine(tmp_path)
    by_folder, by_dcase = (reader(tmp_path).read("fan").table for reader in (FolderReader, DcaseReader))
    assert as_columns(by_folder) == as_columns(by_dcase)
    assert by_folder.fingerprint() == by_dcase.fingerprint()
    assert by_folder.edition == "2021"


def test_the_fingerprint_of_a_dcase_folder_is_that_of_earlier_versions(tmp_path: Path) -> None:
    """Names and sizes in the order of names, as runs made before readers have it."""
    put(tmp_path, "dev_data/fan/train/section_00_source_train_normal_0000_mic_1.wav")
    table = DcaseReader(tmp_path).read("fan").table
    line = "dev_data/fan/train/section_00_source_train_normal_0000_mic_1.wav\0" + "5\n"
    assert table.fingerprint() == hashlib.sha256(line.encode()).hexdigest()


def test_the_fingerprint_of_own_recordings_tells_labels(tmp_path: Path) -> None:
    own(tmp_path)
    first = FolderReader(tmp_path / "press").read("press").table.fingerprint()
    assert FolderReader(tmp_path / "press", split={"seed": 5}).read("press").table.fingerprint() != first


# Editions: folder and names → edition, and one expected row (section, domain, split, label).
EDITIONS: dict[str, tuple[list[str], str, tuple[int, str, str, str]]] = {
    "2020": (
        ["train/normal_id_02_00000000.wav", "test/anomaly_id_02_00000000.wav"],
        "2020",
        (2, "none", "test", "anomaly"),
    ),
    "2021": (["train/section_01_source_train_normal_0000.wav"], "2021", (1, "source", "train", "normal")),
    "2022": (
        ["train/section_01_target_train_normal_0000_vel_5.wav", "test/section_01_source_test_anomaly_0001_vel_5.wav"],
        "2022",
        (1, "source", "test", "anomaly"),
    ),
    "2023, blind": (
        ["train/section_00_source_train_normal_0000.wav", "test/section_00_0199.wav"],
        "2023",
        (0, "unknown", "test", "unknown"),
    ),
    "2025": (
        [
            "train/section_00_source_train_normal_0000_.wav",
            "test/section_00_0199.wav",
            "supplemental/section_00_machine_0000.wav",
        ],
        "2025",
        (0, "unknown", "test", "unknown"),
    ),
}


@pytest.mark.parametrize("name", EDITIONS)
def test_editions_by_their_layout(tmp_path: Path, name: str) -> None:
    files, edition, last = EDITIONS[name]
    reader = DcaseReader(put(tmp_path / "dev_data/fan", *files).parents[1])
    reading = reader.read("fan")
    table = reading.table
    assert table.edition == edition
    rows = list(zip(table.section.tolist(), table.domain, table.split, table.label, strict=True))
    assert last in rows
    assert reading.excluded == {}
    assert len(reading.ignored) == sum("supplemental" in path for path in files)


def test_an_edition_that_cannot_be_told_is_noted_and_can_be_given(tmp_path: Path) -> None:
    put(tmp_path / "dev_data/fan", *EDITIONS["2023, blind"][0])
    assert "2024, 2025, 2026 look the same: data.edition=YEAR" in DcaseReader(tmp_path).read("fan").notes[0]
    given = DcaseReader(tmp_path, edition=2024).read("fan")
    assert given.table.edition == "2024"
    assert given.notes == ()
    with pytest.raises(ValueError, match=r"data\.edition=2019: give one of 2020, 2021"):
        DcaseReader(tmp_path, edition=2019)
    put(tmp_path / "eval_data/grinder/train", "section_00_source_train_normal_0000.wav")
    assert DcaseReader(tmp_path).read("fan").table.edition == "2023"


def test_attribute_files_fill_in(tmp_path: Path) -> None:
    fan = put(tmp_path / "dev_data/fan", *EDITIONS["2023, blind"][0])
    (fan / "attributes_00.csv").write_text(
        "file_name,d1p,d1v,d2p,d2v\nfan/test/section_00_0199.wav,car,A1,spd,28V\n", encoding="utf-8"
    )
    table = DcaseReader(tmp_path).read("fan").table
    assert (
        dict(zip(table.path, table.attributes, strict=True))["dev_data/fan/test/section_00_0199.wav"]
        == "car_A1_spd_28V"
    )
    (fan / "attributes_00.csv").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as a list" in DcaseReader(tmp_path).read("fan").excluded["dev_data/fan/attributes_00.csv"]


@pytest.mark.parametrize("give", ["up", "machine"])
def test_a_root_one_level_off(tmp_path: Path, give: str) -> None:
    make_machine(tmp_path / "set", sections=1, source=1, target=1, test=1)
    root = {"up": tmp_path, "machine": tmp_path / "set/dev_data/fan"}[give]
    text = explain_missing(root)
    assert f"give data.root={tmp_path / 'set'}" in text
    with pytest.raises(ValueError, match=f"Give data.root={tmp_path / 'set'}"):
        FolderReader(root).machines()


def test_no_data_says_what_lies_there(tmp_path: Path) -> None:
    text = explain_missing(own(tmp_path))
    assert "8 .wav in normal, 3 .wav in abnormal" in text
    assert f"data=folder data.root={tmp_path / 'press'} machine=press" in text
    (tmp_path / "empty").mkdir()
    assert "The folder is empty" in explain_missing(tmp_path / "empty")
    assert "does not exist" in explain_missing(tmp_path / "nowhere")
    put(tmp_path / "text", "a.txt")
    assert "No sound lies there, 1 other files" in explain_missing(tmp_path / "text")


HEAD = "path,label,split,section,domain,machine,start,stop\n"


def table_of(root: Path, text: str, name: str = "clips.csv") -> Path:
    for number in range(4):
        (root / f"{number}.wav").parent.mkdir(parents=True, exist_ok=True)
        if not (root / f"{number}.wav").exists():
            soundfile.write(root / f"{number}.wav", tone(500, 4, number), RATE)
    (root / name).write_text(text, encoding="utf-8")
    return root / name


# One odd row among good ones: its cells, the column it names and what it says.
ODD_ROWS = [
    (",normal,,,,,,", "column path: is empty"),
    ("nowhere.wav,normal,,,,,,", "column path: no such file; give a path relative to"),
    (".,normal,,,,,,", "column path: .: not a regular file"),
    ("a\x07.wav,normal,,,,,,", "column path: holds control characters"),
    ("0.wav,normal,,,,,,", "column path: the same clip as in line 2"),
    ("3.wav,fine,,,,,,", "column label: 'fine' is neither normal, ok"),
    ("3.wav,normal,dev,,,,,", "column split: 'dev': give train, training"),
    ("3.wav,anomaly,train,,,,,", "column label: an anomaly among the training clips"),
    ("3.wav,normal,,,lab,,,", "column domain: 'lab': give source, target"),
    ("3.wav,normal,,,,,soon,", "column start: 'soon': give seconds"),
    ("3.wav,normal,,,,,-1,", "column start: '-1': give seconds"),
    ("3.wav,normal,,,,,nan,", "column start: 'nan': give seconds"),
    ("3.wav,normal,,,,,,inf", "column stop: 'inf': give seconds"),
    ("3.wav,normal,,,,,3,2", "column stop: 2 s is not after the start, 3 s"),
    ("3.wav,normal,,,,,3,9", "columns start and stop: the file ends after 4 s, before the part from 3 s is over"),
    ("3.wav,normal,,,,,7,", "ends after 4 s"),
]


@pytest.mark.parametrize(("row", "message"), ODD_ROWS, ids=[ascii(row) for row, _ in ODD_ROWS])
def test_odd_cells_are_named_with_file_line_and_column(tmp_path: Path, row: str, message: str) -> None:
    text = f"{HEAD}0.wav,normal,,,,,,\n1.wav,OK,,,,,,\n2.wav,abnormal,,,,,,\n{row}\n"
    reading = TableReader(table_of(tmp_path, text)).read("clips")
    ((where, why),) = reading.excluded.items()
    assert where.startswith("clips.csv line 5")
    check_refusal(why, "column", message)
    assert len(reading.table) == 3


ODD_TABLES = [
    ("label\nnormal\n", {}, "no column path; there are label. Say which it is: data.reader.columns.path=NAME"),
    ("", {}, "no column path; there are none"),
    ("path,path\n0.wav,1.wav\n", {}, "2 columns are called path"),
    ("path\n0.wav\n", {"columns": {"label": "Zustand"}}, "no column Zustand; there are path"),
    ("path\n0.wav\n", {"columns": {"lable": "x"}}, "data.reader.columns.lable: no such column"),
    ("path\nx.wav\n", {}, "none of its 1 rows can be used. The first, clips.csv line 2, x.wav: column path"),
]


@pytest.mark.parametrize(("text", "options", "message"), ODD_TABLES, ids=range(len(ODD_TABLES)))
def test_odd_tables(tmp_path: Path, text: str, options: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        TableReader(table_of(tmp_path, text), **options).machines()  # type: ignore[arg-type]
    check_refusal(str(caught.value), "clips.csv" if "lable" not in message else "data.reader", message)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    (tmp_path / "latin.csv").write_bytes("path\nLüfter.wav\n".encode("latin-1"))
    for name, message in (
        ("", "is a folder: give the table itself"),
        ("none.csv", "no such table"),
        ("a.xlsx", "save it as CSV UTF-8"),
        ("latin.csv", "cannot be read as a table in UTF-8"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            TableReader(tmp_path / name).machines()
        check_refusal(str(caught.value), str(tmp_path / name))


def test_a_table_with_odd_column_names(tmp_path: Path) -> None:
    text = (
        "\ufeffDatei;Zustand;Anlage;Nummer\n0.wav;i.O.;Presse 1;A\n.\\1.wav;i.O.;Presse 1;B\n\n"
        "2.wav;n.i.O.;Presse 1;A\n3.wav;;Presse 1;A\n"
    )
    columns = {"path": "datei", "label": "Zustand", "machine": "Anlage", "section": "Nummer", "split": None}
    reader = TableReader(
        table_of(tmp_path, text),
        columns=columns,
        normal=["i.O."],
        anomalous=["n.i.O."],  # type: ignore[arg-type]
    )
    assert reader.machines() == ["Presse_1"]
    table = reader.read("Presse_1").table
    assert table.label.tolist() == ["normal", "normal", "anomaly", "unknown"]
    assert table.split.tolist() == ["train", "train", "test", "test"]
    assert table.section_names == {0: "A", 1: "B"}
    assert table.path.tolist() == ["0.wav", "1.wav", "2.wav", "3.wav"]


def test_parts_of_files_and_tabs(tmp_path: Path) -> None:
    text = "path\tstart\tstop\tsplit\n0.wav\t0\t1.5\ttrain\n0.wav\t1.5\t\ttrain\n1.wav\t\t\ttest\n"
    table = TableReader(table_of(tmp_path, text, "clips.tsv")).read("clips").table
    assert table.start.tolist() == [0, 24_000, 0]
    assert table.stop.tolist() == [24_000, -1, -1]


def test_what_describe_writes_as_a_table_reads_back(tmp_path: Path) -> None:
    root = long_recordings(tmp_path / "a")
    reading = FolderReader(root, segment={"seconds": 10}).read("a")
    (tmp_path / "lists").mkdir()
    write_table(tmp_path / "lists/clips.csv", [reading], root)
    again = TableReader(tmp_path / "lists/clips.csv").read("a").table
    assert [*map(list, zip(again.label, again.split, again.start, again.stop, strict=True))] == [
        *map(list, zip(*(getattr(reading.table, name) for name in ("label", "split", "start", "stop")), strict=True))
    ]
    with pytest.raises(ValueError, match="exists already and is not replaced"):
        write_table(tmp_path / "lists/clips.csv", [reading], root)


def test_machine_names_and_section_numbers() -> None:
    assert machine_name("Halle 3/Lüfter") == "Halle_3_Lüfter"
    assert machine_name("Lu\u0308fter") == "Lüfter"
    assert machine_name("...") == "machine"
    assert number_sections(["id_04", "id_00"]) == {"id_00": 0, "id_04": 4}
    assert number_sections(["b", "a1"]) == {"a1": 0, "b": 1}
    assert number_sections(["a1", "b1"]) == {"a1": 0, "b1": 1}


def test_describe_measures_sound_and_says_what_to_type(tmp_path: Path) -> None:
    root = tmp_path / "Prüfstand 1"
    for label, count in (("normal", 6), ("abnormal", 2)):
        (root / label).mkdir(parents=True)
        for number in range(count):
            stereo = np.stack([tone(500, 2, number)] * 2, axis=1)
            soundfile.write(root / label / f"{number} ü.FLAC", stereo, 44_100, format="FLAC")
    loud = np.clip(tone(500, 2, 9).astype(np.int32) * 5, -32768, 32767).astype(np.int16)
    soundfile.write(root / "normal/loud.wav", loud, RATE)
    (root / "normal/copy.wav").write_bytes((root / "normal/loud.wav").read_bytes())
    soundfile.write(root / "normal/zero.wav", np.zeros(RATE), RATE)
    found = describe(root)
    assert found.traits is not None
    assert dict(found.traits.rates) == {44_100: 8, RATE: 3}
    assert len(found.traits.clipped) == 2
    assert found.traits.silent == [str(root / "normal/zero.wav")]
    assert len(found.traits.duplicates) >= 1
    assert found.commands == [
        f"asd train data=folder data.root='\"{root}\"' 'machine=\"Prüfstand_1\"' method=autoencoder "
        "data.sample_rate=resample"
    ]
    assert any("data.channel=0 … 1" in question for question in found.questions)
    assert found.as_json()["machines"][0]["clips"] == 11


def run_describe(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from asd.cli import main; sys.exit(main(['data', 'describe', *sys.argv[1:]]))"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.ci
@pytest.mark.slow
def test_describe_on_the_command_line(tmp_path: Path) -> None:
    put(tmp_path, *numbered("a/b/normal", 3))
    asked = run_describe(str(tmp_path))
    assert asked.returncode == 1
    assert "data.reader.levels=[machine,section]" in asked.stdout
    table = tmp_path / "clips.csv"
    told = run_describe(str(tmp_path), "data.reader.levels=[machine,section]", "--table", str(table))
    assert told.returncode == 0, told.stderr
    assert "'data.reader.levels=[machine,section]'" in told.stdout
    with open(table, newline="", encoding="utf-8") as file:
        assert [row["section"] for row in csv.DictReader(file)] == ["b"] * 3
    assert "clips.csv lists recordings (a)" in run_describe(str(tmp_path), "levels=[machine,section]").stdout
    wrong = run_describe(str(tmp_path), "data.reader.storeys=3")
    assert wrong.returncode == 1
    assert "storeys" in wrong.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dcase", "folder", "table"])
def test_sixty_thousand_names_within_three_seconds(tmp_path: Path, kind: str) -> None:
    """Seconds of processor time, the making of the table included: other processes do not count."""
    root = tmp_path / "data"
    for section in range(6):
        folder = root / ("dev_data/fan/train" if kind == "dcase" else f"fan/id_{section:02d}/normal")
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(10_000):
            (folder / f"section_{section:02d}_source_train_normal_{number:04d}.wav").touch()
    if kind == "table":
        lines = [f"{path.relative_to(root)},normal,fan" for path in root.rglob("*.wav")]
        (root / "clips.csv").write_text("path,label,machine\n" + "\n".join(lines))
    make: dict[str, Callable[[], Reading]] = {
        "dcase": lambda: DcaseReader(root).read("fan"),
        "folder": lambda: FolderReader(root).read("fan"),
        "table": lambda: TableReader(root / "clips.csv").read("fan"),
    }
    begin = time.process_time()
    reading = make[kind]()
    seconds = time.process_time() - begin
    assert len(reading.table) == 60_000
    assert seconds < 3, f"{seconds:.2f} s"


def test_a_listing_accounts_for_every_file(tmp_path: Path) -> None:
    put(own(tmp_path), "normal/a.txt", "normal/b.m4a")
    listing = list_sound(tmp_path, tmp_path)
    assert len(listing.files) + len(listing.excluded) + len(listing.ignored) == 13
