"""Lightning's Trainer as every run uses it: our callbacks and the user's, our record and the user's loggers."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import Logger

from asd.config.components import Component
from asd.config.instantiate import instantiate
from asd.config.schema import RunConfig, TrainerConfig
from asd.runs.folder import RunFolder
from asd.training.checkpoint import AtomicCheckpointIO


def length(trainer: TrainerConfig, n_steps_per_epoch: int) -> int:
    """The steps of a training: max_steps where it is given, else max_epochs."""
    return trainer.max_steps if trainer.max_steps >= 0 else trainer.max_epochs * n_steps_per_epoch


def own_callbacks(config: RunConfig) -> list[pl.Callback]:
    """The callbacks that the user added; errors as of `own_parts`."""
    return own_parts(config.callbacks, "callbacks", pl.Callback)


def own_loggers(config: RunConfig, run: RunFolder) -> list[Logger]:
    """The loggers that the user added; one that takes a `save_dir` writes into the run's folder."""
    return own_parts(config.logger, "logger", Logger, save_dir=str(run.path), name="", version="")


def own_parts(parts: Mapping[str, Component | None], key: str, kind: type[Any], **offered: str) -> list[Any]:
    """Parts of Lightning's that the user added.

    Args:
        parts: By name; None: taken out again.
        key: Of the configuration.
        kind: What each must be.
        offered: Arguments for those that take them.

    Raises:
        ValueError: One cannot be made, or is of another kind.
    """
    made = {name: instantiate(part, f"{key}.{name}", **offered) for name, part in parts.items() if part is not None}
    for name, one in made.items():
        if not isinstance(one, kind):
            word = kind.__name__.lower()
            raise ValueError(f"{key}.{name}: {type(one).__name__} is not a {word} of Lightning's")
    return list(made.values())


def build_trainer(
    run: RunFolder,
    trainer: TrainerConfig,
    *,
    n_epochs: int,
    callbacks: Sequence[pl.Callback],
    loggers: Sequence[Logger],
) -> pl.Trainer:
    """Lightning's Trainer.

    Args:
        run: Where it writes.
        trainer: Its arguments.
        n_epochs: Length of the training.
        callbacks: In this order; what keeps checkpoints comes last, so that an epoch is recorded before it is kept.
        loggers: At least one, which callbacks such as LearningRateMonitor need.

    Raises:
        ValueError: This computer or this Lightning does not have what trainer.* asks for, such as a GPU.
    """
    arguments = trainer.plain() | {"max_epochs": n_epochs, "max_steps": -1}
    quiet_lightning()
    try:
        return pl.Trainer(
            **arguments,
            use_distributed_sampler=False,  # a step's batch is shared out, not the steps
            logger=list(loggers),
            callbacks=list(callbacks),
            plugins=[AtomicCheckpointIO(), *surroundings(arguments)],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=run.path,
        )
    except MisconfigurationException as error:
        raise ValueError(f"trainer.*: {error}") from None


def surroundings(arguments: Mapping[str, Any]) -> list[LightningEnvironment]:
    """For one process: no look at what a job scheduler says of tasks, which are not ours.

    `sbatch -n 8` reserves cores by asking for eight tasks; Lightning would take itself for one of eight processes.
    """
    devices = arguments.get("devices", 1)
    is_one = len(devices) == 1 if isinstance(devices, list) else devices in (1, "1")
    return [LightningEnvironment()] if is_one else []


def quiet_lightning() -> None:
    """Leaves out what Lightning says about itself; its warnings stay, but for those named here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 with newer torch
        r"The '.*_dataloader' does not have many workers",  # windows come from a memory map: nothing to wait for
        r"The number of training batches \(\d+\) is smaller than the logging interval",  # we log by epoch
        r"Found \d+ module\(s\) in eval mode",  # frozen on purpose
        r"You're resuming from a checkpoint that ended before the epoch ended",  # our sampler knows where it was
    ):
        warnings.filterwarnings("ignore", message)
