"""What runs of a grid may do, good and bad, without a network: targets for the tests of grids."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asd.runs.folder import RunFolder
from asd.runs.manifest import write_manifest
from asd.runs.status import write_status


@dataclass(frozen=True)
class Deed:
    """The configuration of a run that only does something.

    Attributes:
        deed: One of DEEDS.
        machine: Of the run's address.
    """

    deed: str
    machine: str
    quiet: bool = False
    overwrite: bool = False

    def folder(self) -> Path:
        """Where the run is."""
        return Path("outputs/main") / self.machine / "none-none-s0" / "train"


def obey(config: Deed, lock: Any) -> None:
    """Does what the configuration says."""
    run = RunFolder(config.folder())
    write_status(run, "running", step=1, n_steps=2)
    DEEDS[config.deed](config)
    run.write_config(asdict(config))
    with open(run.path / "trained", "a") as file:
        file.write("once\n")
    write_manifest(run.manifest, {"config.yaml": run.config})
    write_status(run, "done", step=2)


def crash(config: Deed) -> None:
    """A bug."""
    raise ZeroDivisionError("nothing to divide by")


def mistake(config: Deed) -> None:
    """A mistake of the user's."""
    raise ValueError("this cannot be")


def die(config: Deed) -> None:
    """What a system without memory does to a process."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave(config: Deed) -> None:
    """A library that ends the process."""
    os._exit(3)


def linger(config: Deed) -> None:
    """Works on for a minute, with a helper of its own."""
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(f"pids-{config.machine}").write_text(f"{os.getpid()} {helper.pid}")
    time.sleep(60)


def tell(config: Deed) -> None:
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
