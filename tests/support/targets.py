"""What runs of a grid may do, good and bad, without a network: targets for the tests of grids."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from asd.runs.folder import address
from asd.runs.manifest import write_manifest
from asd.runs.status import write_status


def obey(config: dict[str, Any], lock: Any) -> None:
    """Does what the configuration says."""
    run = address(config)
    write_status(run, "running", step=1, n_steps=2)
    DEEDS[config["deed"]](config)
    run.write_config(config)
    with open(run.path / "trained", "a") as file:
        file.write("once\n")
    write_manifest(run.manifest, {"config.yaml": run.config})
    write_status(run, "done", step=2)


def crash(config: dict[str, Any]) -> None:
    """A bug."""
    raise ZeroDivisionError("nothing to divide by")


def mistake(config: dict[str, Any]) -> None:
    """A mistake of the user's."""
    raise ValueError("this cannot be")


def die(config: dict[str, Any]) -> None:
    """What a system without memory does to a process."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave(config: dict[str, Any]) -> None:
    """A library that ends the process."""
    os._exit(3)


def linger(config: dict[str, Any]) -> None:
    """Works on for a minute, with a helper of its own."""
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(f"pids-{config['machine']}").write_text(f"{os.getpid()} {helper.pid}")
    time.sleep(60)


def tell(config: dict[str, Any]) -> None:
    """Says what it may use."""
    import torch

    print("THREADS", torch.get_num_threads(), "GPUS", os.environ.get("CUDA_VISIBLE_DEVICES"))


DEEDS = {
    "work": lambda config: None,
    "crash": crash,
    "mistake": mistake,
    "die": die,
    "leave": leave,
    "linger": linger,
    "tell": tell,
}
