"""The machine's cores and GPUs, shared out among runs that work at the same time."""

import os
import shutil
import subprocess

from asd.launch.worker import Slot
from asd.system.cores import n_cores

GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


def share_out(n_slots: int) -> list[Slot]:
    """The slots of this machine. A single one has all of it, and the terminal.

    Args:
        n_slots: Runs at a time.

    Raises:
        ValueError: There cannot be so many.
    """
    if isinstance(n_slots, bool) or not isinstance(n_slots, int) or n_slots < 1:
        raise ValueError(f"hydra.launcher.slots={n_slots} is not allowed: give a whole number from 1")
    if n_slots == 1:
        return [Slot()]
    threads = os.environ.get(THREADS) or str(max(1, n_cores() // n_slots))
    return [Slot({THREADS: threads, **gpus}, to_log=True) for gpus in share_gpus(visible_gpus(), n_slots)]


def share_gpus(gpus: list[str], n_slots: int) -> list[dict[str, str]]:
    """The variable that says which GPUs a slot sees: as many for each, or one for several where there are too few.

    Args:
        gpus: Their numbers or names.
        n_slots: Runs at a time.
    """
    if not gpus:
        return [{} for _ in range(n_slots)]
    each = len(gpus) // n_slots
    if not each:
        return [{GPUS: gpus[slot % len(gpus)]} for slot in range(n_slots)]
    return [{GPUS: ",".join(gpus[slot * each : (slot + 1) * each])} for slot in range(n_slots)]


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, found without torch."""
    given = os.environ.get(GPUS)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]
