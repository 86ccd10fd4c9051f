"""From the indices of a training step to mixed, standardised pieces on the model's device."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from asd.data.decoding import FULL_SCALE
from asd.data.sampling import BatchPlan, RankSlice
from asd.data.waveforms import WaveformBank
from asd.features.input import Input
from asd.features.mixup import mix
from asd.system.amounts import n_bytes
from asd.system.parent import leave_with
from asd.system.progress import say

SHARED_MEMORY = Path("/dev/shm")  # where workers put their batches, on Linux
PREFETCHED = 2  # batches that each worker has ready
PAGE = 4096  # bytes
SEMAPHORES = 32 * PAGE  # of the queues between workers
LONGEST_WAIT = 1800.0  # seconds without a batch, after which its workers count as stuck


class StepWindows(NamedTuple):
    """One training step on its way to the device.

    Attributes:
        windows: (batch, samples) int16, waveform of each clip.
        partners: (batch, samples) int16, waveform to mix in.
        mix_weight: (batch,) weight of the partner.
        section: (batch,) class of the clip.
        partner_section: (batch,) class of the partner.
        clip: (batch,) row of the clip in the table.
    """

    windows: Tensor
    partners: Tensor
    mix_weight: Tensor
    section: Tensor
    partner_section: Tensor
    clip: Tensor


class TrainingBatch(NamedTuple):
    """One training step as the network sees it.

    Attributes:
        pieces: (batch, …) pieces of mixed clips, such as (batch, 1, bins, frames) of standardised spectrograms.
        section: (batch,) class of the clip.
        partner_section: (batch,) class of the clip mixed in.
        mix_weight: (batch,) weight of the clip mixed in.
        clip: (batch,) row of the clip in the table.
    """

    pieces: Tensor
    section: Tensor
    partner_section: Tensor
    mix_weight: Tensor
    clip: Tensor


class Steps(Dataset[StepWindows]):
    """Training steps by their number: exactly the samples that a step's pieces need."""

    def __init__(self, bank: WaveformBank, plan: BatchPlan, input: Input) -> None:
        self.bank = bank
        self.plan = plan
        self.input = input

    def __getitem__(self, step: int) -> StepWindows:
        """The windows of one step; a pair ends where its shorter clip does (Report 2.3)."""
        indices = self.plan.indices(step)
        clip, partner = torch.from_numpy(indices.clip), torch.from_numpy(indices.partner)
        length = torch.minimum(self.bank.lengths[clip], self.bank.lengths[partner])
        start = self.input.first_sample(torch.from_numpy(indices.position))
        both = self.bank.raw_windows(
            torch.cat([clip, partner]),
            torch.cat([start, start]),
            self.input.window_length,
            pad=self.input.pad,
            clip_length=torch.cat([length, length]),
        )
        windows, partners = both.chunk(2)
        return StepWindows(
            windows,
            partners,
            torch.from_numpy(indices.mix_weight),
            torch.from_numpy(indices.section),
            torch.from_numpy(indices.partner_section),
            clip,
        )


class StepNumbers(Sampler[int]):
    """The step numbers of an epoch, counted over all epochs; of an epoch under way, those that are left.

    Args:
        n_steps_per_epoch: How many.
        n_done: Tells the steps done so far. Lightning tells a sampler its epoch only after it has made the first
            iterator of a resumed run, which would then repeat the first epoch.
    """

    def __init__(self, n_steps_per_epoch: int, n_done: Callable[[], int]) -> None:
        self.n_steps = n_steps_per_epoch
        self.n_done = n_done

    def __iter__(self) -> Iterator[int]:
        """The numbers, in order."""
        first = self.n_done()
        return iter(range(first, first + self.n_steps - first % self.n_steps))

    def __len__(self) -> int:
        """The number of steps of a whole epoch."""
        return self.n_steps


