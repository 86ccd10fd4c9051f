"""From a component of the configuration to the object that it names, and the identity of code from outside."""

import hashlib
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import hydra.utils
from hydra.errors import InstantiationException
from pydantic import ConfigDict, TypeAdapter, ValidationError

from asd.config.components import Component
from asd.config.messages import allowed, as_typed, nearest
from asd.config.trust import LIBRARIES, PACKAGE

STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def find_code(component: Component, key: str) -> Any:
    """The class or function that a component names.

    Raises:
        ValueError: It cannot be imported.
    """
    target = component.target
    try:
        return hydra.utils.get_object(target)
    except Exception as error:  # whatever the import of somebody's module raises
        module = target.rpartition(".")[0]
        cause = error.__cause__ or error
        raise ValueError(
            f"{key}._target_={target} cannot be imported ({type(cause).__name__}: {cause}). Give the whole name of a "
            f"class; {module.partition('.')[0]}.py is looked for beside the folder of --config-dir, in the current "
            "folder, and among installed packages"
        ) from None


def instantiate(component: Component, key: str, **offered: Any) -> Any:
    """Makes the object that a component names.

    Args:
        component: Names it; its other keys are arguments of the constructor, components among them made first.
        key: What messages call it, such as `backbone`.
        offered: What the framework knows, given to a constructor that has such a parameter and is not told otherwise.

    Raises:
        ValueError: It cannot be imported, or does not take these arguments.
    """
    code = find_code(component, key)
    if component.target.startswith(f"{PACKAGE}.") and (isinstance(code, type) or inspect.isfunction(code)):
        check_types(component, code, key)
    arguments = component.arguments
    takes = parameters(code)
    arguments |= {name: value for name, value in offered.items() if name in takes and name not in arguments}
    try:
        made = hydra.utils.instantiate({"_target_": component.target}, _convert_="all", **arguments)
        if arguments.get("_partial_"):
            inspect.signature(code).bind_partial(**made.keywords)
        return made
    except TypeError as error:
        raise ValueError(wrong_arguments(component, key, takes, error)) from None
    except InstantiationException as error:
        cause = error.__cause__
        if cause is None:  # refused by Hydra's own list of forbidden targets, or by its grammar
            raise ValueError(f"{key}: {' '.join(str(error).split())}") from None
        if isinstance(cause, TypeError) and takes:
            raise ValueError(wrong_arguments(component, key, takes, cause)) from None
        if isinstance(cause, (ValueError, TypeError)):
            text = str(cause)
            if text.startswith(f"{key}."):
                raise ValueError(text) from cause
            names_argument = text.split("=")[0].split(":")[0] in takes
            raise ValueError(f"{key}.{text}" if names_argument else f"{key}: {text}") from cause
        raise cause from None


def parameters(code: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a class's constructor or of a function that can be given by name."""
    try:
        found = inspect.signature(code).parameters
    except (TypeError, ValueError):
        return {}
    return {name: each for name, each in found.items() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}


def check_types(component: Component, code: Any, key: str) -> None:
    """Looks whether numbers, words and switches are what the annotations of a constructor say.

    Raises:
        ValueError: One is not: a switch that is "two" would be on, 1.5 neighbours would fail in the middle of the work.
    """
    hints = get_type_hints(code.__init__ if isinstance(code, type) else code)  # type: ignore[misc]
    for name, value in component.arguments.items():
        if name in hints and is_plain(hints[name]):
            try:
                TypeAdapter(hints[name], config=STRICT).validate_python(value)
            except ValidationError:
                raise ValueError(
                    f"{key}.{name}={as_typed(value)} is not allowed: give {allowed(hints[name])}"
                ) from None


def is_plain(hint: Any) -> bool:
    """Whether a type is that of a number, a word or a switch, or of one that may be left out."""
    if get_origin(hint) in (Union, UnionType):
        return all(is_plain(each) for each in get_args(hint))
    return hint in (int, float, bool, str, NoneType) or get_origin(hint) is Literal


def wrong_arguments(component: Component, key: str, takes: dict[str, inspect.Parameter], error: Exception) -> str:
    """What to say where a constructor does not take its arguments."""
    short = component.target.rpartition(".")[2]
    unknown = sorted(set(component.arguments) - set(takes) - {"_partial_", "_args_", "_recursive_", "_convert_"})
    needed = [
        name
        for name, each in takes.items()
        if each.default is each.empty and name not in component.arguments and f"'{name}'" in str(error)
    ]
    lines = [f"{key}.{name}: {short} takes no such setting.{nearest(name, takes)}" for name in unknown]
    lines += [f"{key}.{name} is missing: {short} needs it" for name in needed]
    return "\n".join(lines) or f"{key}: {short}: {error}"


def code_identity(components: Iterable[Component]) -> dict[str, str]:
    """Version or hash of the code from outside that components name, by its module."""
    ours = (f"{PACKAGE}.", *(f"{name}." for name in LIBRARIES))
    modules = {each.target.rpartition(".")[0] for each in components if not each.target.startswith(ours)}
    return {module.replace(".", "/"): identity_of(module) for module in sorted(modules)}


def identity_of(module: str) -> str:
    """The version of an installed package, or the hash of a module's source."""
    root = module.partition(".")[0]
    if root in distributions():
        return f"version {importlib.metadata.version(distributions()[root][0])}"
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return "unknown"
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return "unknown"
    return f"sha256 {hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()[:16]}"


@cache
def distributions() -> Mapping[str, Sequence[str]]:
    """The names of the installed distributions that hold a package, by the package: a fifth of a second to find."""
    return importlib.metadata.packages_distributions()
