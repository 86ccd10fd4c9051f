"""Steps in processes of their own: an allocator's setting cannot be taken back, and a grid is several processes.

A child builds its network, reports, and then runs one block of steps for each line (steps, threads) it is sent.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any


class Child:
    """A process that runs training steps when told to.

    Args:
        overrides: Of the configuration of train.py.
        allocator: "keep", or "system" for the C library's defaults.
        threads: Of the process at first; compiled code keeps these.
        plain: SGD with PyTorch's own defaults.
        embeds: A step is the embedding of a clip for each core, not one of training.
        environment: Variables beside those that are set.
    """

    def __init__(
        self,
        overrides: list[str],
        *,
        allocator: str,
        threads: int,
        plain: bool = False,
        embeds: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        order = {"overrides": overrides, "allocator": allocator, "threads": threads, "plain": plain, "embeds": embeds}
        self.threads = threads
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.children", json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)} | dict(environment or {}),
        )

    def __enter__(self) -> "Child":
        self.first = self.answer()
        return self

    def start(self, n_steps: int = 1, *, threads: int | None = None) -> None:
        """Sets the child off, with other threads than before if they are given."""
        assert self.process.stdin
        self.threads = threads or self.threads
        self.process.stdin.write(f"{n_steps} {self.threads}\n")
        self.process.stdin.flush()

    def answer(self) -> float:
        """The seconds that the child reports."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise OSError(f"a measuring process ended with exit code {self.process.wait()}: see its message above")
        return float(line)

    def step(self, n_steps: int) -> float:
        """The seconds of a step that follows another, as all but the first of a training do: the mean of a few."""
        for block in (1, n_steps):
            self.start(block)
            taken = self.answer()
        return taken / n_steps

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def serve(order: dict[str, Any]) -> None:
    """The child's side: seconds of the first step, then of each block of steps that a line asks for."""
    if order["allocator"] == "keep":
        from asd.system.allocator import keep_freed_memory

        keep_freed_memory()  # before torch is imported
    import torch

    from benchmarks.clock import seconds
    from benchmarks.evaluation import embedding_step
    from benchmarks.network import compose, network_step

    torch.set_num_threads(order["threads"])
    with contextlib.redirect_stdout(sys.stderr):
        method = compose(*order["overrides"])
        step = embedding_step(method) if order["embeds"] else network_step(method, plain=order["plain"])
        first = seconds(step)
    print(first, flush=True)
    for line in sys.stdin:
        n_steps, n_threads = (int(word) for word in line.split())
        torch.set_num_threads(n_threads)
        print(seconds(partial(repeat, step, n_steps)), flush=True)


def repeat(step: Callable[[], object], n_steps: int) -> None:
    """Steps, one after the other."""
    for _ in range(n_steps):
        step()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
