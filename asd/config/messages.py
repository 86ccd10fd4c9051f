"""What is said of a configuration: what a key may hold, and mistakes in words that name key, value and remedy."""

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt, MinLen
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

MAX_LISTED = 12  # allowed words that a hint lists
HINTS = {"machine": ", such as fan: the name of a machine of the data set"}


@dataclass(frozen=True)
class Says:
    """Says in words what a type allows, where its constraints alone would not."""

    text: str


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint that names the allowed words most like `word`, and all of them if they are few."""
    words = sorted(allowed)
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return hint + (f" Allowed: {', '.join(words)}." if len(words) <= MAX_LISTED else "")


def nearest_key(key: str, keys: Iterable[str]) -> str:
    """A hint that names the keys most like an unknown one: of the same last part, within it, or alike."""
    known = sorted(keys)
    last = key.rpartition(".")[2]
    close = [name for name in known if name.rpartition(".")[2] == last]
    close += [name for name in known if name.startswith(f"{key}.")]
    close += difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    if not close:
        return " --cfg job prints all keys."
    return f" Did you mean {' or '.join(dict.fromkeys(close[:4]))}?"


def allowed(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """What a type allows, in words: «a number from 0 to 1.5708»."""
    marks = list(metadata)
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        return allowed(annotation, [*more, *marks])
    for mark in marks:
        if isinstance(mark, FieldInfo):
            return allowed(annotation, [other for other in [*marks, *mark.metadata] if other is not mark])
    said = [mark.text for mark in marks if isinstance(mark, Says)]
    return said[-1] if said else _allowed(annotation, marks)


def _allowed(annotation: Any, marks: list[Any]) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return ", or ".join(dict.fromkeys(allowed(each) for each in inner))
    if origin is Literal:
        return f"one of {', '.join(map(as_typed, inner))}" if len(inner) > 1 else as_typed(inner[0])
    if origin is list:
        return f"a list of {_length(marks)}, each {allowed(inner[0])}"
    if annotation is bool:
        return "one of True, False"
    if annotation in (int, float):
        return _number("a whole number" if annotation is int else "a number", marks)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"keys {', '.join(sorted(annotation.model_fields))}"
    return "null" if annotation in (None, type(None)) else "text" if annotation is str else "key: value pairs"


def _number(kind: str, marks: list[Any]) -> str:
    low = next((mark.ge if isinstance(mark, Ge) else mark.gt for mark in marks if isinstance(mark, (Ge, Gt))), None)
    high = next((mark.le if isinstance(mark, Le) else mark.lt for mark in marks if isinstance(mark, (Le, Lt))), None)
    above = "above" if any(isinstance(mark, Gt) for mark in marks) else "at least"
    if low is not None and high is not None:
        return f"{kind} {'from' if above == 'at least' else 'above'} {bound(low)} to {bound(high)}"
    return f"{kind}, {above} {bound(low)}" if low is not None else kind


def bound(value: Any) -> str:
    """A bound as people write it."""
    return f"{value:.5g}" if isinstance(value, float) and value % 1 else f"{value:g}" if value < 1e6 else str(value)


def _length(marks: list[Any]) -> str:
    for mark in marks:
        if isinstance(mark, Len) and mark.max_length == mark.min_length:
            return str(mark.min_length)
        if isinstance(mark, (Len, MinLen)) and mark.min_length:
            return f"{mark.min_length} or more"
    return "items"


def as_typed(value: Any) -> str:
    """A value as a command line gives it."""
    return "null" if value is None else str(value)


def keys_of(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Every dotted key of a model, with those of the models within it."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = [each for each in models_in(field.annotation) if each.model_fields]
        for each in inner:
            found |= keys_of(each, f"{key}.")
        if not inner or type(None) in get_args(field.annotation):
            found[key] = field
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, through unions and `Annotated`; not those within lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        return models_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [model for each in get_args(annotation) for model in models_in(each)]
    return []


def explain(error: ValidationError, model: type[BaseModel], values: Mapping[str, Any]) -> str:
    """All mistakes of a configuration, one a line, each once."""
    lines = [_explain_one(each, model, values) for each in error.errors()]
    return "\n".join(dict.fromkeys(lines))


def _explain_one(problem: Any, model: type[BaseModel], values: Mapping[str, Any]) -> str:
    path, field = _locate(problem["loc"], model)
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        unknown = ".".join([*path, str(problem["loc"][-1])])
        return f"unknown key '{unknown}'.{nearest_key(unknown, keys_of(model))}"
    if problem["type"] == "missing":
        return f"{key} is missing: add {key}=… to the command{HINTS.get(key, '')}"
    if problem["type"] == "value_error":
        text = str(problem["ctx"]["error"])
        return text if not key or key in text else f"{key}: {text}"
    given = _value(values, path, problem["input"])
    hint = f"give {allowed(field.annotation, field.metadata)}" if field else problem["msg"].lower()
    if problem["type"] == "string_type" and isinstance(given, int | float):
        hint += f". In a file, text that looks like a number is in quotes: {key.rpartition('.')[2]}: '…'"
    return f"{key}={as_typed(given)} is not allowed: {hint}"


def _locate(loc: tuple[Any, ...], model: type[BaseModel]) -> tuple[list[str], FieldInfo | None]:
    """The dotted key that an error is about and its field; tags of unions are passed over, indices end it."""
    path: list[str] = []
    field: FieldInfo | None = None
    models = [model]
    for step in loc:
        fields = {other.alias or name: other for each in models for name, other in each.model_fields.items()}
        if step not in fields:
            tagged = [each for each in models if each.__name__ == step or TAGS.get(str(step)) is each]
            if tagged:
                models = tagged
                continue
            break
        path, field = [*path, str(step)], fields[step]
        models = models_in(field.annotation)
    return path, field


TAGS: dict[str, type[BaseModel]] = {}  # of the models that stand for components of ours, by target (config/schema)


def _value(values: Mapping[str, Any], path: list[str], otherwise: Any) -> Any:
    found: Any = values
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return otherwise
        found = found[name]
    return found
