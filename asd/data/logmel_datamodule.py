"""The log-mel energies of a machine's training clips, computed once, and the batches of the baselines from them.

In memory they take 0.96 GB for the 6,018 training clips of a machine; windows overlap, so computing each one when it
is drawn would repeat the transform of a column five (autoencoder) or eight (MobileNetV2) times an epoch.
"""

from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asd.data.datamodule import StepNumbers, trains_on_gpu, worker_context
from asd.data.logmel_plan import AllWindows
from asd.data.waveforms import WaveformBank
from asd.features.logmel import LogMelSettings, log_mel, n_columns
from asd.system.progress import track


class WindowBatch(NamedTuple):
    """One training step of a baseline.

    Attributes:
        windows: (batch, n_frames, n_mels) log-mel energies in dB, float32.
        section: (batch,) class of the clip.
        clip: (batch,) row of the clip in the table.
    """

    windows: Tensor
    section: Tensor
    clip: Tensor


class LogMelBank:
    """The columns of many clips end to end.

    Attributes:
        columns: (columns, n_mels) float32.
        first: (clips,) int64, the row of each clip's first column; of no use for clips that are not held.
    """

    def __init__(self, columns: Tensor, first: Tensor) -> None:
        self.columns = columns
        self.first = first

    @classmethod
    def of_clips(
        cls, bank: WaveformBank, rows: np.ndarray, settings: LogMelSettings, *, progress: bool
    ) -> "LogMelBank":
        """The columns of the clips that `rows` names.

        Args:
            bank: The waveforms.
            rows: (clips held,) rows of the bank, rising.
            settings: Of the input.
            progress: Whether to show a progress bar.
        """
        counts = torch.zeros(len(bank), dtype=torch.int64)
        counts[rows] = torch.tensor([n_columns(int(bank.lengths[row]), settings) for row in rows])
        first = counts.cumsum(0) - counts
        columns = torch.empty(int(counts.sum()), settings.n_mels)
        for row in track(rows.tolist(), "log-mel", show=progress):
            columns[first[row] : first[row] + counts[row]] = clip_log_mel(bank, row, settings)
        return cls(columns, first)

    def windows(self, clip: Tensor, first_column: Tensor, n_frames: int) -> Tensor:
        """Windows of clips, (windows, n_frames, n_mels), in one gather."""
        n_mels = self.columns.shape[1]
        every = self.columns.flatten().unfold(0, n_frames * n_mels, n_mels)
        return every.index_select(0, self.first[clip] + first_column).view(-1, n_frames, n_mels)


def clip_log_mel(bank: WaveformBank, clip: int, settings: LogMelSettings) -> Tensor:
    """The log-mel energies of one clip, (columns, n_mels) float32."""
    margin = settings.n_fft // 2
    row = torch.tensor([clip])
    length = int(bank.lengths[clip]) + 2 * margin
    return log_mel(bank.windows(row, torch.full_like(row, -margin), length, pad=settings.pad)[0], settings)


class WindowSteps(Dataset[WindowBatch]):
    """Training steps by their number."""

    def __init__(self, bank: LogMelBank, plan: AllWindows, n_frames: int) -> None:
        self.bank = bank
        self.plan = plan
        self.n_frames = n_frames

    def __getitem__(self, step: int) -> WindowBatch:
        """The windows of one step."""
        draw = self.plan.draw(step)
        clip = torch.from_numpy(draw.clip)
        windows = self.bank.windows(clip, torch.from_numpy(draw.first_column), self.n_frames)
        return WindowBatch(windows, torch.from_numpy(draw.section), clip)


class WindowDataModule(pl.LightningDataModule):
    """The training clips of one machine as batches of windows.

    Args:
        bank: The log-mel energies.
        plan: Which windows make a step.
        n_frames: Columns of a window.
        workers: Processes that read ahead.
    """

    def __init__(self, bank: LogMelBank, plan: AllWindows, *, n_frames: int, workers: int) -> None:
        super().__init__()
        self.bank = bank
        self.plan = plan
        self.n_frames = n_frames
        self.workers = workers

    def train_dataloader(self) -> DataLoader[WindowBatch]:
        """One item per step."""
        return DataLoader(
            WindowSteps(self.bank, self.plan, self.n_frames),
            batch_size=None,
            sampler=StepNumbers(self.plan.n_steps_per_epoch, self.n_done),
            num_workers=self.workers,
            multiprocessing_context=worker_context(self.workers),
            pin_memory=trains_on_gpu(self.trainer),
        )

    def n_done(self) -> int:
        """The steps done so far."""
        return self.trainer.global_step if self.trainer else 0
