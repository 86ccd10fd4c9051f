"""The network with its loss and optimizer on ready-made tensors: a training step and nothing else."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import hydra
import torch
from omegaconf import OmegaConf
from torch import Tensor

from asd.config import CONF
from asd.models.classifier import SectionClassifier
from asd.training.assembly import build_model
from asd.training.auto import quickest

SECTIONS = 6
ON_CPU = ["trainer.accelerator=cpu", "data.bank=mmap"]
LONG = 1_000_000  # steps: long enough for whatever pays in a long run


def compose(*overrides: str) -> dict[str, Any]:
    """The plain configuration of train.py, with the quickest settings for this machine in the place of auto."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        composed = hydra.compose("train", ["machine=fan", *overrides])
    values = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(values, dict)
    config: dict[str, Any] = {str(key): value for key, value in values.items()}
    best = quickest(config, device(), LONG)
    if config["compile"] == "auto":
        config["compile"] = best["compile"]
    if config["trainer"]["precision"] == "auto":
        config["trainer"]["precision"] = best["precision"]
    return config


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def ready_batch(config: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pieces (batch, 1, bins, frames), sections, partners' sections and weights on the device."""
    n, shape = config["batch_size"], (config["input"]["n_bins"], config["input"]["n_frames"])
    section = torch.arange(n) % SECTIONS
    batch = torch.randn(n, 1, *shape), section, (section + 1) % SECTIONS, torch.rand(n) / 2
    pieces, section, partner, weight = (tensor.to(device()) for tensor in batch)
    return pieces, section, partner, weight


def build(config: dict[str, Any]) -> SectionClassifier:
    """The model of a configuration on the device."""
    model, _ = build_model(config, SimpleNamespace(sections=list(range(SECTIONS))), LONG)  # type: ignore[arg-type]
    assert isinstance(model, SectionClassifier)
    return model.to(device())


def autocast(config: dict[str, Any]) -> AbstractContextManager[Any]:
    """The precision of a configuration."""
    if config["trainer"]["precision"] == "32-true":
        return nullcontext()
    return torch.autocast(device().type, torch.bfloat16, cache_enabled=False)  # as Lightning does


def network_step(config: dict[str, Any], *, plain: bool = False) -> Callable[[], None]:
    """A training step on ready-made tensors.

    Args:
        config: Of the network.
        plain: SGD with PyTorch's own defaults instead of ours.
    """
    model = build(config)
    if plain:
        keys = ("lr", "momentum", "nesterov", "weight_decay")
        optimizer = torch.optim.SGD(model.parameters(), **{key: config["optimizer"][key] for key in keys})
    else:
        optimizer = model.configure_optimizers()["optimizer"]
    return bare_step(model, optimizer, ready_batch(config), config)


def bare_step(
    model: SectionClassifier,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    config: dict[str, Any],
) -> Callable[[], None]:
    """Forward, loss, backward, update."""
    pieces, section, partner, weight = batch

    def step() -> None:
        torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad()
        with autocast(config):
            loss = model.arcface.loss(model(pieces), section, partner, weight)
        loss.backward()
        optimizer.step()

    return step
