"""What must be there before a job starts: its data, its phase-1 run, a folder that is free or its own."""

import os
from collections.abc import Sequence
from pathlib import Path

from asd.config.instantiate import code_identity
from asd.config.messages import nearest
from asd.config.schema import ALL_MACHINES, FREEZE_STRATEGIES, OUTPUTS, EvaluateConfig, RunConfig
from asd.data.clips import MACHINES
from asd.data.readers.configured import reader_of
from asd.data.readers.describe import explain_missing
from asd.data.readers.union import read_training
from asd.data.sound_files import UNWRITABLE, printable
from asd.methods.method import build_method
from asd.runs.folder import RunFolder, find_runs
from asd.runs.manifest import differences, is_done, read_manifest, refuse_other, refuse_other_network
from asd.runs.recorded import RecordedConfig

LONGEST_NAME = 255  # bytes

WAYS_TO_GET_DATA = """Three ways to get some:
  a simulated factory, made on first use:    data=simulated
  recordings of your own:                    data=folder data.root=DIR
  the data set of the report (docs/data.md): data.root=DIR, or the environment variable ASD_DATA"""


def require(config: RunConfig | EvaluateConfig, words: Sequence[str] = (), networks: set[Path] | None = None) -> None:
    """Checks what a job of train, finetune or evaluate needs.

    Args:
        config: Of the job.
        words: What was typed, for the advice of what to type before.
        networks: Folders of shared networks that an earlier job's check has seen; this one's is added.

    Raises:
        ValueError: Something is missing; the message says what to type.
    """
    require_writable(OUTPUTS, "outputs")
    require_writable(Path(config.data.cache), "data.cache")
    if isinstance(config, EvaluateConfig):
        require_runs(config)
        return
    require_shares(config)
    require_data(config)
    require_short_names(config)
    require_free(config)
    if config.shared:
        require_network(config, config.shared, set() if networks is None else networks)
    if config.phase == "finetune" and config.checkpoint is None:
        assert config.freeze is not None
        require_parts(config.freeze.parts, find_phase1(config.shared or config, words))
    elif config.phase == "finetune":
        require_local_file("checkpoint", str(config.checkpoint))


def require_writable(folder: Path, key: str) -> None:
    """Raises ValueError where a folder cannot be made or written to."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{key}: {there} is a file; a folder is needed there")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{key}: {there} cannot be written; work in a folder of your own, or give another place")


def require_local_file(key: str, path: str) -> None:
    """Raises ValueError where a path names another computer, or no file."""
    if "://" in path:
        raise ValueError(f"{key}={path}: only local files are read; fetch it and give its path")
    if not Path(path).is_file():
        raise ValueError(f"{key}={path}: no such checkpoint; give the path of a file such as …/checkpoints/last.ckpt")


def require_parts(asked: list[str], phase1: RunFolder) -> None:
    """Raises ValueError where freeze.parts names what the phase-1 network does not have, as its manifest tells."""
    manifest = read_manifest(phase1.manifest) or {}
    known = [*FREEZE_STRATEGIES, *manifest.get("parts", ())]
    for part in asked if "parts" in manifest else ():
        if part not in known:
            raise ValueError(f"freeze.parts: this network has no {part}.{nearest(part, known)}")


def require_short_names(config: RunConfig) -> None:
    """Raises ValueError where a folder of the run would have a longer name than file systems allow."""
    for part in config.folder().parts:
        if len(os.fsencode(part)) > LONGEST_NAME:
            raise ValueError(f"{part[:40]}…: {len(os.fsencode(part))} bytes are too long for the name of a folder")


def require_shares(config: RunConfig) -> None:
    """Raises ValueError where several devices cannot take equal shares of a batch."""
    size, devices = getattr(config, "batch_size", None), config.trainer.devices
    n_devices = len(devices) if isinstance(devices, list) else devices
    if isinstance(size, int) and isinstance(n_devices, int) and n_devices > 1 and size % n_devices:
        raise ValueError(
            f"batch_size={size} cannot be shared out equally among {n_devices} devices: take trainer.devices so that "
            f"it can, or another batch_size (another result)"
        )


def require_data(config: RunConfig) -> None:
    """Raises ValueError where the data set or its machine is missing and cannot be simulated."""
    root, machine = Path(config.data.root), config.machine
    if UNWRITABLE.search(str(root.absolute())):
        raise ValueError(f"data.root={printable(str(root.absolute()))}: the path is no UTF-8; rename the folder")
    if config.data.simulate:
        there = list(MACHINES)
    else:
        there = reader_of(config.data).machines()
        if not there:
            raise ValueError(f"{explain_missing(root)}\n{WAYS_TO_GET_DATA}")
    if machine not in (*there, ALL_MACHINES):
        where = "the simulated factory" if config.data.simulate else root
        raise ValueError(f"machine={machine}: not in {where}.{nearest(machine, there)}")
    if not config.data.simulate and not config.shared:
        build_method(config).check(read_training(config).table)


def require_network(config: RunConfig, shared: RunConfig, checked: set[Path]) -> None:
    """Raises ValueError where machines cannot share a network, or a finished run has an earlier one.

    Args:
        config: Of a machine's run.
        shared: Of the network's.
        checked: Folders of networks of which this is known; reading all machines takes seconds.
    """
    if shared.folder() not in checked:
        if not shared.data.simulate:
            build_method(shared).check(read_training(shared).table)
        require_free(shared)
        checked.add(shared.folder())
    if not config.overwrite:
        refuse_other_network(RunFolder(config.folder()), RunFolder(shared.folder()))


def require_free(config: RunConfig) -> None:
    """Raises ValueError where another configuration owns the run's folder."""
    run, reader = RunFolder(config.folder()), reader_of(config.data)
    if config.overwrite or not run.config.is_file():
        return
    values = config.plain()
    if config.data.simulate:  # what was lost of a factory is made again before it is compared
        values["data"]["fingerprint"] = RecordedConfig.read(run).data.fingerprint
    elif Path(config.data.root).exists() and config.machine in (*reader.machines(), ALL_MACHINES):
        values["data"]["fingerprint"] = read_training(config).table.fingerprint()
    if code := code_identity(build_method(config).components):
        values["code"] = code
    refuse_other(run, values)


