"""Checkpoints of plain values, written whole; the newest and the one before."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from torch import nn

from asd.atomic import replacing
from asd.runs.folder import RunFolder

FORMAT = 1


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes, renames: a full disk or a kill leaves the earlier file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves `checkpoint` at `path`."""
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class KeepLast(pl.Callback):
    """After each epoch: last.ckpt, the one before as previous.ckpt; the run's identity inside.

    Args:
        run: The folder of the run.
        identity: Plain values that let the checkpoint stand alone: configuration, sections, frozen names.
    """

    def __init__(self, run: RunFolder, identity: Mapping[str, Any]) -> None:
        self.run = run
        self.identity = dict(identity)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves."""
        if trainer.is_global_zero and self.run.checkpoint.exists():
            os.replace(self.run.checkpoint, self.run.previous_checkpoint)
        trainer.save_checkpoint(self.run.checkpoint)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds what a reader needs beside the weights."""
        checkpoint["asd"] = {"format": FORMAT, **self.identity}


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, loaded without executing anything in it.

    Raises:
        ValueError: Not there, unreadable, or not one of ours.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in many ways; all of them mean the file is unusable
        raise ValueError(f"{path} cannot be loaded: {error}") from None
    if not isinstance(checkpoint, dict) or checkpoint.get("asd", {}).get("format") != FORMAT:
        raise ValueError(f"{path} is no checkpoint of this project (format {FORMAT})")
    return checkpoint


def newest_checkpoint(run: RunFolder) -> Path | None:
    """The checkpoint to go on from: the newest that loads, or None."""
    for path in (run.checkpoint, run.previous_checkpoint):
        if path.is_file():
            try:
                load_checkpoint(path)
            except ValueError as error:
                print(f"{error}; going on from the one before")
                continue
            return path
    return None


def load_part(checkpoint: Mapping[str, Any], name: str, module: nn.Module) -> None:
    """Puts the weights of one part of the SectionClassifier, backbone or arcface, into a module.

    Raises:
        ValueError: The module has another shape.
    """
    prefix = f"{name}."
    state = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"the checkpoint does not fit this {name}: {error}") from None
