"""From what a user types to checked, typed configurations. With config/instantiate, the only file that knows Hydra.

Everything here happens before torch is imported, unless the user's own method imports it: a mistake is answered within
about a second.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from asd.config import CONF
from asd.config.components import Component, Settings
from asd.config.instantiate import find_code
from asd.config.messages import HINTS, keys_of, nearest, nearest_key
from asd.config.overrides import CommandLine, check_group, check_words, parse_command_line, unreadable
from asd.config.packages import require_launcher
from asd.config.schema import EvaluateConfig, RunConfig
from asd.system.reading import read_yaml

FINETUNE_ONLY = ("freeze", "checkpoint")
BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


@dataclass(frozen=True)
class Plan:
    """What a command line asks for.

    Attributes:
        configs: The typed configuration of each job; of a sweeper that draws its values, one without them.
        is_sweep: Whether Hydra's launcher runs them.
        is_drawn: Whether a sweeper chooses the jobs only while it runs, such as Optuna's.
        swept: Keys that were given several values.
    """

    configs: list[Any]
    is_sweep: bool = False
    is_drawn: bool = False
    swept: tuple[str, ...] = ()


@cache
def known_keys(script: str) -> list[str]:
    """The keys of a script, whatever the method; those of a method are in its own configuration."""
    if script == "evaluate":
        return sorted(keys_of(EvaluateConfig))
    models: list[type[Settings]] = [RunConfig, *map(method_config, method_choices())]
    unknown = FINETUNE_ONLY if script == "train" else ()
    return sorted({key for model in models for key in keys_of(model) if key.partition(".")[0] not in unknown})


def method_choices() -> list[str]:
    """The methods of conf/method."""
    return sorted(path.stem for path in (CONF / "method").glob("*.yaml"))


@cache
def method_config(choice: str) -> type[RunConfig]:
    """The model of a method of conf/method, by its file."""
    return find_code(Component.of({"_target_": method_target(choice)}), "method").Config


def choice_of(target: str) -> str:
    """What a method is called on a command line: its file in conf/method, else its class in lower case."""
    return next(
        (choice for choice in method_choices() if method_target(choice) == target), target.rpartition(".")[2].lower()
    )


def method_target(choice: str) -> str:
    """The class of a method of conf/method."""
    return str(OmegaConf.load(CONF / "method" / f"{choice}.yaml").method._target_)


def plan(script: str, arguments: Sequence[str]) -> tuple[CommandLine, Plan]:
    """Composes and checks every job that a command line asks for, before the first one starts.

    Raises:
        ValueError: A job's configuration is not allowed.
    """
    line = parse_command_line(arguments, script, known_keys(script))
    if line.shows:
        return line, Plan([])
    with search_path(line) as folders, naming_unreadable_files(line):
        check_words(line.words, known_keys(script))
        overrides = parse(line.words)
        for override in overrides:
            check_choice(override, script, folders)
        pairs = zip(line.words, overrides, strict=True)
        once = compose_words(line, [word for word, override in pairs if not override.is_sweep_override()])
        settings = once.hydra
        is_sweep = line.multirun or settings.mode == RunMode.MULTIRUN
        if not is_sweep:
            refuse_sweep(line.words, overrides)
        is_drawn = is_sweep and settings.sweeper._target_ != BASIC_SWEEPER
        if is_sweep and not is_drawn:
            jobs = sweep_jobs(overrides, settings.sweeper.params or {})
            configs = [job_config(script, compose_words(line, words), settings) for words in jobs]
        else:
            configs = [job_config(script, once, settings)]
        swept = tuple(override.key_or_group for override in overrides if override.is_sweep_override())
        return line, Plan(configs, is_sweep, is_drawn, swept)


@contextmanager
def search_path(line: CommandLine) -> Iterator[list[Path]]:
    """Hydra with the folders that configurations come from: the user's first, then conf/."""
    conf = line.config_path or CONF
    with hydra.initialize_config_dir(str(conf), version_base="1.3"):
        yield [folder for folder in (line.config_dir, conf) if folder is not None]


