"""The composition root of training: a checked configuration → objects → fit. Both phases are this one function."""

import logging
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from asd.allocator import keep_freed_memory
from asd.atomic import remove_leftovers
from asd.baselines import build as baselines
from asd.data.clips import ClipTable
from asd.data.datamodule import MachineDataModule
from asd.data.placement import place
from asd.data.sampling import BalancedSource, Draw, StepPlan, TargetStep
from asd.data.simulate import simulate
from asd.data.usable import Usable, open_usable, scan_clips
from asd.data.waveforms import WaveformBank
from asd.data.windowing import WindowDraw
from asd.data.windows import WindowDataModule
from asd.models.arcface import ArcFace
from asd.models.backbone import Backbone
from asd.models.baseline import Baseline
from asd.models.build import build_backbone
from asd.models.classifier import SectionClassifier
from asd.models.freezing import freeze
from asd.models.synchronised import synchronise
from asd.pieces.shortest import shortest_clip
from asd.pieces.spectrogram import n_columns, spectrogram_settings
from asd.progress import say
from asd.report.dashboard.training import WandbMirror
from asd.report.ending import ending_table
from asd.requirements import find_phase1, with_fingerprint
from asd.runs.auto import settle, training_device
from asd.runs.checkpoint import AtomicCheckpointIO, KeepLast, load_checkpoint, load_part, newest_checkpoint
from asd.runs.finite import FiniteLoss
from asd.runs.folder import RunFolder, address
from asd.runs.identity import is_done, refuse_other, write_manifest
from asd.runs.interruption import Interruption, interruptible
from asd.runs.lock import Lock
from asd.runs.method import is_baseline
from asd.runs.ranks import Follower, hold_together, rank
from asd.runs.record import EpochRecord, read_record
from asd.runs.skipped import keep_skipped, write_skipped
from asd.runs.status import State, write_status
from asd.runs.training_bar import TrainingBar

SAMPLINGS = {"source": BalancedSource, "target_step": TargetStep}


def train(config: Mapping[str, Any], lock: Lock | Follower | None = None) -> RunFolder:
    """Trains one run, goes on with it, or says that it is finished.

    Args:
        config: A checked configuration of train.py or finetune.py.
        lock: Of the run, where it is held already.

    Returns:
        The folder of the finished run.

    Raises:
        ValueError: The data or the run's folder do not fit the configuration.
    """
    with interruptible() as interruption:
        table = prepare_data(config)
        config = with_fingerprint(config, table.fingerprint())
        run = address(config)
        config = settle(config, run, n_steps=n_steps_of(config, table))
        if is_done(run) and not config["overwrite"]:
            refuse_other(run, config)
            say(f"{run.path} is finished: nothing to do (overwrite=true to train it again)")
            return run
        with nullcontext(lock) if lock else hold_together(run) as lock:
            if rank() == 0:
                claim(run, config)
            attempt(run, config, table, interruption, lock)
        if interruption.received is not None:  # while the last step was done
            raise SystemExit(interruption.exit_code)
    return run


def attempt(
    run: RunFolder, config: Mapping[str, Any], table: ClipTable, interruption: Interruption, lock: Lock | Follower
) -> None:
    """Trains a run that is held, and leaves word of how it went."""
    if rank() == 0:
        write_status(run, "running")
    try:
        fit(run, config, table, interruption, lock)
    except BaseException as error:
        if interruption.received is not None:  # whatever broke, broke because of it
            leave_word(run, "interrupted")
            raise SystemExit(interruption.exit_code) from None
        leave_word(run, "failed", why=f"{type(error).__name__}: {error}")
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            raise ValueError(out_of_memory(config)) from error
        raise


def leave_word(run: RunFolder, state: State, **facts: Any) -> None:
    """Writes a last status, if the disk still takes it: the error that led here matters more."""
    if rank() > 0:
        return
    try:
        write_status(run, state, **facts)
    except OSError as error:
        say(f"the status could not be written: {error}")


def out_of_memory(config: Mapping[str, Any]) -> str:
    """What to do about it."""
    return (
        f"out of memory, training {config['backbone']['name']} on {config['input']['name']} with batch_size="
        f"{config['batch_size']}. End other programs, take a larger device, allocator=system on a CPU, "
        f"trainer.precision=bf16-mixed or a smaller batch_size (both change the result: give another name=…)"
    )


