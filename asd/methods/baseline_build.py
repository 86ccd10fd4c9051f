"""From a baseline's configuration to what is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asd.data.clips import ClipTable
from asd.data.logmel_datamodule import LogMelBank, WindowDataModule
from asd.data.logmel_plan import AllWindows
from asd.data.waveforms import WaveformBank
from asd.features.logmel import logmel_settings, n_columns
from asd.models.baseline import Baseline, reconstruction_losses, section_losses
from asd.models.baseline_networks import build_network
from asd.models.keras import load_weights

OBJECTIVES = {"autoencoder": reconstruction_losses, "mobilenetv2": section_losses}


def build_data(config: Mapping[str, Any], table: ClipTable, bank: WaveformBank) -> WindowDataModule:
    """The DataModule: the log-mel energies of the training clips and the plan of the steps.

    Raises:
        ValueError: A classifier has fewer than two sections.
    """
    if config["method"] == "mobilenetv2" and len(table.sections) < 2:
        raise ValueError(f"{table.machine}: one section with training clips; a classifier of sections needs at least 2")
    settings = logmel_settings(config["input"])
    plan = AllWindows(
        table,
        n_columns=np.array([n_columns(int(length), settings) for length in bank.lengths]),
        n_frames=settings.n_frames,
        frame_hop=settings.frame_hop,
        batch_size=config["batch_size"],
        hold_out=config["hold_out"],
        seed=config["seed"],
    )
    logmels = LogMelBank.of_clips(bank, np.flatnonzero(table.is_train), settings, progress=config["progress"])
    return WindowDataModule(logmels, plan, n_frames=settings.n_frames, workers=config["data"]["workers"])


def build_model(config: Mapping[str, Any], table: ClipTable, n_steps: int) -> tuple[Baseline, list[str]]:
    """The network at its start, Keras' or that of a file of weights; and what is frozen in it: nothing."""
    torch.manual_seed(config["seed"])
    network = build_network(config, len(table.sections))
    if config["weights"]:
        load_weights(network, Path(config["weights"]))
    return Baseline(network, OBJECTIVES[config["method"]], n_steps=n_steps, **config["optimizer"]), []
