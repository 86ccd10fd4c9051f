"""The clips of all machines as one table (scope=all)."""

from pathlib import Path

import numpy as np
import pytest

from asd.data.classes import told_classes
from asd.data.readers.dcase import DcaseReader
from asd.data.readers.overview import describe_table
from asd.data.readers.table import TableReader
from asd.data.readers.union import read_all
from tests.support.factory import make_machine


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pump of sections 00 and 01 beside a fan of section 00 alone; only the fan has names of attributes."""
    folder = tmp_path_factory.mktemp("data")
    make_machine(folder, "pump", source=1, target=1, test=1, seconds=0.01)
    make_machine(folder, "fan", sections=1, source=2, target=1, test=1, seconds=0.01)
    for path in sorted((folder / "dev_data" / "fan" / "train").glob("*.wav")):
        path.rename(path.with_stem(f"{path.stem}_load_{path.stem[-1]}"))
    return folder


def test_sections_are_told_apart_by_machine(root: Path) -> None:
    reader = DcaseReader(root)
    reading = read_all(reader, "error")
    table, alone = reading.table, {name: reader.read(name).table for name in ("fan", "pump")}
    assert table.machine == "all"
    assert table.path.tolist() == sorted([*alone["fan"].path, *alone["pump"].path])
    assert table.owner is not None
    for name, own in alone.items():
        part = table.select(table.owner == name)
        for column in ("path", "domain", "split", "label", "attributes", "size", "start", "stop"):
            assert getattr(part, column).tolist() == getattr(own, column).tolist()
        number = {0: 0} if name == "fan" else {0: 1, 1: 2}
        assert part.section.tolist() == [number[section] for section in own.section.tolist()]
    assert table.classes == ["fan, section 00", "pump, section 00", "pump, section 01"]
    assert table.class_index[table.is_train].tolist() == table.section[table.is_train].tolist()
    assert reading.notes[0] == "one network for 2 machines (scope=all): fan, pump"
    lines = describe_table(reading).splitlines()
    assert lines[1].split() == ["machine", "domain", "split", "normal", "anomaly"]
    assert lines[2].split() == ["fan", "source", "train", "2", "0"]


def test_classes_of_all_machines(root: Path) -> None:
    table = read_all(DcaseReader(root), "error").table
    train = table.select(table.is_train)

    def names(kind: str) -> list[str]:
        return np.unique(told_classes(train, kind)).tolist()

    assert names("machine") == ["fan", "pump"]
    assert names("section") == table.classes
    assert names("attributes") == ["fan, section 00, load_0", "fan, section 00, load_1", *table.classes[1:]]
    assert names("attributes_domain")[:2] == ["fan, section 00, load_0, source", "fan, section 00, load_0, target"]
    alone = DcaseReader(root).read("fan").table
    assert set(told_classes(alone, "machine")) == {"fan"}


def test_what_belongs_to_which_machine_is_part_of_the_identity(tmp_path: Path) -> None:
    make_machine(tmp_path, source=2, target=0, test=0, seconds=0.01)
    paths = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.wav"))
    prints = []
    for machines in ("aabb", "aabb", "abab"):
        rows = [f"{path},{machine}" for path, machine in zip(paths, machines, strict=True)]
        (tmp_path / "clips.csv").write_text("\n".join(["path,machine,split", *(f"{row},train" for row in rows)]))
        prints.append(read_all(TableReader(tmp_path / "clips.csv"), "error").table.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_what_is_not_several_machines_is_refused(root: Path, tmp_path: Path) -> None:
    make_machine(tmp_path, "fan", sections=1, source=2, target=0, test=0, seconds=0.01)
    with pytest.raises(ValueError, match=r"scope=all: data.root has one machine, fan: leave scope out"):
        read_all(DcaseReader(tmp_path), "error")
    make_machine(tmp_path, "all", sections=1, source=2, target=0, test=0, seconds=0.01)
    with pytest.raises(ValueError, match=r"a machine of data\.root is called all.*: give it another name"):
        read_all(DcaseReader(tmp_path), "error")