def prepare_data(config: Mapping[str, Any]) -> ClipTable:
    """The clips of the machine; a simulated factory is made on first use."""
    root, machine, factory = Path(config["data"]["root"]), config["machine"], config["data"]["simulate"]
    if factory:
        simulate(root, machines=[machine], progress=config["progress"], **factory)
    return scan_clips(root, machine, config["data"]["on_bad_clip"])


def claim(run: RunFolder, config: Mapping[str, Any]) -> None:
    """Makes the folder of a run that is held the configuration's own.

    Raises:
        ValueError: Another configuration owns it.
    """
    if config["overwrite"]:
        run.empty()
    refuse_other(run, config)
    remove_leftovers(run.path)
    if not run.is_begun:
        run.write_config(config)


def fit(
    run: RunFolder, config: Mapping[str, Any], table: ClipTable, interruption: Interruption, lock: Lock | Follower
) -> None:
    """Trains the network of a run to the end of its schedule and vouches for the result."""
    if config["allocator"] == "keep":
        keep_freed_memory()
    clips = open_clips(config, table)
    clips.announce()
    keep_skipped(run, clips.skipped)
    table, data = clips.table, build_data(config, clips)
    n_steps = length(config["trainer"], data.plan.n_steps_per_epoch)
    model, frozen = build_model(config, table, n_steps)
    identity = {"config": dict(config), "sections": table.sections, "frozen": frozen}
    finite = FiniteLoss(lambda step: clips_of(table, data.plan.draw(step)))
    keep = KeepLast(
        run, identity, **config["save"], interruption=interruption, checks=[lambda _: lock.check(), finite.check]
    )
    record = EpochRecord(run, as_csv=config["logger"]["kind"] == "csv")
    n_epochs = -(-n_steps // data.plan.n_steps_per_epoch)
    bar = TrainingBar(f"{run.machine}/{run.system}", show=config["progress"])
    trainer = build_trainer(run, config, n_epochs=n_epochs, callbacks=[finite, record, keep, bar])
    if trainer.world_size > 1:
        synchronise(model)
    kept = newest_checkpoint(run)
    if kept and kept.path != run.checkpoint:
        run.checkpoint.unlink(missing_ok=True)  # damaged: it must not take the place of the good one before
    if rank() == 0:
        start = f"going on at step {kept.step} with" if kept else "training"
        say(f"{start} {run.path}: {describe(model, table, frozen)}")
    try:
        if kept is None or kept.step < n_steps:
            trainer.fit(model, data, ckpt_path=kept.path if kept else None, weights_only=True)
    finally:
        interruption.patient = False
    if rank() == 0:
        finish(run, config, frozen, parts=parts_of(model), skipped=clips.skipped)


def clips_of(table: ClipTable, draw: Draw | WindowDraw) -> list[str]:
    """The paths of the clips of a step, mixed-in ones too."""
    return [str(table.path[row]) for row in np.concatenate([draw.clip, draw.partner])]


def describe(model: SectionClassifier | Baseline, table: ClipTable, frozen: list[str]) -> str:
    """One line about what is trained."""
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    still = f", {len(frozen)} tensors frozen" if frozen else ""
    return f"{len(table)} clips, {len(table.sections)} sections, {count / 1e6:.2f} M weights learn{still}"


def parts_of(model: SectionClassifier | Baseline) -> list[str]:
    """The names of the parts that fine-tuning can freeze; a baseline is not fine-tuned."""
    if isinstance(model, Baseline):
        return []
    assert isinstance(model.backbone, Backbone)
    return list(model.backbone.parts())


def finish(
    run: RunFolder, config: Mapping[str, Any], frozen: list[str], *, parts: list[str], skipped: Mapping[str, str]
) -> None:
    """Writes the manifest: from now on the run counts as done."""
    last = read_record(run)[-1]
    write_manifest(
        run.manifest,
        {"config.yaml": run.config, "checkpoints/last.ckpt": run.checkpoint, **write_skipped(run.path, skipped)},
        data=config["data"]["fingerprint"],
        frozen=frozen,
        parts=parts,
        last_epoch=last,
    )
    write_status(run, "done", epoch=last["epoch"], step=last["step"])
    say(ending_table([run]))


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
        compile_network(backbone, config)
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


def compile_network(backbone: Backbone, config: Mapping[str, Any]) -> None:
    """Compiles the network at its first step; its weights keep their names, so checkpoints load everywhere."""
    say("compiling the network at the first step: about a minute, once")
    torch.compiler.reset()  # a sweep's runs in one process: what was compiled for others is not looked at again
    mode = "reduce-overhead" if config["compile"] == "cudagraphs" else None
    backbone.compile(dynamic=False, mode=mode)


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
