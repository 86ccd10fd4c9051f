"""The composition root of training: a typed configuration → a trained run. Both phases are this one function."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from asd.config.instantiate import code_identity
from asd.config.schema import ALL_MACHINES, RunConfig
from asd.config.trust import LIBRARIES, PACKAGE
from asd.data.bad_clips import Usable
from asd.data.clips import MACHINES, ClipTable
from asd.data.datamodule import StepDataModule
from asd.data.readers.configured import reader_of
from asd.data.readers.contract import Reading
from asd.data.readers.overview import describe_table
from asd.data.readers.union import read_training, together
from asd.data.recordings import open_recordings
from asd.data.waveforms import WaveformBank
from asd.launch.preconditions import find_phase1
from asd.methods.method import Method, build_method, config_of, targets_in
from asd.models.module import TrainingModule
from asd.models.sync_batchnorm import synchronise
from asd.runs.checkpoint import Kept, load_checkpoint, newest_checkpoint, weights_digest
from asd.runs.classes import read_classes, write_classes
from asd.runs.excluded import keep_skipped, write_skipped
from asd.runs.folder import RunFolder
from asd.runs.lock import HeldError, Lock, holder_of
from asd.runs.manifest import is_done, read_manifest, refuse_other, refuse_other_network, write_manifest
from asd.runs.overview import summary_table
from asd.runs.ranks import Follower, hold_together, rank
from asd.runs.record import last_line
from asd.runs.status import State, write_status
from asd.simulator.dataset import simulate
from asd.system.allocator import keep_freed_memory
from asd.system.files import remove_leftovers, write_text
from asd.system.interruption import Interruption, interruptible
from asd.system.memory import is_out_of_memory, keep_reserve, make_room
from asd.system.progress import say
from asd.training.checkpoint import KeepLast, keep_finished
from asd.training.nonfinite import FiniteLoss
from asd.training.progress_bar import TrainingBar
from asd.training.record import EpochRecord, RecordLogger
from asd.training.trainer import build_trainer, length, own_callbacks, own_loggers

NOTHING_LEARNED = {"step": 0}  # the record of a training of no steps


@dataclass(frozen=True)
class Network:
    """What is said of a trained network beside its weights.

    Attributes:
        frozen: Names of weights that did not learn.
        parts: Names of its parts.
        n_weights: Their number.
        classes: What its head tells apart.
    """

    frozen: list[str]
    parts: list[str]
    n_weights: int
    classes: list[str]

    def identity(self, config: RunConfig, table: ClipTable, content: str) -> dict[str, Any]:
        """Plain values that let a checkpoint stand alone."""
        about = {"classes": self.classes, "frozen": self.frozen, "content": content}
        return {"config": config.plain(), "sections": table.sections, **about}


def train(config: RunConfig, lock: Lock | Follower | None = None) -> RunFolder:
    """Trains one run, goes on with it, or says that it is finished.

    Args:
        config: Of train.py or finetune.py.
        lock: Of the run, where it is held already.

    Returns:
        The folder of the finished run.

    Raises:
        ValueError: The data or the run's folder do not fit the configuration.
    """
    with interruptible() as interruption:
        reading = prepare_data(config)
        table = reading.table
        method = identified(config, table)
        run, shared = RunFolder(config.folder()), config.shared
        asked, method = method.config, resolve(method, table, run)
        if is_done(run) and not config.overwrite:
            refuse_other(run, method.config.plain())
            if shared:
                refuse_other_network(run, RunFolder(shared.folder()))
            again = f"machine={ALL_MACHINES} overwrite=true" if run.is_shared else "overwrite=true"
            say(f"{run.path} is finished: nothing to do ({again} to train it again)")
            return run
        with nullcontext(lock) if lock else hold_together(run) as lock:
            if shared:
                network = train_shared(shared)
                if rank() > 0:  # the first of the processes that trained it does the rest
                    return run
                method = resolve(build_method(asked), table, network)
                work = partial(take_network, run, method, reading, network, lock)
            else:
                method = build_method(method.ready(is_begun=run.is_begun, asked=asked))
                work = partial(fit, run, method, reading, interruption, lock)
            if rank() == 0:
                claim(run, method.config)
            attempt(run, method.config, work, interruption)
        if interruption.received is not None:  # while the last step was done
            raise SystemExit(interruption.exit_code)
    return run


def prepare_data(config: RunConfig) -> Reading:
    """The clips of the machine, or of all machines; a simulated factory is made on first use."""
    root, factory = Path(config.data.root), config.data.simulate
    if factory:
        machines = MACHINES if config.machine == ALL_MACHINES else (config.machine,)
        simulate(root, machines=machines, progress=config.progress, **factory.plain())
    return read_training(config)


def identified(config: RunConfig, table: ClipTable) -> Method[Any]:
    """The method with the identity of its data and of code from outside, which count as part of the configuration.

    The edition that the reader found is kept too: the metric rule follows it.
    """
    code = code_identity(build_method(config).components)
    data = config.data.model_copy(update={"fingerprint": table.fingerprint(), "edition": table.edition})
    return build_method(config.with_values(data=data, **({"code": code} if code else {})))


def resolve(method: Method[Any], table: ClipTable, run: RunFolder) -> Method[Any]:
    """The method with what `auto` stands for, as in a run that has begun, be it this one or that of its network."""
    config = method.config
    goes_on = not config.overwrite or run.machine != config.machine  # overwrite=true is not meant for the network
    is_begun = run.is_begun and run.config.is_file() and goes_on
    ours = tuple(f"{name}." for name in (PACKAGE, *LIBRARIES))  # are checked class by class, whatever is typed
    typed = {target.partition(".")[0] for target in targets_in(config.plain()) if not target.startswith(ours)}
    begun = config_of(run, typed) if is_begun else None
    n_steps = length(config.trainer, method.n_steps_per_epoch(table))
    return build_method(method.resolved(begun=begun, n_steps=n_steps))


def claim(run: RunFolder, config: RunConfig) -> None:
    """Makes the folder of a run that is held the configuration's own.

    Raises:
        ValueError: Another configuration owns it.
    """
    if config.overwrite:
        run.empty()
    refuse_other(run, config.plain())
    remove_leftovers(run.path)
    if not run.is_begun:
        run.write_config(config.plain())


def attempt(run: RunFolder, config: RunConfig, work: Callable[[], None], interruption: Interruption) -> None:
    """Does the work of a run that is held, and records how it went."""
    keep_reserve()
    if rank() == 0:
        write_status(run, "running")
    try:
        work()
    except BaseException as error:
        if interruption.received is not None:  # whatever broke, broke because of it
            record_failure(run, "interrupted")
            raise SystemExit(interruption.exit_code) from None
        if is_out_of_memory(error):
            make_room(error)
            record_failure(run, "failed", why=out_of_memory(config))
            raise ValueError(out_of_memory(config)) from None
        record_failure(run, "failed", why=f"{type(error).__name__}: {error}")
        raise


def record_failure(run: RunFolder, state: State, **facts: Any) -> None:
    """Writes a last status, if the disk still takes it: the error that led here matters more."""
    if rank() > 0:
        return
    try:
        write_status(run, state, **facts)
    except (OSError, MemoryError) as error:
        say(f"the status could not be written: {error}")


def out_of_memory(config: RunConfig) -> str:
    """What to do about it."""
    size = getattr(config, "batch_size", None)
    step = f" with batch_size={size}" if size else ""  # a method of one's own may have none
    return (
        f"out of memory, training {config.system}{step}. End other programs, take a larger device, data.bank=mmap, "
        "allocator=system on a CPU, trainer.precision=bf16-mixed or a smaller batch_size (both change the result: give "
        "another name=…)"
    )


def fit(
    run: RunFolder, method: Method[Any], reading: Reading, interruption: Interruption, lock: Lock | Follower
) -> None:
    """Trains the network of a run to the end of its schedule and vouches for the result."""
    config = method.config
    if config.allocator == "keep":
        keep_freed_memory()
    table = reading.table
    method.check(table)
    method.check_parts()
    if rank() == 0:
        say(describe_table(reading))
    parts = own_callbacks(config), own_loggers(config, run)  # mistakes in them, before clips are decoded
    begun_from = None
    if config.phase == "finetune":
        begun_from = Path(config.checkpoint) if config.checkpoint else find_phase1(config).checkpoint
    phase1 = load_phase1(begun_from, table) if begun_from else None
    clips = open_clips(run, method, reading)
    table = classified(run, method, clips, begun_from)
    data = method.datamodule(table, clips.bank) if config.trainer.max_steps != 0 else None
    n_steps = length(config.trainer, data.plan.n_steps_per_epoch) if data else 0
    if phase1 and phase1["asd"].get("classes", table.classes) != table.classes:
        raise ValueError(f"the network of phase 1 tells other classes apart than {', '.join(table.classes[:9])}")
    module = method.module(table, n_steps, phase1)
    content = clips.bank.fingerprint(table, table.is_train)
    network = Network(module.frozen_names, module.part_names, sum(map(torch.numel, module.parameters())), table.classes)
    identity = network.identity(config, table, content)
    if data:
        run_trainer(run, config, table, data, module, identity, parts=parts, interruption=interruption, lock=lock)
    elif rank() == 0:
        say(f"nothing to train, {run.path}: {describe(module, table)}")
        checkpoint_to_go_on_from(run, content)
        lock.check()
        keep_finished(run, module.state_dict(), identity)
    if rank() == 0:
        last = last_line(run) if module.n_steps else NOTHING_LEARNED
        facts = {"weights": weights_digest(load_checkpoint(run.checkpoint))} if run.is_shared else {}
        finish(run, config, network, last, skipped=clips.skipped, content=content, notes=reading.notes, **facts)


def open_clips(run: RunFolder, method: Method[Any], reading: Reading) -> Usable[WaveformBank]:
    """The clips of a run, decoded; those that are left out are said, and kept with it."""
    data, progress = method.config.data, method.config.progress
    clips = open_recordings(
        reading, method.decoding, cache=Path(data.cache), on_bad_clip=data.on_bad_clip, progress=progress
    )
    clips.announce()
    keep_skipped(run, clips.skipped)
    return clips


def train_shared(config: RunConfig) -> RunFolder:
    """Trains the network that machines share, or waits until another process has.

    Args:
        config: Of its run.

    Returns:
        Its finished run.
    """
    run = RunFolder(config.folder())
    while True:
        try:
            return train(config)
        except HeldError as error:
            say(f"waiting for the network of all machines: {error}")
        while holder_of(run):
            time.sleep(1.0)


def take_network(
    run: RunFolder, method: Method[Any], reading: Reading, shared: RunFolder, lock: Lock | Follower
) -> None:
    """Makes the network that machines share, trained, the network of a run of one machine, and vouches for it.

    Args:
        run: Of the machine.
        method: Of the machine.
        reading: The clips of the machine.
        shared: The finished run of the network.
        lock: Of the machine's run.
    """
    config = method.config
    say(describe_table(reading))
    clips = open_clips(run, method, reading)
    content = clips.bank.fingerprint(clips.table, clips.table.is_train)
    checkpoint_to_go_on_from(run, content)
    manifest, found = read_manifest(shared.manifest) or {}, load_checkpoint(shared.checkpoint)
    network = Network(manifest["frozen"], manifest["parts"], manifest["n_weights"], found["asd"]["classes"])
    lock.check()
    if shared.metrics.is_file():
        write_text(run.metrics, shared.metrics.read_text())
    identity = network.identity(config, clips.table, content)
    keep_finished(run, found["state_dict"], identity, epoch=found["epoch"], step=found["global_step"])
    notes = (together(reader_of(config.data).machines()), *reading.notes)
    finish(
        run, config, network, manifest["last_epoch"],
        skipped=clips.skipped, notes=notes, content=content, weights=manifest["weights"],
    )  # fmt: skip
    say(f"{run.path} has the network of {shared.path}")


def classified(run: RunFolder, method: Method[Any], clips: Usable[WaveformBank], begun_from: Path | None) -> ClipTable:
    """The clips with their classes, which a run keeps where they are not the sections, and phase 2 takes from phase 1.

    Args:
        run: Its folder.
        method: Of the run.
        clips: That can be used.
        begun_from: The checkpoint of phase 1; None in phase 1.

    Raises:
        ValueError: What is kept does not fit the clips.
    """
    phase1 = [RunFolder(begun_from.absolute().parents[1])] if begun_from else []
    kept = (read_classes(folder, clips.table) for folder in ([run] if run.is_begun else phase1))
    names = next(kept, None)
    table = method.classify(clips.table, clips.bank) if names is None else replace(clips.table, class_name=names)
    if table.class_name is None:
        return table
    if phase1 and names is None:
        raise ValueError(f"{phase1[0].classes} is missing: it says which classes the network of phase 1 tells apart")
    if rank() == 0:
        write_classes(run, table)
    return table


def load_phase1(path: Path, table: ClipTable) -> dict[str, Any]:
    """The checkpoint of the phase-1 run.

    Raises:
        ValueError: It belongs to other sections.
    """
    checkpoint = load_checkpoint(path)
    known = checkpoint["asd"]["sections"]
    if known != table.sections:
        raise ValueError(
            f"{path} knows the sections {known}, the data have {table.sections}: take a checkpoint of this data"
        )
    return checkpoint


def run_trainer(
    run: RunFolder,
    config: RunConfig,
    table: ClipTable,
    data: StepDataModule,
    module: TrainingModule,
    identity: Mapping[str, Any],
    *,
    parts: tuple[list[pl.Callback], list[Any]],
    interruption: Interruption,
    lock: Lock | Follower,
) -> None:
    """Trains, from the newest checkpoint if there is one."""
    callbacks, loggers = parts
    finite = FiniteLoss(lambda step: clips_of(table, data.plan.indices(step)))
    checks = [lambda _: lock.check(), finite.check]
    keep = KeepLast(run, identity, **config.save.plain(), interruption=interruption, checks=checks)
    record = RecordLogger()
    bar = TrainingBar(f"{run.machine}/{run.system}", show=config.progress)
    trainer = build_trainer(
        run,
        config.trainer,
        n_epochs=-(-module.n_steps // data.plan.n_steps_per_epoch),
        callbacks=[*callbacks, finite, EpochRecord(run, record), bar, keep],
        loggers=[record, *loggers],
    )
    if trainer.world_size > 1:
        synchronise(module)
    kept = checkpoint_to_go_on_from(run, identity["content"])
    if rank() == 0:
        start = f"going on at step {kept.step} with" if kept else "training"
        say(f"{start} {run.path}: {describe(module, table)}")
    try:
        if kept is None or not (kept.is_finished or kept.step >= module.n_steps):
            trainer.fit(module, data, ckpt_path=kept.path if kept else None, weights_only=True)
    finally:
        interruption.patient = False


def checkpoint_to_go_on_from(run: RunFolder, content: str) -> Kept | None:
    """The newest checkpoint that loads, if there is one.

    Raises:
        ValueError: It was made with other training clips than those of this content.
    """
    kept = newest_checkpoint(run)
    if kept and kept.path != run.checkpoint:
        run.checkpoint.unlink(missing_ok=True)  # damaged: it must not take the place of the good one before
    if kept and kept.content not in (None, content):
        raise ValueError(
            f"{run.path} began with other sound under the same names of training clips: bring it back, or give "
            "overwrite=true to train with what is there now"
        )
    return kept


def clips_of(table: ClipTable, indices: Any) -> list[str]:
    """The paths of the clips of a step, mixed-in ones too."""
    return [str(table.path[row]) for row in np.concatenate([indices.clip, indices.partner])]


def describe(module: TrainingModule, table: ClipTable) -> str:
    """One line about what is trained."""
    count = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    frozen = f", {len(module.frozen_names)} tensors frozen" if module.frozen_names else ""
    classes = f", {len(table.classes)} classes" if table.class_name is not None else ""
    return f"{len(table)} clips, {len(table.sections)} sections{classes}, {count / 1e6:.2f} M weights learn{frozen}"


def finish(
    run: RunFolder,
    config: RunConfig,
    network: Network,
    last: Mapping[str, Any],
    *,
    skipped: Mapping[str, str],
    notes: Sequence[str],
    **facts: Any,
) -> None:
    """Writes the manifest: from now on the run counts as done.

    Args:
        run: Its folder.
        config: Its configuration.
        network: What was trained.
        last: The last line of its record.
        skipped: Files that were left out, and why.
        notes: What was understood of the clips.
        facts: Digest of the training clips' content; of weights that machines share.
    """
    others = {"classes.csv": run.classes} if run.classes.is_file() else {}
    others |= write_skipped(run.path, skipped)
    write_manifest(
        run.manifest,
        {"config.yaml": run.config, "checkpoints/last.ckpt": run.checkpoint, **others},
        data=config.data.fingerprint,
        notes=list(notes),
        frozen=network.frozen,
        parts=network.parts,
        n_weights=network.n_weights,
        last_epoch=last,
        **facts,
    )
    write_status(run, "done", epoch=last.get("epoch"), step=last["step"])
    say(summary_table([run]))
