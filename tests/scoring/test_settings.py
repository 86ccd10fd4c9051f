"""Settings of every scorer of conf/scorer: a value of another type is refused before anything is computed."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from asd.config.components import Component
from asd.config.instantiate import instantiate
from asd.scoring.scorer import Scorer

FILES = sorted((Path(__file__).parents[2] / "conf/scorer").glob("*.yaml"))
SETTINGS = [
    (file.stem, key)
    for file in FILES
    for key in yaml.safe_load(file.read_text())
    if key not in ("_target_", "name", "stride", "scorers")  # the framework's own, and components
]


def build(file: str, **settings: Any) -> Scorer:
    """The scorer of a file, with other settings."""
    values = yaml.safe_load(next(each for each in FILES if each.stem == file).read_text())
    kept = {key: value for key, value in values.items() if key not in ("name", "stride")}
    made: Scorer = instantiate(Component.of(kept | settings), "scorer")
    return made


@pytest.mark.parametrize("file", [file.stem for file in FILES])
def test_the_files_are_right(file: str) -> None:
    assert isinstance(build(file), Scorer)


@pytest.mark.parametrize(("file", "key"), SETTINGS)
def test_another_type_is_refused(file: str, key: str) -> None:
    for value in ("two", [1], math.nan, -1, None):
        with pytest.raises(ValueError, match=key):
            build(file, **{key: value})


@pytest.mark.parametrize(("file", "key"), [each for each in SETTINGS if each[1].startswith(("n_", "max_", "seed"))])
def test_what_is_counted_is_a_whole_number(file: str, key: str) -> None:
    for value in (1.5, True):
        with pytest.raises(ValueError, match=rf"scorer\.{key}={value} is not allowed: give a whole number"):
            build(file, **{key: value})
