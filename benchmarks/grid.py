"""Several models at a time on one device, and what the report's grid would take there."""

import argparse
import statistics
import time
from contextlib import ExitStack
from functools import partial

from asd.system.cores import n_cores
from benchmarks.children import Child

MACHINES, PHASE_1, PHASE_2 = 7, 31_250, 5_000  # Report 2.4: 250 epochs of 6000 clips in batches of 48; 5000 steps
BUDGET = {"cpu": 15, "cuda": 60}  # seconds for a network's rounds, three at most: one that is slow gets fewer
BACKBONES, INPUTS = ("mobilefacenet", "resnet50", "efficientnet_b0"), ("512x32", "1024x32")


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`grid_throughput_gain`, `grid_hours`: slices of each network, one at a time and K at a time."""
    from benchmarks.network import compose, device

    on_gpu = device().type == "cuda"
    backbones, inputs = options.backbone or BACKBONES, options.input or INPUTS
    at_once = (1, 2, 4, 8) if on_gpu else (1, 2)
    n_steps = 100 if on_gpu else 1
    figures: dict[str, float | str] = {}
    hours = alone_hours = 0.0
    for backbone in backbones:
        for shape in inputs:
            network = [f"backbone={backbone}", f"input={shape}", *slice_settings(on_gpu, options.tiny), *options.set]
            print(f"{backbone} {shape}: {', '.join(map(str, at_once))} at a time")
            rounds = 1 if options.tiny else min(options.rounds, 3)
            rates = steps_per_s(network, at_once, n_steps=n_steps, rounds=rounds, budget=BUDGET[device().type])
            batch = compose(*network).config.batch_size
            figures |= {f"grid_pieces_per_s_{backbone}_{shape}_{k}": rate * batch for k, rate in rates.items()}
            figures[f"grid_gain_{backbone}_{shape}"] = max(rates.values()) / rates[1]
            alone_hours += MACHINES * (PHASE_1 + PHASE_2) / rates[1] / 3600
            hours += MACHINES * (PHASE_1 + PHASE_2) / max(rates.values()) / 3600
    return figures | {"grid_throughput_gain": alone_hours / hours, "grid_hours": hours}


def slice_settings(on_gpu: bool, tiny: bool) -> list[str]:
    """Compiling is not worth its time for a slice on the CPU: the projection there is of eager steps."""
    return [*(["batch_size=6"] if tiny else []), *([] if on_gpu else ["compile=false"])]


def steps_per_s(
    network: list[str], at_once: tuple[int, ...], *, n_steps: int, rounds: int, budget: float
) -> dict[int, float]:
    """Steps a second of K models in K processes, in total, for each K; all K take turns with the same processes."""
    from benchmarks.network import compose

    with ExitStack() as stack:
        child = partial(Child, network, allocator="keep", threads=n_cores())
        n_first = 1 if compose(*network).config.compile else max(at_once)  # alone: the others find what it compiled
        children: list[Child] = []
        for n in (n_first, max(at_once) - n_first):
            started = [child() for _ in range(n)]
            children += [stack.enter_context(each) for each in started]
        rates: dict[int, list[float]] = {k: [] for k in at_once}
        start = time.monotonic()
        for turn in range(rounds):
            if turn and (time.monotonic() - start) * (turn + 1) / turn > budget:
                break
            for k in at_once:
                for running in children[:k]:
                    running.start(n_steps, threads=max(1, n_cores() // k))
                rates[k].append(k * n_steps / max([running.answer() for running in children[:k]]))
    return {k: statistics.median(measured) for k, measured in rates.items()}
