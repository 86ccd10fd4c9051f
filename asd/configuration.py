"""From what a user types to a checked, plain configuration. The only file that knows Hydra and OmegaConf.

Everything here happens before torch is imported: a mistake is answered within about a second.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException, HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from asd.atomic import NoRoomError
from asd.data.clips import MACHINES
from asd.requirements import require
from asd.rules import check, find_rule, nearest
from asd.schema import SCHEMAS

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
                main(checked(config, name))
            except (ValueError, NoRoomError) as error:
                raise ConfigurationError(str(error)) from None

        def start() -> None:
            try:
                preflight(name, sys.argv[1:])
            except (ValueError, HydraException, OmegaConfBaseException) as error:
                give_up(error)
            job()

        return start

    return decorate


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
    if any(argument.startswith("-") for argument in typed):
        return  # --help, --cfg and their like are Hydra's
    multirun = len(typed) < len(arguments)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for override in OverridesParser.create().parse_overrides(typed):
            check_override(override, name)
        for overrides in jobs(name, typed, multirun):
            checked(hydra.compose(name, overrides), name)


def check_override(override: Override, name: str) -> None:
    """Checks the key of an override, and its choices where the key is a group of conf/.

    Raises:
        ValueError: No such key or choice; the message names the nearest ones.
    """
    group = override.key_or_group
    if group.startswith("hydra"):
        return
    if not (CONF / group).is_dir():
        schema = SCHEMAS[name]
        if not any(key.startswith(f"{group}.") for key in schema):
            find_rule(
                group, {**schema, **{folder.name: schema["name"] for folder in CONF.iterdir() if folder.is_dir()}}
            )
        return
    choices = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    values = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
    for value in values:
        for choice in value if isinstance(value, list) else [value]:
            if choice is not None and str(choice) not in choices:
                raise ValueError(f"{group}={choice}: no such choice.{nearest(str(choice), choices)}")


def jobs(name: str, typed: list[str], multirun: bool) -> Iterator[list[str]]:
    """The overrides of each job of a command line: one, or as many as a sweep expands to."""
    base = [text for text, override in zip(typed, parse(typed), strict=True) if not override.is_sweep_override()]
    settings = hydra.compose(name, base, return_hydra_config=True).hydra
    if not multirun and str(settings.mode) != "RunMode.MULTIRUN":
        yield typed
        return
    sweep = [f"{key}={value}" for key, value in (settings.sweeper.params or {}).items()]
    for batch in BasicSweeper.split_arguments(parse(sweep + typed), None):
        yield from batch


def parse(overrides: list[str]) -> list[Override]:
    """Overrides as Hydra reads them."""
    return OverridesParser.create().parse_overrides(overrides)


def checked(config: DictConfig, name: str) -> dict[str, Any]:
    """A composed configuration as plain values: resolved, complete, allowed, its data set there.

    Raises:
        ValueError: A key is missing, unknown or not allowed, or the data set is missing.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        hints = {"machine": f", one of {', '.join(MACHINES)}"}
        lines = (f"{key} is missing: add {key}=… to the command{hints.get(key, '')}" for key in missing)
        raise ValueError("\n".join(lines))
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    plain = {str(key): value for key, value in values.items() if key not in ("hydra", "experiment")}
    check(plain, SCHEMAS[name])
    require(plain, name)
    return plain
