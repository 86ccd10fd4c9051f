"""Configurations of runs that were made before parts were named by `_target_`, as today's have them."""

from collections.abc import Mapping
from typing import Any

METHODS = {
    "arcface": "asd.methods.arcface.ArcFaceMethod",
    "autoencoder": "asd.methods.autoencoder.AutoencoderMethod",
    "mobilenetv2": "asd.methods.mobilenetv2.MobileNetV2Method",
}
NETWORKS = {"autoencoder": "asd.models.autoencoder.Autoencoder", "mobilenetv2": "asd.models.mobilenetv2.MobileNetV2"}


def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration in today's form; one that has it already as it is.

    Args:
        config: Plain values of a run's config.yaml or checkpoint.
    """
    if isinstance(config.get("method"), Mapping):
        return dict(config)
    name = config.get("method", "arcface")
    if name not in METHODS:
        return dict(config)
    found = {key: value for key, value in config.items() if key != "logger"}
    found |= {"method": {"_target_": METHODS[name]}, "logger": {}, "callbacks": {}}
    found |= of_arcface(config) if name == "arcface" else of_windows(config, name)
    return found


def of_arcface(config: Mapping[str, Any]) -> dict[str, Any]:
    """Head, input, optimizer and schedule of a section classifier."""
    optimizer = dict(config["optimizer"])
    schedule = optimizer.pop("schedule")
    return {
        "loss": {"_target_": "asd.models.arcface.ArcFace", **config["loss"]},
        "input": {"_target_": "asd.features.input.SpectrogramPieces", **config["input"]},
        "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, **optimizer},
        "schedule": SCHEDULES[schedule],
    }


SCHEDULES = {"cosine": {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "_partial_": True}, "constant": None}


def of_windows(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Network, input and optimizer of a baseline."""
    backbone, optimizer = dict(config["backbone"]), config["optimizer"]
    batchnorm = backbone.pop("batchnorm")
    adam = {"lr": optimizer["lr"], "betas": [optimizer["beta1"], optimizer["beta2"]], "eps": optimizer["epsilon"]}
    return {
        "backbone": {"_target_": NETWORKS[name], **backbone, **batchnorm},
        "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, **adam},
    }
