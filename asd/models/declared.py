"""What a backbone's class takes, read from its source: importing it would import torch."""

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from asd.config.rules import nearest

HERE = Path(__file__).parent
PACKAGE = "asd.models."
SET_BY_US = {"n_bins", "n_frames"}


class Signature(NamedTuple):
    """The keyword arguments of a class: those it needs, all it knows, and whether it takes any others."""

    needed: set[str]
    known: set[str]
    takes_others: bool


def declared_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the keys of `backbone`, or with its timm model."""
    target = settings["_target_"]
    module, _, name = target.removeprefix(PACKAGE).rpartition(".")
    path = HERE / f"{module.replace('.', '/')}.py"
    declared = class_definitions(path) if path.is_file() else {}
    if name not in declared:
        yield f"backbone._target_={target}: no such class.{nearest(target, backbones())}"
        return
    takes = signature(declared[name])
    given = set(settings) - {"_target_", "name"}
    if takes:
        for key in sorted(takes.needed - given - SET_BY_US):
            yield f"backbone.{key} is missing: {name} needs it"
        for key in sorted(set() if takes.takes_others else given - takes.known):
            yield f"backbone.{key}: {name} takes no such setting.{nearest(key, takes.known - SET_BY_US)}"
    if name == "TimmCnn" and "model" in given:
        yield from model_problems(str(settings["model"]))


def class_definitions(path: Path) -> dict[str, ast.ClassDef]:
    """The classes that a file defines."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


def signature(definition: ast.ClassDef) -> Signature | None:
    """What a class takes; None where it has no __init__ of its own."""
    for method in definition.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            takes = method.args
            pairs = zip(takes.kwonlyargs, takes.kw_defaults, strict=True)
            needed = {argument.arg for argument, default in pairs if default is None}
            known = {argument.arg for argument in takes.kwonlyargs}
            return Signature(needed, known, takes.kwarg is not None)
    return None


def backbones() -> list[str]:
    """The classes under asd.models that are made from Backbone, directly."""
    return [
        f"{PACKAGE}{path.stem}.{name}"
        for path in sorted(HERE.glob("*.py"))
        for name, definition in class_definitions(path).items()
        if any(isinstance(base, ast.Name) and base.id == "Backbone" for base in definition.bases)
    ]


def model_problems(model: str) -> Iterator[str]:
    """A name that stands nowhere in timm's sources is none of its networks."""
    source = timm_source()
    if source and not re.search(rf"\b{re.escape(model.partition('.')[0])}\b", source):
        names = re.findall(r"^@register_model\ndef (\w+)", source, re.MULTILINE)
        yield f"backbone.model={model}: not a network of timm.{nearest(model, names)}"


@cache
def timm_source() -> str:
    """The text of timm's networks, of which some have old names; empty where it is not installed."""
    spec = importlib.util.find_spec("timm")
    folders = (spec.submodule_search_locations if spec else None) or []
    files = [file for folder in folders for file in sorted(Path(folder).glob("models/*.py"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
