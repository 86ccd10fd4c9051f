"""The training step as we set it against a plain one, on ready-made tensors."""

import argparse
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from asd.system.cores import n_cores
from benchmarks.children import Child
from benchmarks.clock import in_turns, median, ratio

PLAIN = ["channels_last=false", "compile=false", "trainer.precision=32-true"]
EAGER = ["compile=false", "trainer.precision=32-true"]


class Side(NamedTuple):
    """A way to compute a step.

    Attributes:
        changes: Overrides of the configuration.
        allocator: "keep", or "system" for the C library's defaults.
        plain: Whether SGD is PyTorch's own.
    """

    changes: list[str]
    allocator: str = "keep"
    plain: bool = False


SIDES = {
    "plain": Side(PLAIN, "system", plain=True),
    "channels_last": Side(EAGER),
    "ours": Side([]),  # what conf/ says
}
IN_BF16 = {"bf16": Side(["compile=false", "trainer.precision=bf16-mixed"])}
ON_GPU = {
    "compiled": Side(["compile=true", "trainer.precision=32-true"]),
    "bf16_compiled": Side(["compile=true", "trainer.precision=bf16-mixed"]),
    "bf16_cudagraphs": Side(["compile=cudagraphs", "trainer.precision=bf16-mixed"]),
}


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`step_speedup_<backbone>_<input>`, and the seconds of every side."""
    from asd.models.compiling import multiplies_bf16
    from benchmarks.network import device

    sides = SIDES | (IN_BF16 if multiplies_bf16(device()) else {}) | (ON_GPU if device().type == "cuda" else {})
    figures: dict[str, float | str] = {}
    for backbone in options.backbone or ["mobilefacenet", "resnet50"]:
        for shape in options.input or ["512x32"]:
            figures |= compare(backbone, shape, sides, options)
    return figures


def is_ours(side: Side, network: list[str]) -> bool:
    """Whether a side is what conf/ says for this network on this machine, and need not be measured twice."""
    from benchmarks.network import compose

    return side.allocator == "keep" and compose(*network, *side.changes).config == compose(*network).config


def compare(backbone: str, shape: str, sides: dict[str, Side], options: argparse.Namespace) -> dict[str, float | str]:
    """All sides of one network, in turns."""
    from benchmarks.network import device

    network = [f"backbone={backbone}", f"input={shape}", *(["batch_size=6"] if options.tiny else []), *options.set]
    title = f"{backbone} {shape}"
    n_steps = 20 if device().type == "cuda" else 1
    kept = {name: side for name, side in sides.items() if name == "ours" or not is_ours(side, network)}
    print(f"{title}: building {', '.join(kept)}; compiling takes about a minute")
    with ExitStack() as stack:
        children = {
            name: Child([*network, *side.changes], allocator=side.allocator, threads=n_cores(), plain=side.plain)
            for name, side in kept.items()
        }
        for child in children.values():
            stack.enter_context(child)
        steps = {name: partial(child.step, n_steps) for name, child in children.items()}
        times = in_turns(steps, rounds=options.rounds, title=title, warm_up=0)  # each has done a step
    times = {name: times.get(name, times["ours"]) for name in sides}
    key = f"{backbone}_{shape}"
    figures: dict[str, float | str] = {f"step_s_{name}_{key}": median(times, name) for name in sides}
    return figures | {f"step_speedup_{key}": ratio(times, "plain", "ours")}
