"""From what a user types to a checked, plain configuration. The only file that knows Hydra and OmegaConf.

Everything here happens before torch is imported: a mistake is answered within about a second.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
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

from asd.atomic import NoRoomError
from asd.data.clips import MACHINES
from asd.requirements import require
from asd.rules import check, find_rule, nearest
from asd.runs.folder import address
from asd.runs.grid import Grid
from asd.runs.sweep import conduct
from asd.runs.worker import Job, Slot
from asd.schema import SCHEMAS

CONF = Path(__file__).parents[1] / "conf"

# What the process of one run of a sweep calls; the other scripts have no runs of their own.
TRAINERS = {"train": "asd.experiment:train", "finetune": "asd.experiment:train"}


# Launchers of conf/hydra/launcher that need a package: the extra of this project that brings it, and its plugin.
EXTRAS = {
    "joblib_pool": ("joblib", "hydra_plugins.hydra_joblib_launcher"),
    "ray_cluster": ("ray", "hydra_plugins.hydra_ray_launcher"),
    "slurm": ("slurm", "hydra_plugins.hydra_submitit_launcher"),
}


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
                    main(checked(config, name))
            except (ValueError, NoRoomError) as error:
                raise ConfigurationError(str(error)) from None

        def start() -> None:
            try:
                plan = preflight(name, sys.argv[1:])
            except (ValueError, HydraException, OmegaConfBaseException) as error:
                give_up(error)
            if plan.is_sweep and name in TRAINERS:
                raise SystemExit(conduct(job, [address(config) for config in plan.configs]))
            job()

        return start

    return decorate


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
    command = [str(CONF.parent / f"{name}.py"), *overrides, "hydra.mode=RUN"]
    return Job(TRAINERS[name], plain(config, name), command)


def preflight(name: str, arguments: list[str]) -> Plan:
    """Composes and checks every job that a command line asks for, before the first one starts.

    Raises:
        ValueError: A job's configuration is not allowed, or its data are missing.
    """
    typed = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    if any(argument.startswith("-") for argument in typed):
        return Plan([], is_sweep=False)  # --help, --cfg and their like are Hydra's
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for override in OverridesParser.create().parse_overrides(typed):
            check_override(override, name)
        settings = hydra_settings(name, typed)
        is_sweep = len(typed) < len(arguments) or settings.mode == RunMode.MULTIRUN
        configs = []
        for overrides in jobs(typed, settings.sweeper.params or {}) if is_sweep else [typed]:
            config = hydra.compose(name, overrides, return_hydra_config=True)
            require_known_to_sweep(settings, config.hydra)
            configs.append(checked(without_hydra(config), name))
        return Plan(configs, is_sweep)


def check_override(override: Override, name: str) -> None:
    """Checks the key of an override, and its choices where the key is a group of conf/.

    Raises:
        ValueError: No such key or choice; the message names the nearest ones.
    """
    group = override.key_or_group
    if group.startswith("hydra"):
        if group == "hydra/launcher":
            require_launcher(str(override.value()))
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


def require_launcher(choice: str) -> None:
    """Raises ValueError where a launcher's package is missing."""
    extra, plugin = EXTRAS.get(choice, ("", "hydra"))
    try:
        is_there = importlib.util.find_spec(plugin) is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        raise ValueError(f"hydra/launcher={choice} needs a package: pip install -e '.[{extra}]' (docs/clusters.md)")


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
    return hydra.compose(name, single, return_hydra_config=True).hydra


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


def parse(overrides: list[str]) -> list[Override]:
    """Overrides as Hydra reads them."""
    return OverridesParser.create().parse_overrides(overrides)


def checked(config: DictConfig, name: str) -> dict[str, Any]:
    """A composed configuration as plain values, its data set there.

    Raises:
        ValueError: A key is missing, unknown or not allowed, or the data set is missing.
    """
    values = plain(config, name)
    require(values, name)
    return values


def plain(config: DictConfig, name: str) -> dict[str, Any]:
    """A composed configuration as plain values: resolved, complete, allowed.

    Raises:
        ValueError: A key is missing, unknown or not allowed.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        hints = {"machine": f", one of {', '.join(MACHINES)}"}
        lines = (f"{key} is missing: add {key}=… to the command{hints.get(key, '')}" for key in missing)
        raise ValueError("\n".join(lines))
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    ours = {str(key): value for key, value in values.items() if key not in ("hydra", "experiment")}
    check(ours, SCHEMAS[name])
    return ours
