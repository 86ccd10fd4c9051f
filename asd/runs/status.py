"""What a run is doing, for people and programs that look on."""

import os
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from asd.runs.folder import RunFolder
from asd.system.files import write_json
from asd.system.reading import read_json

State = Literal["pending", "running", "done", "failed", "interrupted"]


@dataclass(frozen=True)
class Status:
    """The content of status.json.

    Attributes:
        state: What the run is doing; damaged where the file cannot be read.
        pid: Process that wrote it.
        host: Name of the machine that it ran on.
        heartbeat: When it was written, seconds since 1970.
        why: Reason of a failure, or of the damage.
        epoch: Last epoch that ended, from 0.
        step: Steps done.
        n_steps: Steps to do.
    """

    state: State | Literal["damaged"]
    pid: int | None = None
    host: str | None = None
    heartbeat: float = 0.0
    why: str = ""
    epoch: int | None = None
    step: int | None = None
    n_steps: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody has said how the run ended."""
        return self.state in ("pending", "running", "damaged")

    def progress(self) -> dict[str, int]:
        """How far it is, as far as that is known."""
        known = {"epoch": self.epoch, "step": self.step, "n_steps": self.n_steps}
        return {key: value for key, value in known.items() if value is not None}


def write_status(run: RunFolder, state: State, **facts: Any) -> None:
    """Replaces the run's status; `facts` are further fields of Status, such as why it failed."""
    status = Status(state, os.getpid(), socket.gethostname(), time.time(), **facts)
    write_json(run.status, {key: value for key, value in asdict(status).items() if value not in (None, "")})


def read_status(run: RunFolder) -> Status:
    """The run's status: pending where there is none yet, damaged where it cannot be read."""
    try:
        return read_json(run.status, Status)
    except FileNotFoundError:
        return Status("pending")
    except (OSError, ValueError) as error:
        return Status("damaged", why=str(error))
