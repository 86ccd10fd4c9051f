"""Configurations as the scripts compose them; what was composed once is not composed again."""

import os
from functools import cache
from typing import Any

from asd.config.compose import plan
from asd.launch.preconditions import require


@cache
def composed(name: str, words: tuple[str, ...], environment: tuple[str | None, ...]) -> Any:
    """The typed configuration of a command line under an environment."""
    return plan(name, words)[1].configs[0]


def compose(name: str, *words: str) -> Any:
    """A typed configuration of train, finetune or evaluate, whose data and runs are there."""
    config = composed(name, words, tuple(map(os.environ.get, ("ASD_DATA", "ASD_CACHE"))))
    require(config, words)
    return config


def tiny(name: str, *overrides: str) -> Any:
    """The typed configuration of a tiny job on the data set of `workplace`."""
    defaults = ["data=folder", "data.root=data", "backbone=small", "batch_size=4", "trainer.max_steps=2"]
    defaults += ["trainer.accelerator=cpu", "progress=false", "machine=fan"]
    if name == "evaluate":
        defaults = ["progress=false", "accelerator=cpu"]
    typed = {word.lstrip("+").partition("=")[0] for word in overrides}
    return compose(name, *(word for word in defaults if word.partition("=")[0] not in typed), *overrides)
