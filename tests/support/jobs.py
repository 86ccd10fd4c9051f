"""Configurations as the scripts compose them; what was composed once is not composed again."""

from functools import cache
from typing import Any

import hydra
from omegaconf import DictConfig

from asd.config import CONF
from asd.config.compose import checked


@cache
def composed(name: str, *overrides: str) -> DictConfig:
    """What Hydra composes for a script: unresolved, so that it says the same whatever the environment."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(name, list(overrides))


def compose(name: str, *overrides: str) -> dict[str, Any]:
    """A checked configuration of train, finetune or evaluate."""
    return checked(composed(name, *overrides), name)


def tiny(name: str, *overrides: str) -> dict[str, Any]:
    """The checked configuration of a tiny job on the data set of `workplace`."""
    defaults = ["data=folder", "data.root=data", "backbone=small", "batch_size=4", "trainer.max_steps=2"]
    defaults += ["trainer.accelerator=cpu", "progress=false", "machine=fan"]
    if name == "evaluate":
        defaults = ["progress=false", "accelerator=cpu"]
    return compose(name, *defaults, *overrides)
