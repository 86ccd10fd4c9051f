"""Both phases and the scoring of a tiny machine in a process of its own, killed where a test wants it."""

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from asd.runs.folder import RunFolder

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["asd.experiment", "asd.evaluation", "tests.support.disturbance"])

PHASES = ("train", "finetune-none")
Configs = list[tuple[str, Any]]  # script and typed configuration


class Kill:
    """Kills this process, without a word, at the n-th time something happens.

    Args:
        what: step (within a training step), write (a file is half written), named (a file has got its name).
        n: Which time, from 0.
    """

    def __init__(self, what: str, n: int) -> None:
        self.what = what
        self.left = n

    def count(self, before: Callable[[], Any] = lambda: None) -> None:
        """One more time."""
        if self.left == 0:
            before()
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def install(self) -> None:
        """Lies in wait."""
        from asd.models.classifier import SectionClassifier

        sync, replace, step = os.fsync, os.replace, SectionClassifier.on_before_optimizer_step

        def fsync(descriptor: int) -> None:
            if os.path.isfile(f"/proc/self/fd/{descriptor}"):
                path, size = os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor).st_size
                self.count(lambda: os.truncate(path, size - 9 if path.endswith(".jsonl") else size // 2))
            sync(descriptor)

        def named(*paths: Any) -> None:
            replace(*paths)
            self.count()

        def optimizer_step(module: SectionClassifier, *arguments: Any) -> None:
            self.count()
            step(module, *arguments)

        if self.what == "write":
            os.fsync = fsync
        elif self.what == "named":
            os.replace = named
        else:
            SectionClassifier.on_before_optimizer_step = optimizer_step  # type: ignore[method-assign]


def run_all(place: Path, configs: Configs, kill: Kill | None) -> None:
    """What the scripts do, one after the other, in a folder; finished parts are left alone."""
    from asd.evaluation import evaluate
    from asd.experiment import train

    os.chdir(place)
    if kill:
        kill.install()
    for script, config in configs:
        (evaluate if script == "evaluate" else train)(config)


def start(place: Path, configs: Configs, kill: Kill | None = None) -> ForkServerProcess:
    """Starts it all in a process of its own."""
    process = FORKSERVER.Process(target=run_all, args=(place, configs, kill))
    process.start()
    return process


def finish(process: ForkServerProcess) -> int:
    """Waits for the end; the exit code, negative for a signal."""
    process.join(300)
    assert process.exitcode is not None, "still running after five minutes"
    return process.exitcode


def digests(place: Path, name: str) -> dict[str, str]:
    """SHA-256 of the weights of each phase and of each score file under a name."""
    from asd.runs.checkpoint import load_checkpoint

    found = {}
    for phase in PHASES:
        run = RunFolder(place / f"outputs/{name}/fan/small-512x32-s0/{phase}")
        state = load_checkpoint(run.checkpoint)["state_dict"]
        content = b"".join(key.encode() + state[key].numpy().tobytes() for key in sorted(state))
        found[f"{phase} weights"] = hashlib.sha256(content).hexdigest()
        for file in ("references.npz", "scores/cosine/scores.csv", "scores/cosine/pieces.npz"):
            found[f"{phase} {file}"] = hashlib.sha256((run.path / file).read_bytes()).hexdigest()
    return found
