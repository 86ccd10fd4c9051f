"""The organisers' CSV files: their names in each edition, their rows, and everything that can be wrong with them.

Scores, decisions and ground truth have the same form: no header, one line `name.wav,value` per test clip. A file holds
one section and domain (2021), one section (2022 and later) or one machine ID (2020).
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from asd.scoring.metrics import BOTH, Rule
from asd.system.files import csv_text, write_text
from asd.system.reading import read_rows

Kind = Literal["anomaly_score", "decision_result", "ground_truth"]

EDITIONS: dict[Rule, str] = {"2020": "2020", "2021": "2021", "2022": "2022 and later"}

_STEM: dict[Rule, str] = {
    "2020": "{machine}_id_{section:02d}",
    "2021": "{machine}_section_{section:02d}_{domain}_test",
    "2022": "{machine}_section_{section:02d}_test",
}
_FILE: dict[Rule, re.Pattern[str]] = {
    "2020": re.compile(r"(?P<machine>[A-Za-z0-9]+)_id_(?P<section>\d\d)\.csv"),
    "2021": re.compile(r"(?P<machine>[A-Za-z0-9]+)_section_(?P<section>\d\d)_(?P<domain>source|target)_test\.csv"),
    # the organisers' own baseline adds its data set in front and seed and model behind
    "2022": re.compile(
        r"(?:DCASE\d{4}T2)?(?P<machine>[A-Za-z0-9]+)_section_(?P<section>\d\d)_test(?:_seed\d+.*)?\.csv"
    ),
}
_ID_CLIP = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>\d\d)_\d{8}\.wav")
_SECTION_CLIP = re.compile(
    r"section_(?P<section>\d\d)(?:_(?P<domain>source|target))?(?:_test)?"
    r"(?:_(?P<label>normal|anomaly))?_\d{4}(?:_.*)?\.wav"
)


class Key(NamedTuple):
    """What one file is about; the domain is `both` where a file has no domain of its own."""

    machine: str
    section: int
    domain: str = BOTH

    def __str__(self) -> str:
        return f"{self.machine} section {self.section:02d}" + ("" if self.domain == BOTH else f" {self.domain}")


class ClipName(NamedTuple):
    """What the name of a test clip tells; None where it says nothing."""

    section: int
    domain: str | None
    label: str | None


Values = dict[Key, dict[str, float]]  # what a file is about → name of a clip → its value


def file_name(kind: Kind, key: Key, rule: Rule) -> str:
    """The organisers' name of a file."""
    return f"{kind}_{_STEM[rule].format(**key._asdict())}.csv"


def parse_clip(name: str, rule: Rule) -> ClipName:
    """Reads the name of a test clip.

    Raises:
        ValueError: The edition has no such names.
    """
    match = (_ID_CLIP if rule == "2020" else _SECTION_CLIP).fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not the name of a test clip of edition {EDITIONS[rule]}")
    found = match.groupdict()
    return ClipName(int(found["section"]), found.get("domain"), found["label"])


def find_files(folder: Path, kind: Kind, rule: Rule, problems: list[str]) -> dict[Key, Path]:
    """The files of a kind in a folder; a name of another edition, or of none, is a problem."""
    found: dict[Key, Path] = {}
    for path in sorted(folder.glob(f"{kind}_*.csv")):
        rest = path.name.removeprefix(f"{kind}_")
        if match := _FILE[rule].fullmatch(rest):
            key = Key(match["machine"], int(match["section"]), match.groupdict().get("domain") or BOTH)
            if key in found:
                problems.append(f"{path}: a second file of {key}, beside {found[key].name}; leave those of one system")
            found[key] = path
        else:
            others = [EDITIONS[other] for other, pattern in _FILE.items() if pattern.fullmatch(rest)]
            like = file_name(kind, Key("<machine>", 0, "source"), rule)
            hint = f"a file of edition {others[0]}: give that --edition" if others else "unknown"
            problems.append(f"{path}: {hint}; names of edition {EDITIONS[rule]} are like {like}")
    return found


def read_values(folder: Path, kind: Kind, rule: Rule, machines: Collection[str] | None, problems: list[str]) -> Values:
    """All files of a kind; only those of some machines, if given."""
    files = find_files(folder, kind, rule, problems)
    return {
        key: read_file(path, key, rule, problems, whole=kind != "anomaly_score")
        for key, path in files.items()
        if machines is None or key.machine in machines
    }


def read_file(path: Path, key: Key, rule: Rule, problems: list[str], *, whole: bool) -> dict[str, float]:
    """The rows of a file as name → value; `whole`: 0 and 1 are the only values. Every bad row is a problem."""
    values: dict[str, float] = {}
    try:
        rows = [row for row in enumerate(read_rows(path), start=1) if row[1]]
    except ValueError as error:
        problems.append(str(error))
        return values
    if not rows:
        problems.append(f"{path}: no rows")
    for line, row in rows:
        try:
            name, value = _parse_row(row, key, rule, whole)
            if name in values:
                raise ValueError(f"{name} stands there twice")
            values[name] = value
        except ValueError as error:
            problems.append(f"{path}, line {line}: {error}")
    return values


def _parse_row(row: list[str], key: Key, rule: Rule, whole: bool) -> tuple[str, float]:
    if len(row) != 2:
        raise ValueError(f"{','.join(row)!r} has {len(row)} columns; two are wanted: name.wav,value")
    name = row[0].strip()
    clip = parse_clip(name, rule)
    if clip.section != key.section or (key.domain != BOTH and clip.domain not in (key.domain, None)):
        raise ValueError(f"{name} does not belong to {key}")
    try:
        value = float(row[1])
    except ValueError:
        raise ValueError(f"{name}: {row[1]!r} is no number") from None
    if whole and value not in (0, 1):
        raise ValueError(f"{name}: {row[1]!r} is neither 0 (normal) nor 1 (anomaly)")
    if not math.isfinite(value):
        raise ValueError(f"{name}: the score is {row[1].strip()}")
    return name, value


def write_values(folder: Path, kind: Kind, key: Key, rule: Rule, values: Mapping[str, float]) -> Path:
    """Writes one file; numbers read back as the same bits."""
    path = folder / file_name(kind, key, rule)
    write_text(path, csv_text(values.items()))
    return path


def listing(names: Iterable[str]) -> str:
    """Names in order, separated by commas."""
    return ", ".join(sorted(names))
