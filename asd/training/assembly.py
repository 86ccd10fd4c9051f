"""From a checked configuration to the objects of a training: data, network, trainer."""

import logging
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from asd.config.preconditions import find_phase1
from asd.data.bad_clips import Usable, open_usable
from asd.data.clips import ClipTable
from asd.data.datamodule import MachineDataModule
from asd.data.logmel_datamodule import WindowDataModule
from asd.data.placement import place
from asd.data.sampling import BalancedSource, StepPlan, TargetStep
from asd.data.waveforms import WaveformBank
from asd.features.shortest import shortest_clip
from asd.features.spectrogram import n_columns, spectrogram_settings
from asd.methods import baseline_build as baselines
from asd.models.arcface import ArcFace
from asd.models.backbone import Backbone
from asd.models.baseline import Baseline
from asd.models.build import build_backbone
from asd.models.classifier import SectionClassifier
from asd.models.compiling import compile_network
from asd.models.freezing import freeze
from asd.report.wandb.training import WandbMirror
from asd.runs.folder import RunFolder
from asd.runs.method import is_baseline
from asd.training.auto import training_device
from asd.training.checkpoint import AtomicCheckpointIO, load_checkpoint, load_part

SAMPLINGS = {"source": BalancedSource, "target_step": TargetStep}


def build_data(config: Mapping[str, Any], clips: Usable[WaveformBank]) -> MachineDataModule | WindowDataModule:
    """The DataModule: the bank of waveforms and the plan of the steps."""
    if is_baseline(config):
        return baselines.build_data(config, clips.table, clips.bank)
    settings = spectrogram_settings(config["input"])
    workers = config["data"]["workers"]
    bank = place(clips.bank, config["data"]["bank"], training_device(config["trainer"]), workers=workers)
    plan: StepPlan = SAMPLINGS[config["sampling"]](
        clips.table,
        batch_size=config["batch_size"],
        mix_range=tuple(config["mixup"]["weight"]),
        mix_probability=config["mixup"]["probability"],
        n_frames=settings.n_frames,
        n_columns=np.array([n_columns(int(length), settings) for length in bank.lengths]),
        seed=config["seed"],
    )
    return MachineDataModule(bank, plan, settings, workers=workers)


def open_clips(config: Mapping[str, Any], table: ClipTable) -> Usable[WaveformBank]:
    """The clips that can be used, decoded, from the cache where they are there."""
    cache, rate, least = Path(config["data"]["cache"]), config["input"]["sample_rate"], shortest_clip(config)
    open_bank = partial(
        WaveformBank.open, cache=cache, sample_rate=rate, min_samples=least, progress=config["progress"]
    )
    policy = config["data"]["on_bad_clip"]
    return open_usable(table, cache, open_bank, on_bad_clip=policy, sample_rate=rate, min_samples=least)


def length(trainer: Mapping[str, Any], n_steps_per_epoch: int) -> int:
    """The steps of a training: max_steps where it is given, else max_epochs.

    Raises:
        ValueError: Neither is given.
    """
    if trainer["max_steps"] > 0:
        return int(trainer["max_steps"])
    if trainer["max_epochs"] > 0:
        return int(trainer["max_epochs"]) * n_steps_per_epoch
    raise ValueError("a training needs a length: give trainer.max_epochs or trainer.max_steps, at least 1")


def n_steps_of(config: Mapping[str, Any], table: ClipTable) -> int:
    """The steps of a training, before its clips are decoded."""
    n_source = int((table.is_train & (table.domain == "source")).sum())
    return length(config["trainer"], max(1, -(-n_source // config["batch_size"])))


def build_model(
    config: Mapping[str, Any], table: ClipTable, n_steps: int
) -> tuple[SectionClassifier | Baseline, list[str]]:
    """The network at its start — random in phase 1, the phase-1 run's in phase 2 — and what is frozen in it."""
    if is_baseline(config):
        return baselines.build_model(config, table, n_steps)
    torch.manual_seed(config["seed"])
    shape = {"n_bins": config["input"]["n_bins"], "n_frames": config["input"]["n_frames"]}
    backbone = build_backbone(config["backbone"], **shape)
    arcface = ArcFace(
        embedding_dim=config["backbone"]["embedding_dim"], n_classes=len(table.sections), **config["loss"]
    )
    frozen_names: list[str] = []
    frozen_modules: list[nn.Module] = []
    if config["phase"] == "finetune":
        load_phase1(config, backbone, arcface, table.sections)
        frozen_names, frozen_modules = freeze(backbone, arcface, config["freeze"]["parts"])
    if config["channels_last"]:
        backbone.to(memory_format=torch.channels_last)
    if config["compile"]:
        compile_network(backbone, as_cuda_graphs=config["compile"] == "cudagraphs")
    model = SectionClassifier(
        backbone,
        arcface,
        frozen=frozen_modules,
        n_steps=n_steps,
        seed=config["seed"],
        fused=n_steps >= config["speed"]["from_steps"] and not config["trainer"].get("gradient_clip_val"),
        **config["optimizer"],
    )
    return model, frozen_names


def load_phase1(config: Mapping[str, Any], backbone: Backbone, arcface: ArcFace, sections: list[int]) -> None:
    """Puts the weights of the phase-1 run into the network.

    Raises:
        ValueError: The checkpoint belongs to other sections or another network.
    """
    path = Path(config["checkpoint"]) if config["checkpoint"] else find_phase1(config).checkpoint
    checkpoint = load_checkpoint(path)
    known = checkpoint["asd"]["sections"]
    if known != sections:
        raise ValueError(f"{path} knows the sections {known}, the data have {sections}: take a checkpoint of this data")
    load_part(checkpoint, "backbone", backbone)
    load_part(checkpoint, "arcface", arcface)


def build_trainer(
    run: RunFolder, config: Mapping[str, Any], *, n_epochs: int, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """Lightning's Trainer with our callbacks, in this order: an epoch is recorded before its checkpoint is kept."""
    arguments = config["trainer"] | {"max_epochs": n_epochs, "max_steps": -1}
    logger = config["logger"]
    quiet_lightning()
    return make_trainer(
        **arguments,
        use_distributed_sampler=False,  # a step's batch is shared out, not the steps
        logger=WandbMirror(run, config) if logger["kind"] == "wandb" else False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.path,
    )


def make_trainer(**arguments: Any) -> pl.Trainer:
    """Lightning's Trainer.

    Raises:
        ValueError: This computer or this Lightning does not have what trainer.* asks for, such as a GPU.
    """
    try:
        return pl.Trainer(**arguments)
    except MisconfigurationException as error:
        raise ValueError(f"trainer.*: {error}") from None


def quiet_lightning() -> None:
    """Leaves out what Lightning says about itself; its warnings stay, but for those named here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 with newer torch
        r"The '.*_dataloader' does not have many workers",  # windows come from a memory map: nothing to wait for
        r"The number of training batches \(\d+\) is smaller than the logging interval",  # we log by epoch
        r"Found \d+ module\(s\) in eval mode",  # frozen on purpose
        r"You're resuming from a checkpoint that ended before the epoch ended",  # our sampler knows where it was
    ):
        warnings.filterwarnings("ignore", message)
