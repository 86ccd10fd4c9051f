"""A baseline's network from its configuration; the same way for training and for loading a checkpoint."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from asd.models.autoencoder import Autoencoder
from asd.models.mobilenetv2 import MobileNetV2


def build_network(config: Mapping[str, Any], n_sections: int) -> nn.Module:
    """The network that `method` and `backbone` describe, at Keras' start.

    Args:
        config: Of a run.
        n_sections: Classes of the classifier; the autoencoder knows none.
    """
    settings = {key: value for key, value in config["backbone"].items() if key not in ("name", "batchnorm")}
    settings |= config["backbone"]["batchnorm"]
    if config["method"] == "autoencoder":
        return Autoencoder(config["input"]["n_mels"] * config["input"]["n_frames"], **settings)
    return MobileNetV2(n_sections, **settings)
