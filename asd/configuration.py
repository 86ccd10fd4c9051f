"""From what a user types to a checked, plain configuration. The only file that knows Hydra and OmegaConf.

Everything here happens before torch is imported: a mistake is answered within about a second.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException, HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from asd.allocator import keep_freed_memory
from asd.contradictions import refuse_contradictions
from asd.data.clips import MACHINES
from asd.methods import refuse_foreign_keys
from asd.progress import be_quiet
from asd.requirements import require
from asd.rules import check, find_rule, nearest
from asd.schema import SCHEMAS, schema_of
from asd.targets import refuse_foreign_targets
from asd.typed import check_group, check_once, check_options, check_words, unreadable

CONF = Path(__file__).parents[1] / "conf"


class ConfigurationError(CompactHydraException):
    """A mistake of the user's: Hydra prints its message without a traceback."""


def script(name: str) -> Callable[[Callable[[dict[str, Any]], None]], Callable[[], None]]:
    """Makes a function of a plain configuration a script with Hydra's command line.

    Args:
        name: train, finetune or evaluate: the file in conf/ and the schema.
    """

    def decorate(main: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        @hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)
        def job(config: DictConfig) -> None:
            try:
                plain = checked(config, name)
                hush(plain)
                if plain.get("allocator", "keep") == "keep":
                    keep_freed_memory()  # here, because torch is not imported yet
                main(plain)
            except (ValueError, OSError) as error:
                raise ConfigurationError(str(error)) from None

        def start() -> None:
            try:
                preflight(name, sys.argv[1:])
            except (ValueError, OSError, HydraException, OmegaConfBaseException) as error:
                give_up(error)
            job()

        return start

    return decorate


def hush(config: Mapping[str, Any]) -> None:
    """Silences remarks, Hydra's among them, where the configuration wants it."""
    be_quiet(config["quiet"])
    logging.getLogger("hydra").setLevel(logging.WARNING if config["quiet"] else logging.NOTSET)


def give_up(error: Exception) -> NoReturn:
    """Prints a mistake and what caused it, and ends the process with exit code 1."""
    cause = f"\n{error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
    print(f"{error}{cause}", file=sys.stderr)
    raise SystemExit(1)


def preflight(name: str, arguments: list[str]) -> None:
    """Composes and checks every job that a command line asks for, before the first one starts.

    Raises:
        ValueError: A job's configuration is not allowed, or its data are missing.
    """
    typed = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    check_options(typed, SCHEMAS[name])
    if any(argument.startswith("-") for argument in typed):
        return  # --help, --cfg and their like are Hydra's
    multirun = len(typed) < len(arguments)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        check_words(typed, SCHEMAS[name])
        for override in parse(typed):
            check_override(override, name)
        check_once(typed)
        if name == "train":
            check_methods({override.key_or_group: override for override in parse(typed)})
        for overrides in jobs(name, typed, multirun):
            hush(checked(hydra.compose(name, overrides), name))


def check_override(override: Override, name: str) -> None:
    """Checks the key of an override, and its choices where the key is a group of conf/.

    Raises:
        ValueError: No such key or choice; the message names the nearest ones.
    """
    group = override.key_or_group
    if group.split(".")[0].split("/")[0] == "hydra":
        return
    if not (CONF / group).is_dir():
        check_key(group, name)
        return
    check_group(group, name, CONF)
    if override.package is not None:
        raise ValueError(f"{group}@{override.package}: a group has one place; give {group}=CHOICE")
    choices = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    values = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
    for choice in values:
        if str(choice) not in choices and not (choice is None and group == "experiment"):
            raise ValueError(f"{group}={choice}: no such choice.{nearest(str(choice), choices)}")


def check_key(key: str, name: str) -> None:
    """Checks that a script has a key, or keys within it.

    Raises:
        ValueError: It has not; the message names the nearest ones, or the script that has it.
    """
    schema = SCHEMAS[name]
    others = [f"{other}.py" for other in SCHEMAS if key in SCHEMAS[other] and key not in schema]
    if others:
        raise ValueError(f"unknown key '{key}' of {name}.py; it is one of {' and '.join(others)}")
    if not any(known.startswith(f"{key}.") for known in schema):
        groups = {folder.name: schema["name"] for folder in CONF.iterdir() if folder.is_dir()}
        find_rule(key, {**schema, **groups})


def check_methods(typed: Mapping[str, Override]) -> None:
    """Raises ValueError where a key or group belongs to another method than the one asked for."""
    if "method" in typed:
        method = typed["method"]
        values = method.sweep_string_iterator() if method.is_sweep_override() else [method.value()]
        refuse_foreign_keys(typed, [str(value) for value in values])
    elif "experiment" not in typed:  # which may name a method itself
        refuse_foreign_keys(typed, ["arcface"])


def jobs(name: str, typed: list[str], multirun: bool) -> Iterator[list[str]]:
    """The overrides of each job of a command line: one, or as many as a sweep expands to."""
    base = [text for text, override in zip(typed, parse(typed), strict=True) if not override.is_sweep_override()]
    settings = hydra.compose(name, base, return_hydra_config=True).hydra
    refuse_foreign_targets(OmegaConf.to_container(settings, resolve=False), "hydra")
    if not multirun and str(settings.mode) != "RunMode.MULTIRUN":
        refuse_sweep(typed)
        yield typed
        return
    sweep = [f"{key}={value}" for key, value in (settings.sweeper.params or {}).items()]
    for batch in BasicSweeper.split_arguments(parse(sweep + typed), None):
        yield from batch


def refuse_sweep(typed: list[str]) -> None:
    """Raises ValueError where a key has several values, but no sweep was asked for."""
    for word, override in zip(typed, parse(typed), strict=True):
        if override.is_sweep_override():
            key, _, values = word.partition("=")
            raise ValueError(f"{word}: several values are a sweep, add -m to the command; a list is {key}=[{values}]")


def parse(overrides: list[str]) -> list[Override]:
    """Overrides as Hydra reads them.

    Raises:
        ValueError: One cannot be read; the message names it.
    """
    parser, found = OverridesParser.create(), []
    for word in overrides:
        try:
            found += parser.parse_overrides([word])
        except HydraException as error:
            raise ValueError(unreadable(word, error)) from None
    return found


def checked(config: DictConfig, name: str) -> dict[str, Any]:
    """A composed configuration as plain values: resolved, complete, allowed, its data set there.

    Raises:
        ValueError: A key is missing, unknown or not allowed, or the data set is missing.
    """
    plain = resolved(config)
    check(plain, schema_of(plain, name))
    refuse_contradictions(plain, name)
    require(plain, name)
    return plain


def resolved(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain values, without what is Hydra's.

    Raises:
        ValueError: A key is missing, or a value refers to what there is not.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        values = {} if missing else OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{error.full_key}: {reason}. ${{…}} takes a key, or oc.env:NAME") from None
    if missing:
        hints = {"machine": f", one of {', '.join(MACHINES)}"}
        lines = (f"{key} is missing: add {key}=… to the command{hints.get(key, '')}" for key in missing)
        raise ValueError("\n".join(lines))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key not in ("hydra", "experiment")}
