"""Two programs on the same cores: the rate of each beside the other, against its rate alone.

Each has as many threads as there are cores. Threads that wait asleep (OMP_WAIT_POLICY=PASSIVE, as asd/system/entry.py
sets it) leave the cores to the other program; those that spin, as OpenMP's do otherwise, take them.
"""

import argparse
import statistics
from contextlib import ExitStack
from functools import partial

from asd.system.cores import n_cores
from benchmarks.children import Child

WAITING: dict[str, dict[str, str]] = {"asleep": {"OMP_WAIT_POLICY": "PASSIVE"}, "spinning": {}}
STEPS = {"train": 1, "embed": 8}  # of a block


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`shared_rate_<work>_<waiting>`: the slower program's rate over the rate alone; steps a second alone."""
    backbone = (options.backbone or ["mobilefacenet"])[0]
    settings = [f"backbone={backbone}", "compile=false", "trainer.accelerator=cpu", *(["batch_size=6"] * options.tiny)]
    figures: dict[str, float | str] = {}
    for work, n_steps in STEPS.items():
        with ExitStack() as stack:
            child = partial(Child, settings, allocator="keep", threads=n_cores(), embeds=work == "embed")
            started = {name: [child(environment=how) for _ in "ab"] for name, how in WAITING.items()}
            pairs = {name: [stack.enter_context(each) for each in pair] for name, pair in started.items()}
            figures |= rates(pairs, work, n_steps, options.rounds)
    return figures


def rates(pairs: dict[str, list[Child]], work: str, n_steps: int, rounds: int) -> dict[str, float | str]:
    """The figures of one kind of work; the ways of waiting take turns."""
    alone: dict[str, list[float]] = {name: [] for name in pairs}
    beside: dict[str, list[float]] = {name: [] for name in pairs}
    for _ in range(rounds):
        for name, pair in pairs.items():
            for programs, seconds in ((pair[:1], alone), (pair, beside)):
                for program in programs:
                    program.start(n_steps)
                seconds[name].append(max(program.answer() for program in programs))
    figures: dict[str, float | str] = {}
    for name in pairs:
        shared = statistics.median(a / b for a, b in zip(alone[name], beside[name], strict=True))
        figures |= {
            f"shared_rate_{work}_{name}": shared,
            f"steps_per_s_{work}_{name}": n_steps / statistics.median(alone[name]),
        }
    return figures
