"""The reference of all configuration keys, made from the typed models: `python -m asd.config.reference`."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from asd.config.compose import method_choices, method_config
from asd.config.messages import allowed, as_typed, models_in
from asd.config.schema import EvaluateConfig, RunConfig

HEAD = """# Configuration: every key

Made by `python -m asd.config.reference` from the types that check a configuration; a test keeps it true. What a run
uses is in `conf/` and printed by `python train.py --cfg job …`; a default here holds where a file says nothing. Parts
with `_target_` take the arguments of their constructor ([extend](extend.md)); here are those with settings of ours.
"""


def reference() -> str:
    """The page, in Markdown."""
    shared = keys(RunConfig)
    parts = [HEAD, section("Every training: train.py, finetune.py", shared)]
    for choice in method_choices():
        own = {key: row for key, row in keys(method_config(choice)).items() if key not in shared}
        parts.append(section(f"method={choice}", own))
    parts.append(section("evaluate.py", keys(EvaluateConfig)))
    return "\n".join(parts)


def keys(model: type[BaseModel], prefix: str = "") -> dict[str, tuple[str, str, str]]:
    """What each dotted key of a model holds, its default and its meaning."""
    found: dict[str, tuple[str, str, str]] = {}
    meanings = attributes(model)
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = [each for each in models_in(field.annotation) if each.model_fields]
        for each in inner:
            found |= {k: row for k, row in keys(each, f"{key}.").items() if k not in found}
        if not inner:
            found[key] = (
                allowed(field.annotation, field.metadata),
                default(field),
                field.description or meanings.get(name, ""),
            )
    return found


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """The meanings of a model's fields, from the attributes in its docstring and in those that it builds on."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        name = ""
        for line in (inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]).splitlines():
            match = re.fullmatch(r"    (\w+): (.*)", line)
            if match:
                name = match[1]
                found[name] = match[2]
            elif name and line.startswith("        "):
                found[name] += f" {line.strip()}"
    return found


def default(field: FieldInfo) -> str:
    """The default of a field, as it would be typed; empty where conf/ must say it."""
    if field.is_required():
        return ""
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return ""
    return as_typed(value).lower() if isinstance(value, bool) else as_typed(value)


def section(title: str, rows: Mapping[str, tuple[str, str, str]]) -> str:
    """A table of keys under a headline."""
    return "\n".join([f"## {title}", "", *table(rows), ""])


def table(rows: Mapping[str, tuple[str, str, str]]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield "| key | holds | default | meaning |"
    yield "|---|---|---|---|"
    for key, cells in sorted(rows.items()):
        yield "| " + " | ".join([f"`{key}`", *(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)]) + " |"


if __name__ == "__main__":
    print(reference(), end="")