@contextmanager
def naming_unreadable_files(line: CommandLine) -> Iterator[None]:
    """Names the file of the user's that is no text, or nested too deeply: Hydra's reader does not.

    Raises:
        ValueError: There is such a file.
    """
    try:
        yield
    except (UnicodeDecodeError, RecursionError):
        for folder in filter(None, (line.config_dir, line.config_path)):
            for path in sorted(folder.rglob("*.yaml")):
                read_yaml(path, object)
        raise


def compose_words(line: CommandLine, words: Sequence[str]) -> DictConfig:
    """Hydra's composition, with its own settings in it.

    Raises:
        ValueError: In words, where Hydra refuses.
    """
    path = [f"hydra.searchpath=[file://{line.config_dir}]"] if line.config_dir else []
    try:
        return hydra.compose(line.config_name, [*words, *path], return_hydra_config=True)
    except ConfigCompositionException as error:
        key = re.search(r"Could not override '([^']+)'", str(error))
        if key is None:
            raise ValueError(str(error).splitlines()[0]) from error.__cause__
        raise ValueError(unknown_key(key[1], line.config_name, words)) from None


def job_config(script: str, config: DictConfig, sweep: DictConfig) -> Any:
    """The typed configuration of one job, from its composition and Hydra's settings of the sweep."""
    require_known_to_sweep(sweep, config.hydra)
    if config.hydra.job.chdir:
        raise ValueError("hydra.job.chdir=true: paths such as data.root are relative to where you are; leave it out")
    return typed(config, script)


def typed(config: DictConfig, script: str) -> Any:
    """A composed configuration as a typed object.

    Raises:
        ValueError: A key is missing, unknown or not allowed; every one is named.
    """
    return typed_values(resolved(config), script)


def typed_values(values: Mapping[str, Any], script: str) -> Any:
    """Plain values as a typed object; see `typed`."""
    if script == "evaluate":
        return EvaluateConfig.of(values)
    method = Component.of(values["method"])
    code = find_code(method, "method")
    config: type[Settings] | None = getattr(code, "Config", None)
    if config is None or not issubclass(config, RunConfig):
        raise ValueError(f"method._target_={method.target}: a method has a Config made from RunConfig (docs/extend.md)")
    if values.get("phase") != script:
        raise ValueError(f"phase={values.get('phase')} is not allowed: give {script}, or leave it out")
    if script not in config.PHASES:
        word = f"method={choice_of(method.target)}"
        raise ValueError(f"{word} has one phase, which cannot be fine-tuned. Type: python train.py {word} …")
    if values.get("scope") == "all" and "all" not in config.SCOPES:
        able = [choice for choice in method_choices() if "all" in method_config(choice).SCOPES]
        raise ValueError(
            f"scope=all: method={choice_of(method.target)} learns each machine by itself. Leave scope out, or take "
            f"method={' or '.join(able)}"
        )
    for key in values.keys() - {field.alias or name for name, field in config.model_fields.items()}:
        if owners := owners_of(key):
            raise ValueError(belongs(key, owners, method.target.rpartition(".")[2]))
    return config.of(values)


def owners_of(key: str) -> list[str]:
    """The methods of conf/method that have a key, or whose parts are chosen from a group of that name."""
    found = []
    for choice in method_choices():
        file: Any = OmegaConf.load(CONF / "method" / f"{choice}.yaml")
        groups = [group for each in file.get("defaults", []) if isinstance(each, Mapping) for group in each]
        keys = keys_of(method_config(choice))
        is_group = (CONF / key).is_dir()
        has_key = OmegaConf.select(file, key) is not None or any(f"{known}.".startswith(f"{key}.") for known in keys)
        if f"/{key}" in groups if is_group else has_key:
            found.append(choice)
    return found


def belongs(key: str, owners: Sequence[str], asked: str) -> str:
    """What to say of a key that other methods have."""
    its_own = "its scorer is one of evaluate.py" if key.startswith("scorer") else "network, input and loss are its own"
    return f"{key} belongs to method={' and '.join(owners)}, not to {asked}: {its_own}"


