"""Our way from clips to pieces against the usual one, on the same draws."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import librosa
import numpy as np
import torch

from asd.config.components import SpectrogramSettings
from asd.data.clips import ClipTable
from asd.data.datamodule import MachineDataModule, Steps
from asd.data.decoding import FULL_SCALE
from asd.data.sampling import BatchIndices
from asd.features.mixup import mix
from asd.methods.arcface import ArcFaceMethod
from asd.system.allocator import keep_freed_memory
from asd.system.cores import n_cores
from benchmarks.clock import in_turns, median, ratio, seconds
from benchmarks.network import ON_CPU, compose, device, network_step, open_data
from benchmarks.sound import make_clips

PADDING: dict[str, Literal["reflect", "constant"]] = {"reflect": "reflect", "zeros": "constant"}  # librosa's words
TOLERANCE = 1e-5  # of the largest value of a piece
NETWORK = ["backbone=mobilefacenet", "compile=false", "trainer.precision=32-true", *ON_CPU]


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`data_path_speedup`, `data_path_times_stft`, `data_path_share_of_step`."""
    keep_freed_memory()
    shape = (options.input or ["512x32"])[0]
    with tempfile.TemporaryDirectory() as folder:
        root = make_clips(Path(folder) / "data", 24 if options.tiny else 120)
        places = [f"data.cache={folder}/cache", f"data.root={root}", f"batch_size={6 if options.tiny else 48}"]
        method = compose(*NETWORK, f"input={shape}", *places)
        table, data = open_data(method)
        figures = one_core(data, table, options.rounds)
        if device().type == "cuda":
            print("data_path_share_of_step is a figure of the CPU: `ceiling` holds what the data path costs a GPU")
            return figures
        return figures | share_of_step(data, method, options.rounds)


def one_core(data: MachineDataModule, table: ClipTable, rounds: int) -> dict[str, float | str]:
    """Both ways and the bare transform, on one thread; the usual pieces must be ours."""
    torch.set_num_threads(1)
    ours, windows = Ours(data), mixed_windows(data)
    largest = check_equal(data, table)
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: seconds(ours),
        "stft": lambda: seconds(bare_stft(windows, settings_of(data))),
    }
    alone = in_turns(sides, rounds=4 * rounds, title="data path and its STFT, one core")
    usual = {"usual": lambda: seconds(lambda: usual_batch(data.plan.indices(ours.step), table, settings_of(data)))}
    times = in_turns(usual | sides, rounds=rounds, title="the usual path and ours, one core")
    n = len(windows)
    return {
        "data_path_speedup": ratio(times, "usual", "ours"),
        "data_path_times_stft": ratio(alone, "ours", "stft"),
        "data_path_ms_per_piece": 1e3 * median(alone, "ours") / n,
        "data_path_stft_ms_per_piece": 1e3 * median(alone, "stft") / n,
        "usual_path_ms_per_piece": 1e3 * median(times, "usual") / n,
        "data_path_largest_difference": largest,
    }


def check_equal(data: MachineDataModule, table: ClipTable) -> float:
    """The largest difference between our pieces and the usual ones, as a share of the largest value.

    Raises:
        ValueError: It is more than rounding.
    """
    expected = usual_batch(data.plan.indices(0), table, settings_of(data))
    largest = float(np.abs(Ours(data)()[:, 0].numpy() - expected).max() / np.abs(expected).max())
    if largest > TOLERANCE:
        raise ValueError(f"our pieces differ from librosa's by {largest:.1e} of the largest value: too much")
    return largest


def settings_of(data: MachineDataModule) -> SpectrogramSettings:
    """Of the pieces."""
    assert isinstance(data.input, SpectrogramSettings)
    return data.input


class Ours:
    """Our batches, step after step: gather, mix, transform, standardise."""

    def __init__(self, data: MachineDataModule) -> None:
        self.data = data
        self.steps = Steps(data.bank, data.plan, data.input)
        self.step = 0

    def __call__(self) -> torch.Tensor:
        """(batch, 1, bins, frames) of the next step."""
        self.step += 1
        return self.data.on_after_batch_transfer(self.steps[self.step - 1], 0).pieces


def usual_batch(indices: BatchIndices, table: ClipTable, settings: SpectrogramSettings) -> np.ndarray:
    """The same pieces, (batch, bins, frames), as they are usually made: one by one from whole files."""
    return np.stack([usual_piece(indices, slot, table, settings) for slot in range(len(indices.clip))])


def usual_piece(indices: BatchIndices, slot: int, table: ClipTable, settings: SpectrogramSettings) -> np.ndarray:
    """Load both, mix, transform all of it, crop, average pairs of bins, standardise."""
    clip, _ = librosa.load(table.absolute(int(indices.clip[slot])), sr=None)
    partner, _ = librosa.load(table.absolute(int(indices.partner[slot])), sr=None)
    weight, column = indices.mix_weight[slot], indices.position[slot]
    mixed = (1 - weight) * clip + weight * partner
    spectrum = librosa.stft(mixed, n_fft=settings.n_fft, hop_length=settings.hop_length, pad_mode=PADDING[settings.pad])
    piece = np.abs(spectrum)[:, column : column + settings.n_frames]
    if settings.pair_mean:
        piece = piece.reshape(-1, 2, settings.n_frames).mean(axis=1)
    return (piece - piece.mean()) / piece.std()


def mixed_windows(data: MachineDataModule) -> torch.Tensor:
    """(batch, samples) what the transform of a step is given."""
    batch = Steps(data.bank, data.plan, data.input)[0]
    return mix(batch.windows.float(), batch.partners.float(), batch.mix_weight) / FULL_SCALE


def bare_stft(windows: torch.Tensor, settings: SpectrogramSettings) -> Callable[[], torch.Tensor]:
    """The Fourier transform of a step, and nothing else."""
    hann = torch.hann_window(settings.n_fft)
    return lambda: torch.stft(
        windows, settings.n_fft, settings.hop_length, window=hann, center=False, return_complex=True
    )


def share_of_step(data: MachineDataModule, method: ArcFaceMethod, rounds: int) -> dict[str, float | str]:
    """The data path against the eager channels-last float32 step, on all cores."""
    torch.set_num_threads(n_cores())
    ours, step = Ours(data), network_step(method)
    sides = {"data": lambda: seconds(ours), "step": lambda: seconds(step)}
    times = in_turns(sides, rounds=rounds, title="data path and step, all cores")
    return {"data_path_share_of_step": ratio(times, "data", "step"), "eager_step_s": median(times, "step")}
