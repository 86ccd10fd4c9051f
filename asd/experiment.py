"""The composition root of training: a checked configuration → objects → fit. Both phases are this one function."""

import logging
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from asd.allocator import keep_freed_memory
from asd.data.clips import ClipTable, scan_machine
from asd.data.datamodule import MachineDataModule, StepPlan
from asd.data.sampling import BalancedSource, TargetStep
from asd.data.simulate import simulate
from asd.data.waveforms import WaveformBank
from asd.models.arcface import ArcFace
from asd.models.backbone import Backbone
from asd.models.build import build_backbone
from asd.models.classifier import SectionClassifier
from asd.models.freezing import freeze
from asd.pieces.spectrogram import min_samples, n_columns, spectrogram_settings
from asd.report.dashboard import close_loggers, wandb_logger
from asd.requirements import find_phase1, with_fingerprint
from asd.runs.checkpoint import AtomicCheckpointIO, KeepLast, load_checkpoint, load_part, newest_checkpoint
from asd.runs.folder import RunFolder, address
from asd.runs.identity import is_done, refuse_other, write_manifest
from asd.runs.record import EpochRecord, read_record
from asd.runs.status import write_status

SAMPLINGS = {"source": BalancedSource, "target_step": TargetStep}


def train(config: Mapping[str, Any]) -> RunFolder:
    """Trains one run, goes on with it, or says that it is finished.

    Args:
        config: A checked configuration of train.py or finetune.py.

    Returns:
        The folder of the finished run.

    Raises:
        ValueError: The data or the run's folder do not fit the configuration.
    """
    table = prepare_data(config)
    config = with_fingerprint(config, table.fingerprint())
    run = claim(config)
    if is_done(run):
        print(f"{run.path} is finished: nothing to do (overwrite=true to train it again)")
        return run
    write_status(run, "running")
    try:
        fit(run, config, table)
    except Exception as error:
        write_status(run, "failed", why=f"{type(error).__name__}: {error}")
        raise
    except BaseException:
        write_status(run, "interrupted")
        raise
    return run


def prepare_data(config: Mapping[str, Any]) -> ClipTable:
    """The clips of the machine; a simulated factory is made on first use."""
    root, machine, factory = Path(config["data"]["root"]), config["machine"], config["data"]["simulate"]
    if factory:
        simulate(root, machines=[machine], progress=config["progress"], **factory)
    return scan_machine(root, machine)


def claim(config: Mapping[str, Any]) -> RunFolder:
    """The folder of the run, with the configuration in it.

    Raises:
        ValueError: Another configuration owns it.
    """
    run = address(config)
    if config["overwrite"] and run.path.exists():
        shutil.rmtree(run.path)
    refuse_other(run, config)
    if not run.is_begun:
        run.write_config(config)
    return run


def fit(run: RunFolder, config: Mapping[str, Any], table: ClipTable) -> None:
    """Trains the network of a run to the end of its schedule and vouches for the result."""
    if config["allocator"] == "keep":
        keep_freed_memory()
    data = build_data(config, table)
    n_steps = length(config["trainer"], data.plan.n_steps_per_epoch)
    model, frozen = build_model(config, table, n_steps)
    identity = {"config": dict(config), "sections": table.sections, "frozen": frozen}
    trainer = build_trainer(run, config, identity, n_epochs=-(-n_steps // data.plan.n_steps_per_epoch))
    resume = newest_checkpoint(run)
    print(f"{'going on with' if resume else 'training'} {run.path}: {describe(model, table, frozen)}")
    try:
        trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C and SIGTERM, but with exit codes that look finished
        raise SystemExit(143 if trainer.received_sigterm else 130) from None
    finally:
        close_loggers(trainer)
    finish(run, config, frozen)


def describe(model: SectionClassifier, table: ClipTable, frozen: list[str]) -> str:
    """One line about what is trained."""
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    still = f", {len(frozen)} tensors frozen" if frozen else ""
    return f"{len(table)} clips, {len(table.sections)} sections, {count / 1e6:.2f} M weights learn{still}"


def finish(run: RunFolder, config: Mapping[str, Any], frozen: list[str]) -> None:
    """Writes the manifest: from now on the run counts as done."""
    last = read_record(run)[-1]
    write_manifest(
        run.manifest,
        {"config.yaml": run.config, "checkpoints/last.ckpt": run.checkpoint},
        data=config["data"]["fingerprint"],
        frozen=frozen,
        last_epoch=last,
    )
    write_status(run, "done", epoch=last["epoch"], step=last["step"])


def build_data(config: Mapping[str, Any], table: ClipTable) -> MachineDataModule:
    """The DataModule: the bank of waveforms and the plan of the steps."""
    settings = spectrogram_settings(config["input"])
    bank = open_bank(config, table)
    plan: StepPlan = SAMPLINGS[config["sampling"]](
        table,
        batch_size=config["batch_size"],
        mix_range=tuple(config["mixup"]["weight"]),
        mix_probability=config["mixup"]["probability"],
        n_frames=settings.n_frames,
        n_columns=np.array([n_columns(int(length), settings) for length in bank.lengths]),
        seed=config["seed"],
    )
    return MachineDataModule(bank, plan, settings, workers=config["data"]["workers"])


def open_bank(config: Mapping[str, Any], table: ClipTable) -> WaveformBank:
    """The decoded waveforms of a machine, from the cache where they are there."""
    settings = spectrogram_settings(config["input"])
    return WaveformBank.open(
        table,
        Path(config["data"]["cache"]),
        sample_rate=settings.sample_rate,
        min_samples=min_samples(settings),
        progress=config["progress"],
    )


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


def build_model(config: Mapping[str, Any], table: ClipTable, n_steps: int) -> tuple[SectionClassifier, list[str]]:
    """The network at its start — random in phase 1, the phase-1 run's in phase 2 — and what is frozen in it."""
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
    model = SectionClassifier(
        backbone, arcface, frozen=frozen_modules, n_steps=n_steps, seed=config["seed"], **config["optimizer"]
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


def build_trainer(run: RunFolder, config: Mapping[str, Any], identity: Mapping[str, Any], n_epochs: int) -> pl.Trainer:
    """Lightning's Trainer with our checkpoint and record."""
    arguments = config["trainer"] | {"max_epochs": n_epochs, "max_steps": -1}
    logger = config["logger"]
    quiet_lightning()
    return pl.Trainer(
        **arguments,
        logger=wandb_logger(run, config) if logger["kind"] == "wandb" else False,
        callbacks=[EpochRecord(run, as_csv=logger["kind"] == "csv"), KeepLast(run, identity)],
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=config["progress"],
        enable_model_summary=False,
        default_root_dir=run.path,
    )


def quiet_lightning() -> None:
    """Leaves out what Lightning says about itself; its warnings stay, but for those named here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 with newer torch
        r"The '.*_dataloader' does not have many workers",  # windows come from a memory map: nothing to wait for
        r"The number of training batches \(\d+\) is smaller than the logging interval",  # we log by epoch
        r"Found \d+ module\(s\) in eval mode",  # frozen on purpose
    ):
        warnings.filterwarnings("ignore", message)
