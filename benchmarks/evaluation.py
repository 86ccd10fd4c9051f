"""Embedding the pieces of clips, and scoring a section against its references."""

import argparse
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray

from asd.data.placement import place
from asd.data.waveforms import WaveformBank
from asd.methods.arcface import ArcFaceMethod
from asd.models.compiling import multiplies_bf16
from asd.models.embedder import Embedder
from asd.scoring.cosine import CosineNeighbours
from asd.scoring.neighbours import unit_embeddings
from asd.scoring.scorer import NO_REFERENCE, ClipPieces
from asd.system.allocator import keep_freed_memory
from asd.system.cores import n_cores
from benchmarks.clock import Times, in_turns, median, ratio, seconds
from benchmarks.network import ON_CPU, build, compose, device
from benchmarks.sound import SECONDS, noise

PIECES, TRAINING, TEST = 19, 1003, 400  # of a clip; clips of a section
DIM, BLOCK, STRIDE = 128, 1024, 16
CPU = torch.device("cpu")
RUNTIME = ("onnx", "onnxscript", "onnxruntime")


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
    number = np.arange(n_clips)
    clips = ClipPieces("fan 00", 0, unit, number.repeat(PIECES), np.ones(n_clips, dtype=bool))
    n_references = n_training * PIECES
    references, clip, is_source = unit[:n_references], clips.clip[:n_references], clips.is_source[:n_training]
    scorer = CosineNeighbours(n_neighbors=10)
    scorer.fit(ClipPieces("fan 00", 0, references, clip, is_source))
    own_clip = np.where(number < n_training, number, NO_REFERENCE)

    def product() -> None:
        for block in unit.split(BLOCK):
            block @ references.T

    sides: dict[str, Callable[[], float]] = {
        "scoring": lambda: seconds(lambda: scorer.score(clips, own_clip)),
        "product": lambda: seconds(product),
    }
    times = in_turns(sides, rounds=rounds, title=f"scoring {n_clips} clips")
    return {
        "scoring_times_matmul": ratio(times, "scoring", "product"),
        "scoring_s": median(times, "scoring"),
        "matmul_s": median(times, "product"),
    }


def embedding(backbone: str, shape: str, options: argparse.Namespace) -> dict[str, float | str]:
    """One clip on one core, folded and not and exported; then clips a second as evaluate.py embeds them here."""
    method = compose(f"backbone={backbone}", f"input={shape}", "compile=false", *ON_CPU)
    network = build(method).backbone.to(CPU).eval()
    ready = Embedder.of_network(network, method.input, stride=STRIDE, device=CPU)
    embedders = {"plain": Embedder(network, method.input, STRIDE, CPU), "folded": ready}
    if multiplies_bf16(CPU):
        embedders["bf16"] = Embedder(ready.backbone, method.input, STRIDE, CPU, torch.bfloat16)
    clip = noise(np.random.default_rng(0), SECONDS)
    bank = WaveformBank.from_arrays([clip])
    sides: dict[str, Callable[[], object]] = {
        side: partial(lambda embedder: list(embedder.extract(bank)), embedder) for side, embedder in embedders.items()
    }
    if all(map(find_spec, RUNTIME)):
        sides["exported"] = exported_step(ready, clip)
    else:
        print(f"without {' and '.join(RUNTIME)} (the extra 'runtime'): scoring_speedup is left out")
    name = f"{backbone}_{shape}"
    times = one_core(sides, title=f"one clip, one core, {name}", rounds=options.rounds)
    own = "" if name == "mobilefacenet_512x32" else f"_{name}"
    figures: dict[str, float | str] = {f"clip_ms_one_core{own}": 1e3 * median(times, "folded")}
    figures |= {f"clip_ms_one_core_{side}_{name}": 1e3 * median(times, side) for side in sides if side != "folded"}
    fast = Embedder.of_network(network, method.input, stride=STRIDE, device=device(), precision="auto")
    n_clips = 2 if options.tiny else 256 if device().type == "cuda" else 16
    if "exported" in times:
        figures[f"scoring_speedup_{name}"] = ratio(times, "plain", "exported")
    return figures | {f"embedded_clips_per_s_{name}": clips_per_s(fast, n_clips, name, options.rounds)}


def embedding_step(method: ArcFaceMethod) -> Callable[[], object]:
    """The embedding of a clip for each core, as evaluate.py does it."""
    random = np.random.default_rng(0)
    bank = WaveformBank.from_arrays([noise(random, SECONDS) for _ in range(n_cores())])
    embedder = Embedder.of_network(build(method).backbone.to(CPU), method.input, stride=STRIDE, device=CPU)
    return lambda: list(embedder.extract(bank))


def exported_step(embedder: Embedder, clip: NDArray[np.int16]) -> Callable[[], object]:
    """The embedding of a clip as the runtime without torch does it, a piece at a time."""
    from asd.inference.export_run import embedder_parts
    from asd.inference.onnx_graph import to_onnx
    from asd_runtime.network import Network
    from asd_runtime.spectrogram import clip_pieces

    parts = embedder_parts(embedder)
    network = Network(to_onnx(parts["network"], parts["example"]))
    return lambda: [network(piece) for piece in clip_pieces(clip, parts["input"])]


def one_core(sides: dict[str, Callable[[], object]], *, title: str, rounds: int) -> Times:
    """The seconds that each side takes for a clip on one thread."""
    torch.set_num_threads(1)
    times = in_turns({name: partial(seconds, side) for name, side in sides.items()}, rounds=rounds, title=title)
    torch.set_num_threads(n_cores())
    return times


def clips_per_s(embedder: Embedder, n_clips: int, name: str, rounds: int) -> float:
    """Clips a second with all there is."""
    random = np.random.default_rng(0)
    bank = WaveformBank.from_arrays([noise(random, SECONDS) for _ in range(n_clips)])
    bank = place(bank, "auto", embedder.device, workers=0)
    everything = {"all": lambda: seconds(lambda: list(embedder.extract(bank)))}
    return n_clips / median(in_turns(everything, rounds=rounds, title=f"embedding {n_clips} clips, {name}"), "all")