def worker_context(workers: int) -> str | None:
    """How workers that read ahead are started: on Linux forked from the process that trains, whatever started that one.

    A worker looks after its parent and ends when that is gone. A server that forks for it would be its parent: a run
    of a sweep that is killed would leave its workers behind.
    """
    return "fork" if workers and sys.platform == "linux" else None


def workers_that_fit(steps: Dataset[Any], step: int, workers: int) -> int:
    """As many workers as asked for, or none where their batches would not fit into shared memory, which is said.

    A worker that finds it full neither delivers its batch nor ends: the training would wait for ever. Workers do not
    change what is trained.

    Args:
        steps: Gives the batch of a step.
        step: The first one.
        workers: Asked for.
    """
    if not workers or not SHARED_MEMORY.is_dir():
        return workers
    batch = sum(-(-part.nbytes // PAGE) * PAGE for part in steps[step] if isinstance(part, torch.Tensor))
    needed, free = workers * (PREFETCHED + 1) * batch + SEMAPHORES, shutil.disk_usage(SHARED_MEMORY).free
    if needed <= free:
        return workers
    say(
        f"data.workers={workers} needs {n_bytes(needed)} of {SHARED_MEMORY}, and {n_bytes(free)} are free: reading "
        f"ahead is left out, as with data.workers=0 (in a container: docker run --shm-size=1g, or --ipc=host)"
    )
    return 0


def trains_on_gpu(trainer: pl.Trainer | None) -> bool:
    """Whether batches are on their way to a GPU: a machine that has one may train on its CPU."""
    return trainer is not None and trainer.strategy.root_device.type == "cuda"


class StepDataModule(pl.LightningDataModule):
    """Training data whose batches are numbered steps.

    Args:
        plan: Which clips make a step: `n_steps_per_epoch`, and `indices(step)` with `clip` and `partner`, rows of the
            table.
        workers: Processes that read ahead.
    """

    def __init__(self, plan: Any, *, workers: int) -> None:
        super().__init__()
        self.plan = plan
        self.workers = workers

    def loader(self, steps: Dataset[Any], *, pin_memory: bool) -> DataLoader[Any]:
        """One item per step; of an epoch under way, those that are left."""
        workers = workers_that_fit(steps, self.n_done(), self.workers)
        return DataLoader(
            steps,
            batch_size=None,
            sampler=StepNumbers(self.plan.n_steps_per_epoch, self.n_done),
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            timeout=LONGEST_WAIT if workers else 0,
            multiprocessing_context=worker_context(workers),
            worker_init_fn=partial(leave_with, os.getpid()),
            pin_memory=pin_memory and trains_on_gpu(self.trainer),
        )

    def n_done(self) -> int:
        """The steps done so far."""
        return self.trainer.global_step if self.trainer else 0


class MachineDataModule(StepDataModule):
    """The training clips of one machine as batches of mixed pieces.

    Args:
        bank: The waveforms.
        plan: Which clips make a step.
        input: Windows of waveform to pieces.
        workers: Processes that read ahead.
    """

    def __init__(self, bank: WaveformBank, plan: BatchPlan, input: Input, *, workers: int) -> None:
        super().__init__(plan, workers=workers)
        self.bank = bank
        self.input = input

    def train_dataloader(self) -> DataLoader[StepWindows]:
        """Windows; of several processes that train together, each takes its share of every batch."""
        trainer = self.trainer
        ours = RankSlice(self.plan, trainer.global_rank, trainer.world_size) if trainer else self.plan
        return self.loader(Steps(self.bank, ours, self.input), pin_memory=self.bank.samples.device.type == "cpu")

    def on_after_batch_transfer(self, batch: StepWindows, dataloader_idx: int) -> TrainingBatch:
        """Windows → mixup → pieces, on the device (Report 1.2 and 2.3)."""
        mixed = mix(batch.windows.float(), batch.partners.float(), batch.mix_weight)
        found = self.input(mixed, FULL_SCALE)
        return TrainingBatch(found, batch.section, batch.partner_section, batch.mix_weight, batch.clip)
