"""What must be there before a job starts: its data, its phase-1 run, a folder that is free or its own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asd.data.clips import MACHINES, machines_in, scan_machine
from asd.rules import nearest
from asd.runs.folder import OUTPUTS, RunFolder, address, find_runs
from asd.runs.identity import differences, is_done, refuse_other

WAYS_TO_GET_DATA = """Three ways to get some:
  a simulated factory, made on first use:    data=simulated
  a folder of your own in the same layout:   data=folder data.root=DIR
  the real data set (README, «Real data»):   data.root=DIR, or the environment variable ASD_DATA"""


def require(config: Mapping[str, Any], script: str) -> None:
    """Checks what a job of train, finetune or evaluate needs.

    Raises:
        ValueError: Something is missing; the message says what to type.
    """
    require_writable()
    if script == "evaluate":
        require_runs(config)
        return
    require_shares(config)
    require_data(config)
    require_free(config)
    if script == "finetune" and config["checkpoint"] is None:
        find_phase1(config)


def require_writable() -> None:
    """Raises ValueError where no output can be written."""
    folder = OUTPUTS if OUTPUTS.exists() else Path()
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{folder.absolute()} cannot be written: run from a folder of your own")


def require_shares(config: Mapping[str, Any]) -> None:
    """Raises ValueError where several devices cannot take equal shares of a batch."""
    size, devices = config["batch_size"], config["trainer"]["devices"]
    n_devices = len(devices) if isinstance(devices, list) else devices
    if isinstance(n_devices, int) and n_devices > 1 and size % n_devices:
        raise ValueError(
            f"batch_size={size} cannot be shared out equally among {n_devices} devices: take trainer.devices so that "
            f"it can, or another batch_size (another result)"
        )


def require_data(config: Mapping[str, Any]) -> None:
    """Raises ValueError where the data set or its machine is missing and cannot be simulated."""
    root, machine = Path(config["data"]["root"]), config["machine"]
    if config["data"]["simulate"]:
        there = list(MACHINES)
    elif not root.is_dir() or not machines_in(root):
        raise ValueError(f"no data at data.root={root}.\n{WAYS_TO_GET_DATA}")
    else:
        there = machines_in(root)
    if machine not in there:
        where = "the simulated factory" if config["data"]["simulate"] else root
        raise ValueError(f"machine={machine}: not in {where}.{nearest(machine, there)}")


def require_free(config: Mapping[str, Any]) -> None:
    """Raises ValueError where another configuration owns the run's folder."""
    run, root = address(config), Path(config["data"]["root"])
    if config["overwrite"] or not run.config.is_file():
        return
    if config["machine"] in machines_in(root):
        config = with_fingerprint(config, scan_machine(root, config["machine"]).fingerprint())
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
    done = {run.machine for run in find_runs(name, asked) if is_done(run)}
    if not done:
        known = {path.name for path in OUTPUTS.glob("[!.]*") if path.is_dir()} - {name}
        hint = nearest(name, known) if known else " train.py makes runs."
        raise ValueError(f"no finished run in {OUTPUTS / name}{f' for machine={asked}' if asked else ''}.{hint}")
    missing = sorted(set(asked or ()) - done)
    if missing:
        raise ValueError(f"machine={missing}: no finished run in {OUTPUTS / name}.{nearest(missing[0], done)}")
