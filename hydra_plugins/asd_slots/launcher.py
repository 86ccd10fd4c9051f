"""Runs of a sweep on this machine, so many at a time."""

from collections.abc import Sequence
from dataclasses import replace

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SlotsLauncher(Launcher):
    """Hands the runs of a sweep to a Grid.

    Args:
        slots: Runs at a time.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra knows of the sweep."""
        self.loader = hydra_context.config_loader
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs all jobs; how each one went stands in its folder."""
        from asd.config.compose import (
            ConfigurationError,
            sweep_job,
            without_hydra,
        )  # not at the top: Hydra imports every plugin at every start
        from asd.launch.grid import Grid
        from asd.launch.resources import share_out

        setup_globals()
        name = str(self.config.hydra.job.config_name)
        configs = [self.loader.load_sweep_config(self.config, list(overrides)) for overrides in job_overrides]
        jobs = [
            sweep_job(name, without_hydra(config), overrides)
            for config, overrides in zip(configs, job_overrides, strict=True)
        ]
        try:
            slots = share_out(self.slots)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        Grid(jobs, slots).run()
        done = JobReturn(_return_value=None, status=JobStatus.COMPLETED)
        return [replace(done, overrides=overrides) for overrides in job_overrides]
