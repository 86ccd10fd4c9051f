"""Weights & Biases, the mirror of a run's record. The only file that knows it; without an account it works offline."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from asd.runs.folder import RunFolder


def wandb_logger(run: RunFolder, config: Mapping[str, Any]) -> pl.loggers.Logger:
    """A logger whose run has the identity of ours, so that a resumed run goes on there too."""
    from pytorch_lightning.loggers import WandbLogger

    logger = config["logger"]
    return WandbLogger(
        project=logger["project"],
        entity=logger["entity"],
        group=config["name"],
        job_type=config["phase"],
        name=f"{run.machine}/{run.system}",
        id=hashlib.sha256(run.path.as_posix().encode()).hexdigest()[:16],
        save_dir=run.path,
        offline=is_offline(logger["mode"]),
        config=dict(config),
        resume="allow",
    )


def is_offline(mode: str) -> bool:
    """Whether nothing is to be sent: asked for, or no account is known."""
    if mode != "auto":
        return mode == "offline"
    import wandb

    asked = os.environ.get("WANDB_MODE")
    if asked:
        return asked != "online"
    try:
        has_account = bool(wandb.login(prompt=False))
    except wandb.Error as error:
        print(f"W&B does not answer ({error}): recording offline")
        return True
    if not has_account:
        print("no W&B account is known (wandb login): recording offline")
    return not has_account


def close_loggers(trainer: pl.Trainer) -> None:
    """Ends the W&B run of a trainer, so that the next one in this process is a run of its own."""
    if any(isinstance(logger, pl.loggers.WandbLogger) for logger in trainer.loggers):
        import wandb

        wandb.finish()
