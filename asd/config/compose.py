"""From what a user types to a checked, plain configuration. The only file that knows Hydra and OmegaConf.

Everything here happens before torch is imported: a mistake is answered within about a second.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from asd.config import CONF, PROJECT
from asd.config.contradictions import refuse_contradictions
from asd.config.launchers import require_launcher
from asd.config.methods import refuse_foreign_keys
from asd.config.overrides import check_group, check_once, check_options, check_words, unreadable
from asd.config.preconditions import require
from asd.config.rules import check, find_rule, nearest
from asd.config.schema import SCHEMAS, schema_of
from asd.config.trust import refuse_foreign_targets
from asd.data.clips import MACHINES
from asd.launch.grid import Grid
from asd.launch.sweep import conduct
from asd.launch.worker import Job, Slot
from asd.runs.folder import address
from asd.system.allocator import keep_freed_memory
from asd.system.progress import be_quiet

# What the process of one run of a sweep calls; the other scripts have no runs of their own.
TRAINERS = {"train": "asd.experiment:train", "finetune": "asd.experiment:train"}


class Plan(NamedTuple):
    """What a command line asks for.

    Attributes:
        configs: The checked configuration of each job.
        is_sweep: Whether Hydra's launcher runs them.
    """

    configs: list[dict[str, Any]]
    is_sweep: bool


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
            settings = HydraConfig.get()
            try:
                if settings.mode == RunMode.MULTIRUN and name in TRAINERS:
                    os.chdir(settings.runtime.cwd)  # some launchers' workers start elsewhere
                    Grid([sweep_job(name, config, settings.overrides.task)], [Slot(to_log=True)]).run()
                else:
                    plain = checked(config, name)
                    hush(plain)
                    main(plain)
            except (ValueError, OSError) as error:
                raise ConfigurationError(str(error)) from None

        def start() -> None:
            try:
                plan = preflight(name, sys.argv[1:])
            except (ValueError, OSError, HydraException, OmegaConfBaseException) as error:
                give_up(error)
            if all(config.get("allocator", "keep") == "keep" for config in plan.configs):
                keep_freed_memory()  # here, because torch is not imported yet; a sweep's processes inherit it
            if plan.is_sweep and name in TRAINERS:
                raise SystemExit(conduct(job, [address(config) for config in plan.configs]))
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


def sweep_job(name: str, config: DictConfig, overrides: Sequence[str]) -> Job:
    """A job of a sweep, for a process of its own.

    Args:
        name: train or finetune.
        config: As Hydra composed it for the job; checked before the sweep began.
        overrides: What is the job's own.
    """
    command = [str(PROJECT / f"{name}.py"), *overrides, "hydra.mode=RUN"]
    return Job(TRAINERS[name], resolved(config), command)


def preflight(name: str, arguments: list[str]) -> Plan:
    """Composes and checks every job that a command line asks for, before the first one starts.

    Raises:
        ValueError: A job's configuration is not allowed, or its data are missing.
    """
    typed = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    check_options(typed, SCHEMAS[name])
    if any(argument.startswith("-") for argument in typed):
        return Plan([], is_sweep=False)  # --help, --cfg and their like are Hydra's
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        check_words(typed, SCHEMAS[name])
        for override in parse(typed):
            check_override(override, name)
        check_once(typed)
        if name == "train":
            check_methods({override.key_or_group: override for override in parse(typed)})
        settings = hydra_settings(name, typed)
        is_sweep = len(typed) < len(arguments) or settings.mode == RunMode.MULTIRUN
        if not is_sweep:
            refuse_sweep(typed)
        configs = []
        for overrides in jobs(typed, settings.sweeper.params or {}) if is_sweep else [typed]:
            config = hydra.compose(name, overrides, return_hydra_config=True)
            require_known_to_sweep(settings, config.hydra)
            configs.append(checked(without_hydra(config), name))
            hush(configs[-1])
        return Plan(configs, is_sweep)


def check_override(override: Override, name: str) -> None:
    """Checks the key of an override, and its choices where the key is a group of conf/.

    Raises:
        ValueError: No such key or choice; the message names the nearest ones.
    """
    group = override.key_or_group
    if group.split(".")[0].split("/")[0] == "hydra":
        if group == "hydra/launcher":
            require_launcher(str(override.value()))
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


def require_known_to_sweep(sweep: DictConfig, job: DictConfig) -> None:
    """Makes sure that no job chooses how the sweep is to be run: Hydra would ignore it without a word.

    Args:
        sweep: Hydra's settings of the sweep.
        job: Hydra's settings as the job has them.

    Raises:
        ValueError: It does.
    """
    for key in ("launcher", "sweeper"):
        if job[key] != sweep[key]:
            raise ValueError(
                f"an experiment that is itself swept over sets hydra.{key}, which would be ignored: "
                f"type it on the command line, or run each experiment by itself"
            )


def hydra_settings(name: str, typed: list[str]) -> DictConfig:
    """What Hydra itself is told: by conf/, an experiment, or the command line."""
    single = [text for text, override in zip(typed, parse(typed), strict=True) if not override.is_sweep_override()]
    settings = hydra.compose(name, single, return_hydra_config=True).hydra
    refuse_foreign_targets(OmegaConf.to_container(settings, resolve=False), "hydra")
    return settings


def jobs(typed: list[str], params: Mapping[str, Any]) -> Iterator[list[str]]:
    """The overrides of each job of a sweep, over what is typed and over an experiment's own parameters."""
    sweep = [f"{key}={value}" for key, value in params.items()]
    for batch in BasicSweeper.split_arguments(parse(sweep + typed), None):
        yield from batch


def without_hydra(config: DictConfig) -> DictConfig:
    """A composed configuration less Hydra's own settings."""
    with open_dict(config):
        del config["hydra"]
    return config


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
    """A composed configuration as plain values, its data set there.

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
