"""Names of clips and the table of a data set's folders."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asd.data.clip_names import ClipName, parse_name
from asd.data.clips import MACHINES
from asd.data.readers.dcase import DcaseReader
from tests.support.factory import scan_machine
from tests.support.refusals import check_refusal

TRAIN = "section_00_source_train_normal_0000.wav"


def put(root: Path, *paths: str, content: bytes = b"sound") -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def small_set(root: Path) -> Path:
    return put(
        root,
        f"dev_data/fan/train/{TRAIN}",
        "dev_data/fan/train/section_00_target_train_normal_0002_strenght_1_ambient.wav",
        "dev_data/fan/source_test/section_00_source_test_anomaly_0007.wav",
        "dev_data/fan/target_test/section_00_target_test_normal_0001.wav",
        "eval_data/fan/train/section_03_source_train_normal_0000_0_g_25_mm_2000_mV_none.wav",
        "eval_data/fan/source_test/section_03_source_test_0000.wav",
        "dev_data/valve/train/section_00_source_train_normal_0000.wav",
    )


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        (TRAIN, ClipName(0, "source", "train", "normal", 0, "")),
        (
            "section_05_target_test_anomaly_0199.wav",
            ClipName(5, "target", "test", "anomaly", 199, ""),
        ),
        ("section_03_source_test_0012.wav", ClipName(3, "source", "test", "unknown", 12, "")),
        (
            "section_01_source_train_normal_0900_0_g_25_mm_2000_mV_none.wav",
            ClipName(1, "source", "train", "normal", 900, "0_g_25_mm_2000_mV_none"),
        ),
        (
            "section_01_source_train_normal_0001_A1Spd28VMic1_0002.wav",
            ClipName(1, "source", "train", "normal", 1, "A1Spd28VMic1_0002"),
        ),
    ],
)
def test_names_are_taken_apart(name: str, clip: ClipName) -> None:
    assert parse_name(name) == clip


@pytest.mark.parametrize(
    "name",
    [
        "normal_id_00_00000000.wav",
        "section_0_source_train_normal_0000.wav",
        "section_00_source_train_normal_000.wav",
        "section_00_source_train_broken_0000.wav",
        "section_00_source_train_normal_0000_.wav",
        "section_00_source_train_normal_0000.wav\n",
        "section_00_source_train_normal_0000.txt",
        "section_00_source_train_normal_0000_wav",
        "section_٠٠_source_train_normal_0000.wav",
    ],
)
def test_other_names_are_refused_with_an_example(name: str) -> None:
    with pytest.raises(ValueError, match="a name looks like section_00_source_train_normal_0000"):
        parse_name(name)


def test_all_real_names_of_the_development_test(shared: Path) -> None:
    with open(shared / "names" / "names_2021_dev_test.csv") as file:
        rows = list(csv.reader(file))
    clips = [parse_name(name) for _, name in rows]
    assert len(clips) == 8621
    assert {machine for machine, _ in rows} == set(MACHINES)
    assert {clip.split for clip in clips} == {"test"}
    assert {clip.label for clip in clips} == {"normal", "anomaly"}


def test_all_real_names_of_the_fan(shared: Path) -> None:
    with open(shared / "names" / "names_2021_fan_dev_and_additional.csv") as file:
        rows = [(name, parse_name(name)) for _, name in csv.reader(file)]
    training = Counter((clip.section, clip.domain) for _, clip in rows if clip.split == "train")
    assert training == {(section, domain): n for section in range(6) for domain, n in (("source", 1000), ("target", 3))}
    for name, clip in rows:
        assert name.removesuffix(".wav").endswith(clip.attributes)
        middle = f"section_{clip.section:02d}_{clip.domain}_{clip.split}_{clip.label}_{clip.number:04d}"
        assert name == middle + ("_" + clip.attributes if clip.attributes else "") + ".wav"


def test_the_real_fan_clips_are_scanned_as_described(shared: Path) -> None:
    table = scan_machine(shared / "mimii_fan", "fan")
    counts = Counter(zip(table.section.tolist(), table.domain, table.split, table.label, strict=True))
    assert counts == {
        (0, "source", "train", "normal"): 10,
        (0, "target", "train", "normal"): 3,
        (0, "source", "test", "normal"): 4,
        (0, "target", "test", "normal"): 3,
        (0, "source", "test", "anomaly"): 10,
        (0, "target", "test", "anomaly"): 10,
        (1, "source", "train", "normal"): 4,
        (1, "target", "train", "normal"): 2,
        (1, "source", "test", "normal"): 2,
        (1, "target", "test", "normal"): 2,
        (1, "source", "test", "anomaly"): 5,
        (1, "target", "test", "anomaly"): 5,
    }
    assert table.sections == [0, 1]
    assert table.size.sum() == sum(file.stat().st_size for file in (shared / "mimii_fan").rglob("*.wav"))


def test_development_and_additional_data_are_one_table(tmp_path: Path) -> None:
    table = scan_machine(small_set(tmp_path), "fan")
    assert table.path.tolist() == sorted(table.path.tolist())
    assert len(table) == 6
    assert table.sections == [0, 3]
    assert table.section.dtype == np.int16
    assert table.is_train.sum() == 3
    assert table.is_test.sum() == 3
    assert table.is_source.sum() == 4
    assert table.is_target.sum() == 2
    assert sorted(table.label) == ["anomaly", "normal", "normal", "normal", "normal", "unknown"]
    assert "strenght_1_ambient" in table.attributes
    assert all(table.absolute(row).is_file() for row in range(len(table)))


def test_sections_are_those_with_training_clips(tmp_path: Path) -> None:
    put(small_set(tmp_path), "eval_data/fan/target_test/section_04_target_test_0000.wav")
    table = scan_machine(tmp_path, "fan")
    assert table.sections == [0, 3]
    assert 4 in table.section


def test_select_keeps_rows_together(tmp_path: Path) -> None:
    table = scan_machine(small_set(tmp_path), "fan")
    target = table.select(table.is_target)
    assert len(target) == 2
    assert all("target" in path for path in target.path)
    assert target.root == tmp_path
    assert table.select(np.array([1])).path.tolist() == [table.path[1]]


def test_a_root_that_holds_the_machine_itself(tmp_path: Path) -> None:
    small_set(tmp_path)
    table = scan_machine(tmp_path / "dev_data", "fan")
    assert len(table) == 4
    assert table.path[0].startswith("fan/")
    assert DcaseReader(tmp_path).machines() == ["fan", "valve"]
    assert DcaseReader(tmp_path / "eval_data").machines() == ["fan"]
    assert DcaseReader(tmp_path / "nothing").machines() == []


def test_spaces_other_scripts_and_links(tmp_path: Path) -> None:
    real = small_set(tmp_path / "Prüfstand 3 — ファン")
    put(real, "dev_data/fan/train/section_00_source_train_normal_0001_größe 2 回転.wav")
    (tmp_path / "link").symlink_to(real, target_is_directory=True)
    (tmp_path / "root" / "dev_data").mkdir(parents=True)
    (tmp_path / "root" / "dev_data" / "fan").symlink_to(real / "dev_data" / "fan", target_is_directory=True)
    table = scan_machine(tmp_path / "link", "fan")
    assert "größe 2 回転" in table.attributes
    assert len(table) == 7
    assert all(table.absolute(row).is_file() for row in range(len(table)))
    assert len(scan_machine(tmp_path / "root", "fan")) == 5


def test_fingerprint_depends_on_names_and_sizes_only(tmp_path: Path) -> None:
    first = scan_machine(small_set(tmp_path / "a"), "fan").fingerprint()
    other = small_set(tmp_path / "b")
    (other / f"dev_data/fan/train/{TRAIN}").touch()
    assert scan_machine(other, "fan").fingerprint() == first
    put(other, f"dev_data/fan/train/{TRAIN}", content=b"longer sound")
    assert scan_machine(other, "fan").fingerprint() != first
    put(other, f"dev_data/fan/train/{TRAIN}")
    put(other, "dev_data/fan/train/section_00_source_train_normal_0001.wav")
    assert scan_machine(other, "fan").fingerprint() != first


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    put(
        small_set(tmp_path),
        "dev_data/fan/train/notes.txt",
        f"dev_data/fan/train/._{TRAIN}",
        "dev_data/._a.wav",
        "dev_data/fan/readme.md",
    )
    assert len(scan_machine(tmp_path, "fan")) == 6


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        scan_machine(tmp_path / "nowhere", "fan")
    with pytest.raises(ValueError, match="there are none"):
        scan_machine(tmp_path, "fan")
    with pytest.raises(ValueError, match="no machine 'fun'; there are fan, valve"):
        scan_machine(small_set(tmp_path), "fun")
    (tmp_path / "dev_data" / "pump" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"pump has no recordings in train, source_test"):
        scan_machine(tmp_path, "pump")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("dev_data/fan/train/other.wav", "train/other.wav: not the name of a clip"),
        ("dev_data/fan/train/SECTION_00_source_train_normal_0009.wav", "not the name of a clip"),
        ("dev_data/fan/train/more/section_00_source_train_normal_0009.wav", "lies in train/more; clips lie in train"),
        ("dev_data/fan/section_00_source_train_normal_0009.wav", "lies in the folder of fan itself; clips lie in"),
        ("eval_data/fan/section_00_source_train_normal_0009.wav", "lies in the folder of fan itself; clips lie in"),
        ("eval_data/fan/fan/train/section_00_source_train_normal_0009.wav", "lies in fan/train; clips lie in train"),
        ("dev_data/section_00_source_train_normal_0009.wav", "lies in dev_data itself; clips lie in dev_data/<"),
        ("dev_data/fan/train/section_00_source_train_normal_0009.m4a", "libsndfile does not read .m4a; convert it"),
        ("dev_data/fan/train/section_00_source_test_normal_0009.wav", "belongs into source_test"),
        ("dev_data/fan/source_test/section_00_target_test_normal_0009.wav", "belongs into target_test"),
        ("dev_data/fan/source_test/section_00_source_train_normal_0009.wav", "belongs into train"),
        ("dev_data/fan/tests/section_00_source_test_normal_0009.wav", "clips lie in train, source_test, target_test"),
        ("dev_data/fan/train/section_00_source_train_anomaly_0009.wav", "an anomaly among the training clips"),
        (f"eval_data/fan/train/{TRAIN}", f"the same name as dev_data/fan/train/{TRAIN}"),
    ],
)
def test_files_in_the_wrong_place_are_named(tmp_path: Path, path: str, message: str) -> None:
    put(small_set(tmp_path), path)
    with pytest.raises(ValueError, match="1 files of fan do not fit") as caught:
        scan_machine(tmp_path, "fan")
    line = next(line for line in str(caught.value).splitlines() if path in line.partition(": ")[0])
    check_refusal(line, path, message)


def test_all_misfits_are_named_at_once(tmp_path: Path) -> None:
    put(small_set(tmp_path), "dev_data/fan/train/one.wav", "eval_data/fan/source_test/two.wav")
    with pytest.raises(ValueError, match=r"2 files(.|\n)*one\.wav(.|\n)*two\.wav"):
        scan_machine(tmp_path, "fan")


def test_scanning_needs_no_torch() -> None:
    code = "import sys, asd.data.readers.describe, asd.data.readers.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