def unknown_key(key: str, script: str, words: Sequence[str]) -> str:
    """What to say of a key or group that a composed configuration does not have."""
    head = key.partition(".")[0]
    models: dict[str, type[Settings]] = {"train.py": RunConfig, "finetune.py": RunConfig, "evaluate.py": EvaluateConfig}
    if head in FINETUNE_ONLY and script == "train":
        return f"unknown key '{key}' of train.py; it is one of finetune.py"
    if key in keys_of(models[f"{script}.py"]):
        return f"{key} is in no file of conf/: type a + in front, +{key}=…"
    others = [name for name, model in models.items() if key in keys_of(model) and name != f"{script}.py"]
    if script != "evaluate":
        asked = next((word.partition("=")[2] for word in words if word.startswith("method=")), "arcface")
        owners = owners_of(key)
        if owners and asked not in owners:
            return belongs(key, owners, f"method={asked}")
    elif not others and any(key in keys_of(method_config(choice)) for choice in method_choices()):
        others = ["train.py", "finetune.py"]
    if others:
        return f"unknown key '{key}' of {script}.py; it is one of {' and '.join(others)}"
    return f"unknown key '{key}'.{nearest_key(key, known_keys(script))}"


def check_choice(override: Override, script: str, folders: Sequence[Path]) -> None:
    """Checks the choice of a group.

    Raises:
        ValueError: No such group or choice; the message names the nearest ones.
    """
    group = override.key_or_group
    if group == "hydra/launcher":
        require_launcher(str(override.value()))
    if group.partition(".")[0].partition("/")[0] == "hydra" or not any((folder / group).is_dir() for folder in folders):
        return
    check_group(group, script, folders)
    if override.package is not None:
        raise ValueError(f"{group}@{override.package}: a group has one place; give {group}=CHOICE")
    choices = sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})
    values = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
    for choice in values:
        known = choice if isinstance(choice, list) else [choice]
        for each in known:
            if str(each) not in choices and not (each is None and group == "experiment"):
                raise ValueError(f"{group}={each}: no such choice.{nearest(str(each), choices)}")


def require_known_to_sweep(sweep: DictConfig, job: DictConfig) -> None:
    """Makes sure that no job chooses how the sweep is to be run: Hydra would ignore it silently.

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


def sweep_jobs(overrides: Sequence[Override], params: Mapping[str, Any]) -> Iterator[list[str]]:
    """The overrides of each job of a sweep, over what is typed and over an experiment's own parameters."""
    typed_keys = {override.key_or_group for override in overrides}
    own = parse([f"{key}={value}" for key, value in params.items() if key not in typed_keys])
    for batch in BasicSweeper.split_arguments([*own, *overrides], None):
        yield from batch


def refuse_sweep(words: Sequence[str], overrides: Sequence[Override]) -> None:
    """Raises ValueError where a key has several values, but no sweep was asked for."""
    for word, override in zip(words, overrides, strict=True):
        if override.is_sweep_override():
            key, _, values = word.partition("=")
            raise ValueError(f"{word}: several values are a sweep, add -m to the command; a list is {key}=[{values}]")


def parse(words: Sequence[str]) -> list[Override]:
    """Overrides as Hydra reads them.

    Raises:
        ValueError: One cannot be read; the message names it.
    """
    hydra = GlobalHydra.instance()
    parser, found = OverridesParser.create(hydra.config_loader() if hydra.is_initialized() else None), []
    for word in words:
        try:
            found += parser.parse_overrides([word])
        except HydraException as error:
            raise ValueError(unreadable(word, error)) from None
    return found


def resolved(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain values, without what is Hydra's.

    Raises:
        ValueError: A key is missing, or a value refers to what there is not.
    """
    ours = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        missing = sorted(OmegaConf.missing_keys(ours))
        values = {} if missing else OmegaConf.to_container(ours, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{error.full_key}: {reason}. ${{…}} takes a key, or oc.env:NAME") from None
    if missing:
        raise ValueError(
            "\n".join(f"{key} is missing: add {key}=… to the command{HINTS.get(key, '')}" for key in missing)
        )
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "experiment"}
