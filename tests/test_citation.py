"""CITATION.cff: what the Citation File Format 1.2.0 requires, and nothing that the package says otherwise."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_it_has_what_the_format_requires() -> None:
    # The whole schema was checked once with cffconvert, which is not a dependency (docs/log.md).
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["type"] == "software"
    assert citation["license"] == project["license"]
    for work in (citation, *citation["references"]):
        assert work["title"]
        assert work["authors"]
        assert all(author["name"] for author in work["authors"])
    assert all(reference["type"] for reference in citation["references"])