def find_phase1(config: RunConfig, words: Sequence[str] = ()) -> RunFolder:
    """The finished phase-1 run that a fine-tuning starts from, at the same address.

    Raises:
        ValueError: No such run, not finished, or another network or input.
    """
    run = RunFolder(config.folder("train"))
    if not is_done(run):
        state = "is not finished" if run.config.is_file() else "does not exist"
        raise ValueError(
            f"fine-tuning starts from {run.path}, which {state}. Type first:\n  {phase1_command(config, words)}"
        )
    keys = ("backbone.", "input.", "loss._target_", "loss.sub_centers", "classes")
    theirs = RecordedConfig.read(run).values
    differing = [line for line in differences(config.plain(), theirs) if line.startswith(keys)]
    if differing:
        lines = "\n  ".join(differing)
        raise ValueError(f"fine-tuning cannot start from {run.path}, which was made with other settings:\n  {lines}")
    return run


# Words of a fine-tuning that do not belong to its phase-1 run; lengths and rates are each phase's own.
OF_PHASE_2 = ("freeze", "checkpoint", "trainer.max_", "optimizer.", "schedule", "overwrite", "quiet", "progress")


def phase1_command(config: RunConfig, words: Sequence[str]) -> str:
    """What to type for the phase-1 run: the same words, without those of phase 2, and without a sweep."""
    kept = [word for word in words if not word.lstrip("+").startswith(OF_PHASE_2)]
    own = {word.lstrip("+").partition("=")[0] for word in kept}
    facts = {"machine": config.machine, "name": config.name, "seed": config.seed}
    facts |= {"scope": "all"} if config.scope == "all" else {}
    swept = [f"{key}={value}" for key, value in facts.items() if key not in own]
    return " ".join(["python train.py", *(swept if not words else []), *map(shell_quoted, kept)])


def shell_quoted(word: str) -> str:
    """A word as a shell takes it."""
    import shlex

    return shlex.quote(word) if any(sign in word for sign in " $'\"()") else word


def require_runs(config: EvaluateConfig) -> None:
    """Raises ValueError where there is nothing finished to evaluate."""
    name, asked = config.name, config.machines
    if config.data.root is not None and not Path(config.data.root).exists():
        raise ValueError(f"data.root={config.data.root}: no such folder or table; leave it out unless the data moved")
    if ALL_MACHINES in (asked or ()):
        raise ValueError(
            f"machine={ALL_MACHINES} is the network that machines share, which is scored with each of them: leave "
            "machine out to score them all"
        )
    finished = [run for run in find_runs(name, asked) if is_done(run)]
    done, phases = {run.machine for run in finished}, {run.phase for run in finished}
    others = {run.machine for run in find_runs(name) if is_done(run)} if asked and not done else set()
    if not done and not others:
        known = {path.name for path in OUTPUTS.glob("[!.]*") if path.is_dir()} - {name}
        hint = nearest(name, known) if known else " train.py makes runs."
        raise ValueError(f"no finished run in {OUTPUTS / name}.{hint}")
    missing = sorted(set(asked or ()) - done)
    if missing:
        raise ValueError(f"machine={missing}: no finished run in {OUTPUTS / name}.{nearest(missing[0], done | others)}")
    if config.phase not in {None, *phases}:
        raise ValueError(f"phase={config.phase}: no finished run has it.{nearest(str(config.phase), phases)}")
