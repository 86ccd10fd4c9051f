"""What a run is doing, for people and programs that look on."""

import json
import os
import socket
import time
from typing import Any, Literal

from asd.runs.folder import RunFolder
from asd.system.files import write_json

State = Literal["pending", "running", "done", "failed", "interrupted"]


def write_status(run: RunFolder, state: State, **facts: Any) -> None:
    """Replaces the run's status; `facts` are plain values such as why it failed."""
    who = {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat": time.time()}
    write_json(run.status, {"state": state, **who, **facts})


def read_status(run: RunFolder) -> dict[str, Any]:
    """The run's status; pending where there is none yet."""
    try:
        return json.loads(run.status.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"state": "pending"}
