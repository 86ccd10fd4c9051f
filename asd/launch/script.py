"""The scripts train.py, finetune.py and evaluate.py: from a command line to typed jobs, each where it is to run."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from asd.config import CONF
from asd.config.compose import Plan, plan, typed
from asd.config.overrides import as_text
from asd.config.schema import EvaluateConfig, RunConfig
from asd.launch.grid import Grid
from asd.launch.preconditions import require
from asd.launch.sweep import conduct
from asd.launch.worker import Job, Slot
from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from asd.system.allocator import keep_freed_memory
from asd.system.entry import NOBODY_READS
from asd.system.memory import is_out_of_memory
from asd.system.printable import printable
from asd.system.progress import be_quiet, discard

# What the process of one run of a sweep calls; evaluate.py has no runs of its own.
TRAINERS = {"train": "asd.experiment:train", "finetune": "asd.experiment:train"}


class ConfigurationError(CompactHydraException):
    """A mistake of the user's: Hydra prints its message without a traceback."""


def script(name: str) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Makes a function of a typed configuration a script with Hydra's command line.

    Args:
        name: train, finetune or evaluate: the file in conf/.
    """

    def decorate(main: Callable[[Any], None]) -> Callable[[], None]:
        @hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)
        def job(config: DictConfig) -> float | None:
            settings = HydraConfig.get()
            try:
                if settings.mode == RunMode.MULTIRUN and name in TRAINERS:
                    os.chdir(settings.runtime.cwd)  # some launchers' workers start elsewhere
                    one = sweep_job(name, config, settings.overrides.task)
                    Grid([one], [Slot(to_log=True)]).run()
                    return objective(one.config)
                found = typed(config, name)
                hush(found)
                main(found)
                return objective(found) if isinstance(found, RunConfig) else None
            except BrokenPipeError:  # of the table at the end: everything is done
                discard(sys.stdout)
                raise SystemExit(NOBODY_READS) from None
            except (ValueError, OSError) as error:
                end(printable(error), settings.mode)
            except (MemoryError, RuntimeError, ImportError) as error:
                if not is_out_of_memory(error):
                    raise
                end(f"out of memory: end other programs ({printable(error) or type(error).__name__})", settings.mode)

        def start() -> None:
            try:
                found = preflight(name, sys.argv[1:])
            except (ValueError, OSError, HydraException, OmegaConfBaseException) as error:
                give_up(error)
            sys.argv[1:] = map(as_text, sys.argv[1:])
            if all(getattr(config, "allocator", "keep") == "keep" for config in found.configs):
                keep_freed_memory()  # here, because torch is not imported yet; a sweep's processes inherit it
            if found.is_sweep and name in TRAINERS:
                folders = [] if found.is_drawn else [RunFolder(config.folder()) for config in found.configs]
                raise SystemExit(conduct(job, folders))
            job()

        return start

    return decorate


def preflight(name: str, arguments: Sequence[str]) -> Plan:
    """Composes every job of a command line and checks what each needs, before the first one starts.

    Raises:
        ValueError: A job's configuration is not allowed, or something that it needs is missing.
    """
    add_own_code(arguments)
    line, found = plan(name, arguments)
    if line.shows_config:
        return Plan([])
    if not found.is_drawn:
        refuse_shared_addresses(found)
    networks: set[Path] = set()
    for config in found.configs:
        hush(config)
        require(config, line.words, networks)
    return found


def add_own_code(arguments: Sequence[str]) -> None:
    """Lets Python find the user's own modules: in the folder of --config-dir, beside it, and in the current one."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    folders = [
        os.path.abspath(os.path.expanduser(after))
        for option, after in pairwise(words)
        if option in ("--config-dir", "-cd", "--config-path", "-cp")
    ]
    for folder in (*folders, *map(os.path.dirname, folders), os.getcwd()):
        if folder not in sys.path:
            sys.path.append(folder)


def refuse_shared_addresses(found: Plan) -> None:
    """Makes sure that each job of a sweep has a folder of its own.

    Raises:
        ValueError: Two differ in their configuration and share one; the message says what to type.
    """
    first: dict[Any, RunConfig] = {}
    runs = [config for config in found.configs if isinstance(config, RunConfig)]
    for config in [*runs, *filter(None, (config.shared for config in runs))]:
        other = first.setdefault(config.folder(), config)
        if other is config or other == config:
            continue
        keys = [key.replace("/", ".") for key in found.swept if key not in IN_ADDRESS]
        told_apart = "-".join(f"${{{key}}}" for key in keys) or "…"
        raise ValueError(
            f"jobs of this sweep would share the folder {config.folder()}, where only the first would be trained. Give "
            f"a name for each value, in quotes:  name='{config.name}-{told_apart}'"
        )


def refuse_shared_jobs(jobs: Sequence[Job]) -> None:
    """As `refuse_shared_addresses`, for jobs whose values a sweeper drew."""
    for index, job in enumerate(jobs):
        for other in jobs[:index]:
            if other.run == job.run and other.config != job.config:
                raise ValueError(
                    f"trials of this sweep would share the folder {job.run.path}: give a name for each, such as "
                    f"name='{job.config.name}-${{hydra.job.num}}', or with the values that are drawn"
                )


IN_ADDRESS = ("name", "machine", "backbone", "input", "seed", "freeze", "freeze.parts")


def hush(config: RunConfig | EvaluateConfig) -> None:
    """Silences remarks, Hydra's among them, where the configuration wants it."""
    be_quiet(config.quiet)
    logging.getLogger("hydra").setLevel(logging.WARNING if config.quiet else logging.NOTSET)


def give_up(error: Exception) -> NoReturn:
    """Prints a mistake and what caused it, and ends the process with exit code 1."""
    cause = f"\n{error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
    print(printable(f"{error}{cause}"), file=sys.stderr)
    raise SystemExit(1)


def end(mistake: str, mode: RunMode | None) -> NoReturn:
    """Ends a job with a message alone; in a sweep through Hydra, whose launchers know it by an exception.

    Raises:
        ConfigurationError: In a sweep, or where the user wants Hydra's traceback.
    """
    if mode == RunMode.RUN and "HYDRA_FULL_ERROR" not in os.environ:
        give_up(ValueError(mistake))
    raise ConfigurationError(mistake)


def sweep_job(name: str, config: DictConfig, overrides: Sequence[str]) -> Job:
    """A job of a sweep, for a process of its own.

    Args:
        name: train or finetune.
        config: As Hydra composed it for the job; checked before the sweep began.
        overrides: What is the job's own.
    """
    command = [str(CONF.parent / f"{name}.py"), *overrides, "hydra.mode=RUN"]
    return Job(TRAINERS[name], typed(config, name), command)


def objective(config: RunConfig) -> float | None:
    """The figure of a finished run that a sweeper may optimise: of its last epoch, by the key `objective`.

    Raises:
        ValueError: The record has no such figure.
    """
    record = read_record(RunFolder(config.folder()))
    if not record:
        return None
    if config.objective not in record[-1]:
        raise ValueError(f"objective={config.objective}: the record has {', '.join(record[-1])}")
    return float(record[-1][config.objective])
