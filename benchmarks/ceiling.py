"""A whole training step, as train.py runs it, as a multiple of its network alone on ready-made tensors."""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from asd.methods.arcface import ArcFaceMethod
from asd.models.classifier import SectionClassifier
from asd.runs.folder import RunFolder
from asd.system.allocator import keep_freed_memory
from asd.system.cores import n_cores
from asd.training.nonfinite import FiniteLoss
from asd.training.progress_bar import TrainingBar
from asd.training.record import EpochRecord, RecordLogger
from asd.training.trainer import build_trainer
from benchmarks.clock import Times, finish_device, median, ratio, seconds
from benchmarks.network import LONG, SECTIONS, bare_step, compose, device, open_data, ready_batch
from benchmarks.sound import make_clips


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`ceiling_<backbone>_<input>`."""
    keep_freed_memory()
    torch.set_num_threads(n_cores())
    on_gpu = device().type == "cuda"
    backbones = options.backbone or (["mobilefacenet", "resnet50", "efficientnet_b0"] if on_gpu else ["mobilefacenet"])
    figures: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = make_clips(Path(folder) / "data", 24 if options.tiny else 6000 if on_gpu else 600)
        places = [f"data.root={root}", f"data.cache={folder}/cache"]
        for backbone in backbones:
            for shape in options.input or (["512x32", "1024x32"] if on_gpu else ["512x32"]):
                network = [f"backbone={backbone}", f"input={shape}", *places]
                if options.tiny:
                    network += ["compile=false", "batch_size=6"]
                block = 2 if options.tiny else 100 if on_gpu else 10
                figures |= one(compose(*network, *options.set), f"{backbone}_{shape}", block, options.rounds)
    return figures


def one(method: ArcFaceMethod, name: str, block: int, rounds: int) -> dict[str, float | str]:
    """A network within Lightning's loop and, in turns, alone."""
    config = method.config
    print(f"{name}: {rounds} rounds of {block} steps; compile={config.compile}, {config.trainer.precision}")
    table, data = open_data(method)
    assert len(table.sections) == SECTIONS
    model = method.module(table, LONG, None)
    turns = Turns(method, block=block, rounds=rounds)
    finite, record = FiniteLoss(lambda step: []), RecordLogger()
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        # All that watches a run of train.py, but for the saving.
        watching = [finite, EpochRecord(run, record), TrainingBar(name, show=False), turns]
        build_trainer(run, config.trainer, n_epochs=-1, callbacks=watching, loggers=[record]).fit(model, data)
    return {
        f"ceiling_{name}": ratio(turns.times, "step", "network"),
        f"step_s_{name}": median(turns.times, "step") / block,
        f"network_s_{name}": median(turns.times, "network") / block,
    }


class Turns(pl.Callback):
    """Blocks of whole steps and blocks of the network alone, in turns, on the same weights.

    Args:
        method: Of the network.
        block: Steps of a block.
        rounds: Blocks that count; one before them does not.
    """

    def __init__(self, method: ArcFaceMethod, *, block: int, rounds: int) -> None:
        self.config = method.config
        self.block = block
        self.rounds = rounds
        self.times: Times = {"step": [], "network": []}
        self.started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Makes the tensors ready."""
        assert isinstance(pl_module, SectionClassifier)
        self.alone = bare_step(pl_module, trainer.optimizers[0], ready_batch(self.config), self.config)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """At the end of a block: its time, then as many steps of the network alone."""
        if trainer.global_step % self.block:
            return
        finish_device()
        now = time.perf_counter()
        alone = seconds(lambda: [self.alone() for _ in range(self.block)])
        if trainer.global_step > self.block:
            self.times["step"].append(now - self.started)
            self.times["network"].append(alone)
        trainer.should_stop = len(self.times["step"]) >= self.rounds
        self.started = time.perf_counter()
