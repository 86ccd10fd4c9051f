"""Embedding the pieces of clips, and scoring a section against its references."""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from asd.allocator import keep_freed_memory
from asd.cores import n_cores
from asd.data.waveforms import WaveformBank
from asd.models.backbone import Backbone
from asd.models.folding import fold_batchnorm
from asd.pieces.spectrogram import spectrogram_settings
from asd.runs.embedder import Embedder
from asd.scoring.neighbours import ScorerSettings, SectionPieces, score_section, unit_embeddings
from benchmarks.clock import in_turns, median, ratio, seconds
from benchmarks.network import build, compose, device
from benchmarks.sound import SECONDS, noise

PIECES, TRAINING, TEST = 19, 1003, 400  # of a clip; clips of a section
DIM, BLOCK = 128, 1024


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
    """All pieces of a section against its references, and the plain product of the same factors, block by block."""
    n_training, n_clips = TRAINING // smaller, (TRAINING + TEST) // smaller
    generator = torch.Generator().manual_seed(0)
    unit = unit_embeddings(torch.randn(n_clips * PIECES, DIM, generator=generator)).to(device())
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
    """One clip on one core, folded and not; then clips a second on all there is."""
    config = compose(f"backbone={backbone}", f"input={shape}", "compile=false")
    network = build(config).backbone.eval()
    assert isinstance(network, Backbone)
    settings = spectrogram_settings(config["input"])
    example = torch.linspace(-1, 1, settings.n_bins * settings.n_frames, device=device())
    folded = fold_batchnorm(network, example.view(1, 1, settings.n_bins, settings.n_frames))
    random = np.random.default_rng(0)
    n_clips = 2 if options.tiny else 16
    bank = WaveformBank.from_arrays([noise(random, SECONDS) for _ in range(n_clips)])
    plain = Embedder(network, settings, [0], device())
    fast = Embedder(folded, settings, [0], device())
    half = Embedder(folded, settings, [0], device(), torch.bfloat16)
    name = f"{backbone}_{shape}"
    torch.set_num_threads(1)
    one_core = {
        "plain": lambda: seconds(lambda: plain.embed(bank, 0, stride=16)),
        "folded": lambda: seconds(lambda: fast.embed(bank, 0, stride=16)),
        "bf16": lambda: seconds(lambda: half.embed(bank, 0, stride=16)),
    }
    times = in_turns(one_core, rounds=options.rounds, title=f"one clip, one core, {name}")
    torch.set_num_threads(n_cores())
    everything = in_turns(
        {"all": lambda: seconds(lambda: list(fast.embed_all(bank, stride=16)))},
        rounds=options.rounds,
        title=f"embedding {n_clips} clips, {name}",
    )
    figures: dict[str, float | str] = {
        f"clip_ms_one_core_{side}_{name}": 1e3 * median(times, side) for side in ("plain", "bf16")
    }
    own = "" if name == "mobilefacenet_512x32" else f"_{name}"
    figures[f"clip_ms_one_core{own}"] = 1e3 * median(times, "folded")
    return figures | {f"embedded_clips_per_s_{name}": n_clips / median(everything, "all")}
