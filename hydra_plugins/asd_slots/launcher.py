"""Runs of a sweep on this machine, so many at a time."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


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
        from asd.configuration import sweep_job  # not at the top: Hydra imports every plugin at every start
        from asd.runs.grid import Grid
        from asd.runs.slots import share_out

        setup_globals()
        name = str(self.config.hydra.job.config_name)
        jobs = [sweep_job(name, self.compose(overrides), overrides) for overrides in job_overrides]
        Grid(jobs, share_out(self.slots)).run()
        return [
            JobReturn(overrides=overrides, _return_value=None, status=JobStatus.COMPLETED)
            for overrides in job_overrides
        ]

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a job, less Hydra's own."""
        config = self.loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            del config["hydra"]
        return config
