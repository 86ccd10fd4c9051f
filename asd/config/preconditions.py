"""What must be there before a job starts: its data, its phase-1 run, a folder that is free or its own."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from asd.config.rules import nearest
from asd.data.bad_clips import OnBadClip, scan_clips
from asd.data.clips import MACHINES, UNWRITABLE, machine_folders, machines_in, printable
from asd.runs.folder import OUTPUTS, RunFolder, address, find_runs
from asd.runs.manifest import differences, is_done, read_manifest, refuse_other
from asd.runs.method import is_baseline

FREEZING = ("until_last_block", "backbone", "arcface")  # models/freezing, which imports torch
LONGEST_NAME = 255  # bytes

WAYS_TO_GET_DATA = """Three ways to get some:
  a simulated factory, made on first use:    data=simulated
  a folder of your own in the same layout:   data=folder data.root=DIR
  the real data set (README, «Real data»):   data.root=DIR, or the environment variable ASD_DATA"""


def require(config: Mapping[str, Any], script: str) -> None:
    """Checks what a job of train, finetune or evaluate needs.

    Raises:
        ValueError: Something is missing; the message says what to type.
    """
    require_writable(OUTPUTS, "outputs")
    require_writable(Path(config["data"]["cache"]), "data.cache")
    if script == "evaluate":
        require_runs(config)
        return
    require_shares(config)
    require_data(config)
    require_short_names(config)
    require_free(config)
    if script == "finetune" and config["checkpoint"] is None:
        require_parts(config["freeze"]["parts"], find_phase1(config))
    elif script == "finetune":
        require_local_file("checkpoint", config["checkpoint"])


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
    known = [*FREEZING, *manifest.get("parts", ())]
    for part in asked if "parts" in manifest else ():
        if part not in known:
            raise ValueError(f"freeze.parts: this network has no {part}.{nearest(part, known)}")


def require_short_names(config: Mapping[str, Any]) -> None:
    """Raises ValueError where a folder of the run would have a longer name than file systems allow."""
    for part in address(config).path.parts:
        if len(os.fsencode(part)) > LONGEST_NAME:
            raise ValueError(f"{part[:40]}…: {len(os.fsencode(part))} bytes are too long for the name of a folder")


def require_shares(config: Mapping[str, Any]) -> None:
    """Raises ValueError where several devices cannot take equal shares of a batch."""
    size, devices = config["batch_size"], config["trainer"]["devices"]
    n_devices = len(devices) if isinstance(devices, list) else devices
    if is_baseline(config) and n_devices != 1:
        raise ValueError(f"trainer.devices={devices}: a baseline trains on one device, give trainer.devices=1")
    if isinstance(n_devices, int) and n_devices > 1 and size % n_devices:
        raise ValueError(
            f"batch_size={size} cannot be shared out equally among {n_devices} devices: take trainer.devices so that "
            f"it can, or another batch_size (another result)"
        )


def require_data(config: Mapping[str, Any]) -> None:
    """Raises ValueError where the data set or its machine is missing and cannot be simulated."""
    root, machine = Path(config["data"]["root"]), config["machine"]
    if UNWRITABLE.search(str(root.absolute())):
        raise ValueError(f"data.root={printable(str(root.absolute()))}: the path is no UTF-8; rename the folder")
    if config["data"]["simulate"]:
        there = list(MACHINES)
    elif root.exists() and not root.is_dir():
        raise ValueError(f"data.root={root} is a file: give the folder that holds dev_data")
    elif not root.is_dir() or not machines_in(root):
        raise ValueError(f"no data at data.root={root}.\n{WAYS_TO_GET_DATA}")
    else:
        there = machines_in(root)
    if machine not in there:
        where = "the simulated factory" if config["data"]["simulate"] else root
        raise ValueError(f"machine={machine}: not in {where}.{nearest(machine, there)}")
    if not config["data"]["simulate"]:
        require_clips(root.absolute(), machine, config["data"]["on_bad_clip"], folder_times(root, machine))


@lru_cache(maxsize=64)  # the jobs of a grid share few machines
def require_clips(root: Path, machine: str, on_bad_clip: OnBadClip, times: tuple[int, ...]) -> None:
    """Raises ValueError where the names of the clips say that a training or its evaluation would fail."""
    scan_clips(root, machine, on_bad_clip)


def folder_times(root: Path, machine: str) -> tuple[int, ...]:
    """When names were last added, removed or changed in the folders of a machine."""
    folders = [path for folder in machine_folders(root, machine) for path in folder.iterdir() if path.is_dir()]
    return tuple(path.stat().st_mtime_ns for path in sorted(folders))


def require_free(config: Mapping[str, Any]) -> None:
    """Raises ValueError where another configuration owns the run's folder."""
    run, root = address(config), Path(config["data"]["root"])
    if config["overwrite"] or not run.config.is_file():
        return
    if config["machine"] in machines_in(root):
        config = with_fingerprint(
            config, scan_clips(root, config["machine"], config["data"]["on_bad_clip"]).fingerprint()
        )
    refuse_other(run, config)


