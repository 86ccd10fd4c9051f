"""Checkpoints on disk: read without executing anything in them, the newest that loads."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from asd.runs.folder import RunFolder
from asd.system.arrays import load_tensors
from asd.system.progress import say

FORMAT = 1


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, loaded without executing anything in it, its checksums compared.

    Raises:
        ValueError: Not there, unreadable, changed, or not one of ours.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} does not match its checksum")
    except Exception as error:  # zipfile fails in many ways; all of them mean the file is unusable
        raise ValueError(f"{path} cannot be loaded: {error}") from None
    checkpoint = load_tensors(path)
    about = checkpoint.get("asd") if isinstance(checkpoint, dict) else None
    is_ours = isinstance(about, dict) and about.get("format") == FORMAT
    if not is_ours or not isinstance(checkpoint.get("state_dict"), dict):
        raise ValueError(f"{path} is no checkpoint of this project (format {FORMAT})")
    return with_present_names(checkpoint)


def with_present_names(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint whose head is called `head`; earlier ones called it `arcface`."""
    weights = checkpoint["state_dict"]
    if not any(name.startswith("arcface.") for name in weights):
        return checkpoint
    renamed = {f"head.{name[8:]}" if name.startswith("arcface.") else name: value for name, value in weights.items()}
    return checkpoint | {"state_dict": renamed}


def weights_digest(checkpoint: Mapping[str, Any]) -> str:
    """SHA-256 of the weights of a checkpoint, in hexadecimal digits, whatever else it holds."""
    digest = hashlib.sha256()
    for name, weight in sorted(checkpoint["state_dict"].items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Kept(NamedTuple):
    """A checkpoint to go on from.

    Attributes:
        path: Where it is.
        step: Steps done.
        is_finished: Whether the training ended there; not known of earlier checkpoints.
        content: Digest of the training clips; not known of earlier checkpoints.
    """

    path: Path
    step: int
    is_finished: bool
    content: str | None


def newest_checkpoint(run: RunFolder) -> Kept | None:
    """The checkpoint to go on from: the newest that loads; None where there is none at all.

    Raises:
        ValueError: There are some, but none of them loads.
    """
    problems = []
    for path in (run.checkpoint, run.previous_checkpoint):
        if path.is_file():
            try:
                found = load_checkpoint(path)
                about = found["asd"]
                return Kept(path, found["global_step"], bool(about.get("is_finished", False)), about.get("content"))
            except ValueError as error:
                say(f"{error}; looking at the one before")
                problems.append(str(error))
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(
            f"{run.path} has no checkpoint that loads:\n  {lines}\n"
            f"Bring one back from a copy, or give overwrite=true to train from the start"
        )
    return None


def load_part(checkpoint: Mapping[str, Any], name: str, module: nn.Module) -> None:
    """Puts the weights of one part of a LightningModule, such as its backbone, into a module.

    Raises:
        ValueError: The module has another shape.
    """
    prefix = f"{name}."
    state = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"the checkpoint does not fit this {name}: {error}") from None
