"""Several models at a time on one device, and what the report's grid would take there."""

import argparse
import statistics
from contextlib import ExitStack

from asd.cores import n_cores
from benchmarks.children import Child

MACHINES, PHASE_1, PHASE_2 = 7, 31_250, 5_000  # Report 2.4: 250 epochs of 6000 clips in batches of 48; 5000 steps
BACKBONES, INPUTS = ("mobilefacenet", "resnet50", "efficientnet_b0"), ("512x32", "1024x32")


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`grid_throughput_gain`, `grid_hours`: slices of each network, one at a time and K at a time."""
    import torch

    on_gpu = torch.cuda.is_available()
    backbones, inputs = options.backbone or BACKBONES, options.input or INPUTS
    at_once = (1, 2, 4, 8) if on_gpu else (1, 2)
    n_steps = 50 if on_gpu else 1
    figures: dict[str, float | str] = {}
    hours = alone_hours = 0.0
    for backbone in backbones:
        for shape in inputs:
            network = [f"backbone={backbone}", f"input={shape}", *slice_settings(on_gpu, options.tiny)]
            rates = {k: together(network, k, n_steps, 1 if options.tiny else min(options.rounds, 3)) for k in at_once}
            batch = 6 if options.tiny else 48
            figures |= {f"grid_pieces_per_s_{backbone}_{shape}_{k}": rate * batch for k, rate in rates.items()}
            figures[f"grid_gain_{backbone}_{shape}"] = max(rates.values()) / rates[1]
            alone_hours += MACHINES * (PHASE_1 + PHASE_2) / rates[1] / 3600
            hours += MACHINES * (PHASE_1 + PHASE_2) / max(rates.values()) / 3600
    return figures | {"grid_throughput_gain": alone_hours / hours, "grid_hours": hours}


def slice_settings(on_gpu: bool, tiny: bool) -> list[str]:
    """Compiling is not worth its time for a slice on the CPU: the projection there is of eager steps."""
    return [*(["batch_size=6"] if tiny else []), *([] if on_gpu else ["compile=false"])]


def together(network: list[str], n_models: int, n_steps: int, rounds: int) -> float:
    """Steps a second of K models in K processes, in total."""
    print(f"{' '.join(network[:2])}: {n_models} at a time")
    with ExitStack() as stack:
        threads = max(1, n_cores() // n_models)
        children = [Child(network, allocator="keep", threads=threads) for _ in range(n_models)]
        for child in children:
            stack.enter_context(child)
        rates = []
        for _ in range(rounds):
            for child in children:
                child.start(n_steps)
            rates.append(sum(n_steps / child.answer() for child in children))
    return statistics.median(rates)
