"""Runs of a sweep on this machine, so many at a time."""

from collections.abc import Sequence

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
        """Runs all jobs; how each one went is in its folder, and what a sweeper may optimise is returned."""
        # not at the top: Hydra imports every plugin at every start
        from asd.launch.grid import Grid
        from asd.launch.resources import share_out
        from asd.launch.script import ConfigurationError, objective, refuse_shared_jobs, sweep_job

        setup_globals()
        name = str(self.config.hydra.job.config_name)
        configs = [self.loader.load_sweep_config(self.config, list(overrides)) for overrides in job_overrides]
        jobs = [sweep_job(name, config, overrides) for config, overrides in zip(configs, job_overrides, strict=True)]
        try:
            refuse_shared_jobs(jobs)
            slots = share_out(self.slots)
            Grid(jobs, slots).run()
            return [
                JobReturn(overrides=overrides, _return_value=objective(job.config), status=JobStatus.COMPLETED)
                for job, overrides in zip(jobs, job_overrides, strict=True)
            ]
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