def with_fingerprint(config: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    """The configuration with the identity of its data, which counts as part of it."""
    return {**config, "data": {**config["data"], "fingerprint": fingerprint}}


def find_phase1(config: Mapping[str, Any]) -> RunFolder:
    """The finished phase-1 run that a fine-tuning starts from, at the same address.

    Raises:
        ValueError: No such run, not finished, or another network, input or spectrogram.
    """
    run = address(config, "train")
    if not is_done(run):
        state = "is not finished" if run.config.is_file() else "does not exist"
        raise ValueError(f"fine-tuning starts from {run.path}, which {state}. Type first:\n  {phase1_command(config)}")
    keys = ("backbone.", "input.", "loss.sub_centers")
    differing = [line for line in differences(config, run.read_config()) if line.startswith(keys)]
    if differing:
        lines = "\n  ".join(differing)
        raise ValueError(f"fine-tuning cannot start from {run.path}, which was made with other settings:\n  {lines}")
    return run


def phase1_command(config: Mapping[str, Any]) -> str:
    """What to type for the phase-1 run of the same address."""
    data = config["data"]
    where = f" data={data['name']}" + ("" if data["simulate"] else f" data.root={data['root']}")
    return (
        f"python train.py name={config['name']} machine={config['machine']} seed={config['seed']} "
        f"backbone={config['backbone']['name']} input={config['input']['name']}{where}"
    )


def machine_list(config: Mapping[str, Any]) -> list[str] | None:
    """The machines that evaluate.py was asked for; None for all that have runs."""
    asked = config["machine"]
    return [asked] if isinstance(asked, str) else asked


def require_runs(config: Mapping[str, Any]) -> None:
    """Raises ValueError where there is nothing finished to evaluate."""
    name, asked = config["name"], machine_list(config)
    if config["data"]["root"] is not None and not Path(config["data"]["root"]).is_dir():
        raise ValueError(f"data.root={config['data']['root']}: no such folder; leave it out unless the data moved")
    finished = [run for run in find_runs(name, asked) if is_done(run)]
    done, phases = {run.machine for run in finished}, {run.phase for run in finished}
    if not done:
        known = {path.name for path in OUTPUTS.glob("[!.]*") if path.is_dir()} - {name}
        hint = nearest(name, known) if known else " train.py makes runs."
        raise ValueError(f"no finished run in {OUTPUTS / name}{f' for machine={asked}' if asked else ''}.{hint}")
    if config["phase"] not in {None, *phases}:
        raise ValueError(f"phase={config['phase']}: no finished run has it.{nearest(config['phase'], phases)}")
    missing = sorted(set(asked or ()) - done)
    if missing:
        raise ValueError(f"machine={missing}: no finished run in {OUTPUTS / name}.{nearest(missing[0], done)}")
