"""The composition root of training: a checked configuration → a trained run. Both phases are this one function."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asd.config.preconditions import with_fingerprint
from asd.data.bad_clips import scan_clips
from asd.data.clips import ClipTable
from asd.data.logmel_plan import WindowDraw
from asd.data.sampling import Draw
from asd.models.backbone import Backbone
from asd.models.baseline import Baseline
from asd.models.classifier import SectionClassifier
from asd.models.sync_batchnorm import synchronise
from asd.report.ending import ending_table
from asd.runs.excluded import keep_skipped, write_skipped
from asd.runs.folder import RunFolder, address
from asd.runs.lock import Lock
from asd.runs.manifest import is_done, refuse_other, write_manifest
from asd.runs.ranks import Follower, hold_together, rank
from asd.runs.record import read_record
from asd.runs.status import State, write_status
from asd.simulator.dataset import simulate
from asd.system.allocator import keep_freed_memory
from asd.system.files import remove_leftovers
from asd.system.interruption import Interruption, interruptible
from asd.system.progress import say
from asd.training.assembly import build_data, build_model, build_trainer, length, n_steps_of, open_clips
from asd.training.auto import settle, with_compiler
from asd.training.checkpoint import KeepLast, newest_checkpoint
from asd.training.nonfinite import FiniteLoss
from asd.training.progress_bar import TrainingBar
from asd.training.record import EpochRecord


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
        asked, config = config.get("compile"), settle(config, run, n_steps=n_steps_of(config, table))
        if is_done(run) and not config["overwrite"]:
            refuse_other(run, config)
            say(f"{run.path} is finished: nothing to do (overwrite=true to train it again)")
            return run
        with nullcontext(lock) if lock else hold_together(run) as lock:
            config = with_compiler(config, run, asked=asked)
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
        f"{config['batch_size']}. End other programs, take a larger device, data.bank=mmap, allocator=system on a CPU, "
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
