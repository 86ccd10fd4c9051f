"""The network with its loss and optimizer on ready-made tensors: a training step and nothing else."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from asd.config.compose import plan
from asd.data.clips import ClipTable
from asd.data.datamodule import MachineDataModule
from asd.data.readers.dcase import DcaseReader
from asd.data.recordings import open_recordings
from asd.methods.arcface import ArcFaceConfig, ArcFaceMethod
from asd.models.classifier import SectionClassifier

SECTIONS = 6
ON_CPU = ["trainer.accelerator=cpu", "data.bank=mmap"]
LONG = 1_000_000  # steps: long enough for whatever pays in a long run


def compose(*overrides: str) -> ArcFaceMethod:
    """The method of train.py, with the quickest settings for this machine in the place of auto."""
    words = ["machine=fan", "progress=false", *overrides]
    config: ArcFaceConfig = plan("train", words)[1].configs[0]
    return ArcFaceMethod(ArcFaceMethod(config).resolved(begun=None, n_steps=LONG))


def open_data(method: ArcFaceMethod) -> tuple[ClipTable, MachineDataModule]:
    """The clips of a method's data, decoded, and its batches."""
    data = method.config.data
    reading = DcaseReader(Path(data.root)).read(method.config.machine)
    table = reading.table
    clips = open_recordings(reading, method.decoding, cache=Path(data.cache), on_bad_clip="error", progress=False)
    return table, method.datamodule(table, clips.bank)


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def ready_batch(config: ArcFaceConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pieces (batch, 1, bins, frames), sections, partners' sections and weights on the device."""
    n, shape = config.batch_size, (config.input.n_bins, config.input.n_frames)
    section = torch.arange(n) % SECTIONS
    batch = torch.randn(n, 1, *shape), section, (section + 1) % SECTIONS, torch.rand(n) / 2
    pieces, section, partner, weight = (tensor.to(device()) for tensor in batch)
    return pieces, section, partner, weight


def build(method: ArcFaceMethod) -> SectionClassifier:
    """The model of a method on the device."""
    table: Any = SimpleNamespace(
        sections=list(range(SECTIONS)), classes=[f"{section:02d}" for section in range(SECTIONS)]
    )
    return method.module(table, LONG, None).to(device())


def autocast(config: ArcFaceConfig) -> AbstractContextManager[Any]:
    """The precision of a configuration."""
    if config.trainer.precision == "32-true":
        return nullcontext()
    return torch.autocast(device().type, torch.bfloat16, cache_enabled=False)  # as Lightning does


def network_step(method: ArcFaceMethod, *, plain: bool = False) -> Callable[[], None]:
    """A training step on ready-made tensors.

    Args:
        method: Of the network.
        plain: SGD with PyTorch's own defaults instead of ours.
    """
    model = build(method)
    if plain:
        settings = method.config.optimizer
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            model.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )
    else:
        optimizer = model.configure_optimizers()["optimizer"]
    return bare_step(model, optimizer, ready_batch(method.config), method.config)


def bare_step(
    model: SectionClassifier,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    config: ArcFaceConfig,
) -> Callable[[], None]:
    """Forward, loss, backward, update."""
    pieces, section, partner, weight = batch

    def step() -> None:
        torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad()
        with autocast(config):
            loss = model.head(model(pieces), section, partner, weight).mean()
        loss.backward()
        optimizer.step()

    return step
