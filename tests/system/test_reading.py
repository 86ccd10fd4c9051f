"""The one reader: whatever is wrong with a file, the message names it and nothing is executed."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd.system.arrays import load_arrays, load_tensors, read_arrays
from asd.system.reading import MOST_YAML, read_csv, read_json, read_json_lines, read_rows, read_yaml

DEEP = 100_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * DEEP,
        b"[" * 60 + b"]" * 60,
        b"5",
        b"null",
        b'{"a": NaN}',
        b'{"a": "x"}',
        b"9" * 5000,
    ],
)
def test_json_of_another_shape_names_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"facts\.json: "):
        read_json(path, dict[str, int])


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * DEEP, b"a: [", b"5", b"", b"a: !!python/object:os.system {}", b"a: 2020-99-99"]
)
def test_yaml_of_another_shape_names_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.yaml: "):
        read_yaml(path, dict[str, Any])


def test_aliases_within_aliases_are_counted_as_what_they_stand_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd.system.reading.MOST_VALUES", 100_000)
    path = tmp_path / "config.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"config\.yaml: nested more than"):
        read_yaml(path, dict[str, Any])


def test_a_file_too_large_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("#" * (MOST_YAML + 1))
    with pytest.raises(ValueError, match=r"large\.yaml: .* bytes; at most"):
        read_yaml(tmp_path / "large.yaml", dict[str, Any])
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match=r"pipe\.json: not a plain file"):
        read_json(tmp_path / "pipe.json", dict[str, Any])


@pytest.mark.parametrize(
    ("line", "said"), [("{bad}", "not JSON"), ("[]", "dictionary"), ("{}", "no n"), ('{"n": "x"}', "n: ")]
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"n": 1}}\n{line}\n{{"n": 3')
    with pytest.raises(ValueError, match=rf"metrics\.jsonl, line 2: .*{re.escape(said)}|line 2.*{re.escape(said)}"):
        read_json_lines(path, {"n": int}, {})
    path.write_text('{"n": 1}\n{"n": 3')
    assert read_json_lines(path, {"n": int}, {}) == [{"n": 1}]


@pytest.mark.parametrize("content", ["", "a\n1\n", "a,b\n1\n", "a,b\n1,2,3\n", 'a,b\n"1,2\n', "a,b\n1,\x00\n\xff"])
def test_a_table_of_another_shape_names_its_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"scores\.csv"):
        read_csv(path, ("a", "b"))


def test_arrays_of_another_shape_name_their_file(tmp_path: Path) -> None:
    path = tmp_path / "references.npz"
    np.savez(path, unit=np.zeros((2, 3)), names=np.array(["a"]))
    assert read_arrays(path, {"unit": (2, "f")})["unit"].shape == (2, 3)
    for shapes in ({"clip": (1, "i")}, {"unit": (1, "f")}, {"unit": (2, "i")}):
        with pytest.raises(ValueError, match=r"references\.npz"):
            read_arrays(path, shapes)
    np.savez(path, unit=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"references\.npz: .*holds Python objects") as caught:
        read_arrays(path, {"unit": (1, "f")})
    assert "unsafe" not in str(caught.value)
    np.savez(path, unit=np.zeros((2, 3)), few=np.zeros(1))
    assert read_arrays(path, {"unit": (2, "f")}, {"more": (1, "f")}).keys() == {"unit"}
    with pytest.raises(ValueError, match=r"references\.npz: few is 1-dim"):
        read_arrays(path, {"unit": (2, "f")}, {"few": (2, "f")})
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"references\.npz: not a whole .*a single array"):
        load_arrays(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"references\.npz: not a whole"):
        read_arrays(path, {"unit": (1, "f")})


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x02c__builtin__\neval\n.", b"\x80\x04" + b"(" * 100])
def test_weights_of_another_shape_name_their_file(tmp_path: Path, content: bytes) -> None:
    """Torch's own words advise to load what it refuses without its check."""
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be loaded: ") as caught:
        load_tensors(path)
    assert "weights_only" not in str(caught.value)


def test_a_table_without_a_head_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ground_truth.csv"
    path.write_text("a,1\n\nb,0\n")
    assert read_rows(path) == [["a", "1"], [], ["b", "0"]]
    path.write_text(f"a,{'x' * 200_000}\n")
    with pytest.raises(ValueError, match=r"ground_truth\.csv, line 1: not CSV"):
        read_rows(path)
