"""The one reader of what is on disk: size, depth and shape are checked, and every mistake names its file.

    read_json(path, Receipt)                   # a dataclass, a TypedDict, dict[str, int], …
    read_csv(path, ("clip", "score"))          # rows with these columns

Files may come from elsewhere, cut short or made by hand. Nothing in them is executed.
"""

import csv
import io
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from asd.system.printable import one_line

MEGABYTE = 1 << 20
MOST_TEXT = 64 * MEGABYTE
MOST_YAML = 2 * MEGABYTE
DEEPEST = 40  # levels of lists and mappings within each other
MOST_VALUES = 5_000_000  # of a file, aliases counted as often as they are used
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is eight times as fast

T = TypeVar("T")


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a regular file of at most so many.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is larger, or a pipe, a device or a folder.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path}: not a plain file")
        if found.st_size > most:
            raise ValueError(f"{path}: {found.st_size:,} bytes; at most {most:,} are read")
        return file.read(most + 1)


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """A text file in UTF-8.

    Raises:
        ValueError: It is not.
    """
    try:
        return read_bytes(path, most).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: invalid UTF-8 at byte {error.start}") from None


def read_json(path: Path, kind: type[T]) -> T:
    """A JSON file of a shape.

    Args:
        path: The file.
        kind: What it must hold, as pydantic understands types.

    Raises:
        ValueError: It holds something else.
    """
    return parse_json(read_text(path), kind, str(path))


def parse_json(text: str | bytes, kind: type[T], where: str) -> T:
    """JSON of a shape, from a file or an answer that `where` names.

    Raises:
        ValueError: It is something else.
    """
    try:
        value = json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({one_line(error)})") from None
    return shaped(value, kind, where)


def refuse_constant(name: str) -> None:
    """Raises ValueError for NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{name} is no value of JSON")


def read_json_lines(path: Path, required: Mapping[str, type], known: Mapping[str, type]) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON objects; a last line that a crash cut short is left out.

    Args:
        path: The file.
        required: What each line must hold; a float may be a whole number.
        known: What it may hold, beside what is not looked at.

    Raises:
        ValueError: A line holds something else; the message has its number.
    """
    lines = read_text(path).split("\n")[:-1]
    return [parse_json_line(line, required, known, f"{path}, line {n}") for n, line in enumerate(lines, 1)]


def parse_json_line(
    text: str | bytes, required: Mapping[str, type], known: Mapping[str, type], where: str
) -> dict[str, Any]:
    """One line of such a file.

    Raises:
        ValueError: It holds something else.
    """
    line = parse_json(text, dict[str, Any], where)
    missing = [name for name in required if name not in line]
    if missing:
        raise ValueError(f"{where}: no {missing[0]}")
    for name, kind in {**required, **known}.items():
        if name in line:
            shaped(line[name], kind, f"{where}: {name}")
    return line


def read_yaml(path: Path, kind: type[T]) -> T:
    """A YAML file of plain values of a shape.

    Raises:
        ValueError: It holds something else.
    """
    text = read_text(path, MOST_YAML)
    try:
        refuse_depth(yaml.parse(text, Loader=SAFE_LOADER), str(path))
        value = yaml.load(text, Loader=SAFE_LOADER)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: such as a date that is none
        raise ValueError(f"{path}: not YAML of plain values ({one_line(error)})") from None
    return shaped(value, kind, str(path))


def refuse_depth(events: Iterable[yaml.Event], where: str) -> None:
    """Raises ValueError where YAML is nested too deeply: libyaml's loader would overflow the stack of the process."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"{where}: nested more than {DEEPEST} deep")


def shaped(value: Any, kind: type[T], where: str) -> T:
    """A value of a shape, neither too deep nor too large.

    Raises:
        ValueError: Naming where, and the first place in it that does not fit.
    """
    refuse_excess(value, where)
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place, message = ".".join(map(str, first["loc"])), first["msg"]
        raise ValueError(f"{where}: {one_line(f'{place}: {message}' if place else message)}") from None


def refuse_excess(value: Any, where: str) -> None:
    """Raises ValueError where lists and mappings are nested too deeply, or hold too much."""
    level, n_values, depth = [value], 0, 0
    while level:
        n_values, depth = n_values + len(level), depth + 1
        if depth > DEEPEST or n_values > MOST_VALUES:
            raise ValueError(f"{where}: nested more than {DEEPEST} deep, or more than {MOST_VALUES:,} values")
        level = [item for holder in level for item in contents(holder)]


def contents(holder: Any) -> Sequence[Any]:
    """What a list or a mapping holds; nothing for other values."""
    if isinstance(holder, dict):
        return list(holder.values())
    return holder if isinstance(holder, list) else ()


def read_rows(path: Path) -> list[list[str]]:
    """The lines of a CSV file without a head, as cells; the n-th is line n, empty where it is.

    Raises:
        ValueError: It is none.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        return list(reader)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file that has these columns.

    Raises:
        ValueError: A column is missing, or a line has more or fewer cells than the head.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        head = next(reader, [])
        missing = [column for column in columns if column not in head]
        if missing:
            raise ValueError(f"{path}: no column {missing[0]}; it has {one_line(', '.join(head)) or 'none'}")
        rows = []
        for row in reader:
            if len(row) != len(head):
                raise ValueError(f"{path}, line {reader.line_num}: {len(row)} cells, the head has {len(head)}")
            rows.append(dict(zip(head, row, strict=True)))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not CSV ({error})") from None
    return rows
