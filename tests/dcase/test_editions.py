"""The table of editions: real names, real counts, and that every entry is whole."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from asd.dcase.counts import COUNTS_2021
from asd.dcase.editions import EDITIONS, PARTS, edition_of
from tests.support.factory import scan_machine

NAMES_2021 = {"names_2021_dev_test.csv": 8621, "names_2021_fan_dev_and_additional.csv": 7218}


def folder_of(name: str) -> str:
    words = name.split("_")
    return "train" if words[3] == "train" else f"{words[2]}_test"


@pytest.mark.parametrize(("file", "rows"), NAMES_2021.items())
def test_real_names_of_2021_parse_and_count(shared: Path, file: str, rows: int) -> None:
    found: Counter[tuple[str, int, str, str, str]] = Counter()
    with open(shared / "names" / file, newline="", encoding="utf-8") as stream:
        for machine, name in csv.reader(stream):
            clip = EDITIONS[2021].read_name(name, folder_of(name))
            found[machine, clip.section, clip.domain, clip.split, clip.label] += 1
    assert found.total() == rows
    expected = {tuple(group)[1:]: count for group, count in COUNTS_2021.items()}
    assert found == {key: expected[key] for key in found}


def test_totals_of_2021() -> None:
    total: Counter[tuple[str, str]] = Counter()
    for group, count in COUNTS_2021.items():
        total[group.folder, group.split] += count
    assert total["dev_data", "test"] == 8621
    assert total["dev_data", "train"] == 21_080
    assert total["eval_data", "train"] == 21_168


@pytest.mark.parametrize(
    ("year", "folder", "name", "expected"),
    [
        (2020, "test", "anomaly_id_03_00000012.wav", (3, "unknown", "test", "anomaly", 12, "")),
        (2020, "test", "id_01_00000000.wav", (1, "unknown", "test", "unknown", 0, "")),
        (2020, "train", "normal_id_00_00000001.wav", (0, "unknown", "train", "normal", 1, "")),
        (2021, "source_test", "section_03_source_test_0007.wav", (3, "source", "test", "unknown", 7, "")),
        (2022, "test", "section_03_0199.wav", (3, "unknown", "test", "unknown", 199, "")),
        (2022, "train", "section_00_target_train_normal_0009_vel_21.wav",
         (0, "target", "train", "normal", 9, "vel_21")),
        (2024, "train", "section_00_source_train_normal_0765_noAttribute.wav",
         (0, "source", "train", "normal", 765, "noAttribute")),
        (2025, "train", "section_00_source_train_normal_0000_.wav", (0, "source", "train", "normal", 0, "")),
        (2025, "test", "section_00_test_0000.wav", (0, "unknown", "test", "unknown", 0, "")),
        (2025, "supplemental", "section_00_machine_0001_.wav", (0, "unknown", "supplemental", "unknown", 1, "")),
    ],
)  # fmt: skip
def test_names_of_each_edition(year: int, folder: str, name: str, expected: tuple[object, ...]) -> None:
    assert EDITIONS[year].read_name(name, folder) == expected


@pytest.mark.parametrize(
    ("year", "folder", "name", "message"),
    [
        (2021, "train", "normal_id_00_00000001.wav", "not the name of a clip"),
        (2021, "source_test", "section_00_target_test_normal_0001.wav", "belongs into target_test"),
        (2021, "train", "section_00_source_test_normal_0001.wav", "belongs into source_test"),
        (2021, "train", "section_00_source_train_anomaly_0001.wav", "training clips are normal"),
        (2021, "test", "section_00_source_test_normal_0001.wav", "lies in test"),
        (2022, "test", "section_00_source_test_normal_٠٠٠١.wav", "not the name of a clip"),
    ],
)
def test_names_that_do_not_belong(year: int, folder: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EDITIONS[year].read_name(name, folder)


@pytest.mark.parametrize("year", EDITIONS)
def test_every_edition_is_whole(year: int) -> None:
    edition = edition_of(year)
    assert edition.year == year
    assert set(edition.parts) <= set(PARTS)
    assert edition.parts.keys() >= {"dev", "additional", "evaluation"}
    records = [part.record for part in edition.parts.values()]
    assert len(set(records)) == len(records)
    for part in edition.parts.values():
        assert set(part.renamed) <= set(part.machines)
        assert all(part.archive_of(machine).endswith(".zip") for machine in part.machines)
    assert {group.machine for group in edition.counts} <= set(edition.machines)


def test_no_such_edition() -> None:
    with pytest.raises(ValueError, match=r"no edition 2019.*2020"):
        edition_of(2019)


def test_development_data_of_later_editions_can_be_trained_on(tmp_path: Path) -> None:
    for folder, name in (
        ("train", "section_00_source_train_normal_0000_vel_5.wav"),
        ("train", "section_00_target_train_normal_0000_noAttribute.wav"),
        ("test", "section_00_target_test_anomaly_0000_vel_3.wav"),
    ):
        path = tmp_path / "dev_data/bearing" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        EDITIONS[2025].read_name(name, folder)
    table = scan_machine(tmp_path, "bearing")
    assert sorted(table.domain) == ["source", "target", "target"]
    assert sorted(table.attributes) == ["noAttribute", "vel_3", "vel_5"]
