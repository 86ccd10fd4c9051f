"""Embedding the pieces of clips, and scoring a section against its references."""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from asd.data.placement import place
from asd.data.waveforms import WaveformBank
from asd.methods.arcface import ArcFaceMethod
from asd.models.compiling import multiplies_bf16
from asd.models.embedder import Embedder
from asd.scoring.neighbours import ScorerSettings, SectionPieces, score_section, unit_embeddings
from asd.system.allocator import keep_freed_memory
from asd.system.cores import n_cores
from benchmarks.clock import Times, in_turns, median, ratio, seconds
from benchmarks.network import ON_CPU, build, compose, device
from benchmarks.sound import SECONDS, noise

PIECES, TRAINING, TEST = 19, 1003, 400  # of a clip; clips of a section
DIM, BLOCK, STRIDE = 128, 1024, 16
CPU = torch.device("cpu")


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`scoring_times_matmul`, `clip_ms_one_core`, clips a second."""
    keep_freed_memory()
    figures: dict[str, float | str] = {}
    torch.set_num_threads(n_cores())
    figures |= scoring(40 if options.tiny else 1, options.rounds)
    for backbone in options.backbone or ["mobilefacenet"]:
        for shape in options.input or ["512x32"]:
            figures |= embedding(backbone, shape, options)
    return figures


def scoring(smaller: int, rounds: int) -> dict[str, float | str]:
    """All pieces of a section against its references, and the plain product of the same factors, block by block.

    On the CPU, as evaluate.py scores wherever it embeds.
    """
    n_training, n_clips = TRAINING // smaller, (TRAINING + TEST) // smaller
    generator = torch.Generator().manual_seed(0)
    unit = unit_embeddings(torch.randn(n_clips * PIECES, DIM, generator=generator))
    clip = np.repeat(np.arange(n_clips), PIECES)
    section = SectionPieces("fan 00", unit, clip, np.arange(n_clips) < n_training, np.ones(n_clips, dtype=bool))
    references = section.references().unit
    settings = ScorerSettings(10, "mean", "both")

    def product() -> None:
        for block in unit.split(BLOCK):
            block @ references.T

    sides: dict[str, Callable[[], float]] = {
        "scoring": lambda: seconds(lambda: score_section(section, settings)),
        "product": lambda: seconds(product),
    }
    times = in_turns(sides, rounds=rounds, title=f"scoring {n_clips} clips")
    return {
        "scoring_times_matmul": ratio(times, "scoring", "product"),
        "scoring_s": median(times, "scoring"),
        "matmul_s": median(times, "product"),
    }


def embedding(backbone: str, shape: str, options: argparse.Namespace) -> dict[str, float | str]:
    """One clip on one core, folded and not; then clips a second as evaluate.py embeds them here."""
    method = compose(f"backbone={backbone}", f"input={shape}", "compile=false", *ON_CPU)
    network = build(method).backbone.to(CPU).eval()
    ready = Embedder.of_network(network, method.input, stride=STRIDE, device=CPU)
    sides = {"plain": Embedder(network, method.input, STRIDE, CPU), "folded": ready}
    if multiplies_bf16(CPU):
        sides["bf16"] = Embedder(ready.backbone, method.input, STRIDE, CPU, torch.bfloat16)
    name = f"{backbone}_{shape}"
    times = one_core(sides, title=f"one clip, one core, {name}", rounds=options.rounds)
    own = "" if name == "mobilefacenet_512x32" else f"_{name}"
    figures: dict[str, float | str] = {f"clip_ms_one_core{own}": 1e3 * median(times, "folded")}
    figures |= {f"clip_ms_one_core_{side}_{name}": 1e3 * median(times, side) for side in sides if side != "folded"}
    fast = Embedder.of_network(network, method.input, stride=STRIDE, device=device(), precision="auto")
    n_clips = 2 if options.tiny else 256 if device().type == "cuda" else 16
    return figures | {f"embedded_clips_per_s_{name}": clips_per_s(fast, n_clips, name, options.rounds)}


def embedding_step(method: ArcFaceMethod) -> Callable[[], object]:
    """The embedding of a clip for each core, as evaluate.py does it."""
    random = np.random.default_rng(0)
    bank = WaveformBank.from_arrays([noise(random, SECONDS) for _ in range(n_cores())])
    embedder = Embedder.of_network(build(method).backbone.to(CPU), method.input, stride=STRIDE, device=CPU)
    return lambda: list(embedder.extract(bank))


def one_core(sides: dict[str, Embedder], *, title: str, rounds: int) -> Times:
    """The seconds that each embedder takes for a clip on one thread."""
    bank = WaveformBank.from_arrays([noise(np.random.default_rng(0), SECONDS)])
    torch.set_num_threads(1)

    def embed(embedder: Embedder) -> float:
        return seconds(lambda: list(embedder.extract(bank)))

    times = in_turns({name: partial(embed, side) for name, side in sides.items()}, rounds=rounds, title=title)
    torch.set_num_threads(n_cores())
    return times


def clips_per_s(embedder: Embedder, n_clips: int, name: str, rounds: int) -> float:
    """Clips a second with all there is."""
    random = np.random.default_rng(0)
    bank = WaveformBank.from_arrays([noise(random, SECONDS) for _ in range(n_clips)])
    bank = place(bank, "auto", embedder.device, workers=0)
    everything = {"all": lambda: seconds(lambda: list(embedder.extract(bank)))}
    return n_clips / median(in_turns(everything, rounds=rounds, title=f"embedding {n_clips} clips, {name}"), "all")
