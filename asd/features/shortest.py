"""The shortest clip that a run can use, whatever its method."""

from collections.abc import Mapping
from typing import Any

from asd.features.logmel import logmel_settings
from asd.features.spectrogram import min_samples, spectrogram_settings


def shortest_clip(config: Mapping[str, Any]) -> int:
    """Samples of the shortest clip that gives the network of a configuration an input."""
    if "n_mels" in config["input"]:
        return logmel_settings(config["input"]).min_samples
    return min_samples(spectrogram_settings(config["input"]))
