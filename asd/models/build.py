"""A backbone from its configuration; the same way for training and for loading a checkpoint."""

import importlib
from collections.abc import Mapping
from typing import Any

from asd.models.backbone import Backbone


def build_backbone(settings: Mapping[str, Any], *, n_bins: int, n_frames: int) -> Backbone:
    """Builds the class that `_target_` names, with the other settings as its arguments.

    Only classes under asd.models are built, so a configuration or checkpoint from elsewhere cannot run other code.

    Args:
        settings: `_target_`, `name` (not passed on), `embedding_dim` and what the class takes besides.
        n_bins: Rows of a piece.
        n_frames: Columns of a piece.

    Raises:
        ValueError: Not a backbone under asd.models, or it does not take these settings.
    """
    target = settings["_target_"]
    module, _, name = target.rpartition(".")
    if not module.startswith("asd.models."):
        raise ValueError(f"backbone._target_={target}: only classes under asd.models are built")
    try:
        backbone = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ValueError(f"backbone._target_={target}: no such class") from None
    if not (isinstance(backbone, type) and issubclass(backbone, Backbone)):
        raise ValueError(f"backbone._target_={target}: not a Backbone (asd/models/backbone.py)")
    arguments = {key: value for key, value in settings.items() if key not in ("_target_", "name")}
    try:
        return backbone(n_bins=n_bins, n_frames=n_frames, **arguments)
    except TypeError as error:
        raise ValueError(f"backbone.*: {error}") from None
