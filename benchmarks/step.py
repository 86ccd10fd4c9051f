"""The training step as we set it against a plain one, on ready-made tensors."""

import argparse
from contextlib import ExitStack

from asd.cores import n_cores
from benchmarks.children import Child
from benchmarks.clock import in_turns, median, ratio

PLAIN = ["channels_last=false", "compile=false", "trainer.precision=32-true"]
EAGER = ["compile=false", "trainer.precision=32-true"]

# Name to what is overridden, the allocator and whether SGD is PyTorch's own. `ours` is what conf/ says.
SIDES: dict[str, tuple[list[str], str, bool]] = {
    "plain": (PLAIN, "system", True),
    "channels_last": (EAGER, "keep", False),
    "bf16": (["compile=false", "trainer.precision=bf16-mixed"], "keep", False),
    "ours": ([], "keep", False),
}
ON_GPU: dict[str, tuple[list[str], str, bool]] = {
    "compiled": (["compile=true", "trainer.precision=32-true"], "keep", False),
    "bf16_compiled": (["compile=true", "trainer.precision=bf16-mixed"], "keep", False),
    "bf16_cudagraphs": (["compile=cudagraphs", "trainer.precision=bf16-mixed"], "keep", False),
}


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`step_speedup_<backbone>_<input>`, and the seconds of every side."""
    import torch

    sides = SIDES | (ON_GPU if torch.cuda.is_available() else {})
    figures: dict[str, float | str] = {}
    for backbone in options.backbone or ["mobilefacenet", "resnet50"]:
        for shape in options.input or ["512x32"]:
            figures |= compare(backbone, shape, sides, options)
    return figures


def compare(
    backbone: str, shape: str, sides: dict[str, tuple[list[str], str, bool]], options: argparse.Namespace
) -> dict[str, float | str]:
    """All sides of one network, in turns."""
    network = [f"backbone={backbone}", f"input={shape}", *(["batch_size=6"] if options.tiny else [])]
    title = f"{backbone} {shape}"
    print(f"{title}: building {', '.join(sides)}; compiling takes about a minute")
    with ExitStack() as stack:
        children = {
            name: Child([*network, *changes], allocator=allocator, threads=n_cores(), plain=plain)
            for name, (changes, allocator, plain) in sides.items()
        }
        for child in children.values():
            stack.enter_context(child)
        times = in_turns({name: child.step for name, child in children.items()}, rounds=options.rounds, title=title)
    key = f"{backbone}_{shape}"
    figures: dict[str, float | str] = {f"step_s_{name}_{key}": median(times, name) for name in sides}
    return figures | {f"step_speedup_{key}": ratio(times, "plain", "ours")}
