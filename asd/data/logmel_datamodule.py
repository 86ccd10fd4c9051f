"""The log-mel energies of a machine's training clips, computed once, and the batches of windows from them.

A step takes windows of all training clips, shuffled anew in each epoch as in Keras' `fit(shuffle=True,
validation_split=…)`, and is like data/sampling a pure function of (seed, step).

In memory they take 0.96 GB for the 6,018 training clips of a machine; windows overlap, so computing each one when it
is drawn would repeat the transform of a column five (autoencoder) or eight (MobileNetV2) times an epoch.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asd.config.components import LogMelSettings
from asd.data.clips import ClipTable
from asd.data.datamodule import StepDataModule
from asd.data.waveforms import WaveformBank
from asd.features.logmel import log_mel, n_columns
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


@dataclass(frozen=True)
class WindowIndices:
    """One training step as index arrays, all (batch,).

    Attributes:
        clip: int64, rows of the table.
        section: int64, class of each clip: the position in `table.sections`.
        first_column: int64, where each window starts in its clip.
    """

    clip: np.ndarray
    section: np.ndarray
    first_column: np.ndarray

    @property
    def partner(self) -> np.ndarray:
        """Rows of clips mixed in: none."""
        return self.clip[:0]


class AllWindows:
    """Every window of the training clips once an epoch; the last batch of an epoch is what is left over.

    A last batch of one window would have no variance for BatchNorm: that window waits for another epoch.

    Args:
        table: The clips, in whose order the windows are held out.
        n_columns: (clips,) columns of each clip.
        n_frames: Columns of a window.
        frame_hop: From one window of a clip to the next, in columns.
        batch_size: Windows of a step.
        hold_out: Share of the windows, the last ones, that is never drawn.
        seed: Of the order.

    Raises:
        ValueError: A clip is shorter than a window, or fewer than two windows are left.
    """

    def __init__(
        self,
        table: ClipTable,
        *,
        n_columns: np.ndarray,
        n_frames: int,
        frame_hop: int,
        batch_size: int,
        hold_out: float,
        seed: int,
    ) -> None:
        rows = np.flatnonzero(table.is_train)
        n_starts = n_columns[rows] - n_frames + 1
        if (n_starts < 1).any():
            short = rows[n_starts < 1][0]
            raise ValueError(f"{table.path[short]}: {n_columns[short]} columns, a window needs {n_frames}")
        n_windows = -(-n_starts // frame_hop)
        self.clip = np.repeat(rows, n_windows)
        self.first_column = np.concatenate([np.arange(n) * frame_hop for n in n_windows])
        self.section = np.searchsorted(table.sections, table.section).astype(np.int64)
        self.n_windows = int(len(self.clip) * (1 - hold_out))  # Keras rounds down
        if self.n_windows < 2:
            raise ValueError(f"{self.n_windows} windows to train on; add clips or lower hold_out={hold_out}")
        self.batch_size = batch_size
        self.seed = seed
        self.n_steps_per_epoch = -(-self.n_windows // batch_size) - (self.n_windows % batch_size == 1)

    def indices(self, step: int) -> WindowIndices:
        """The windows of one step, counted from 0 over all epochs."""
        epoch, batch = divmod(step, self.n_steps_per_epoch)
        order = shuffled_windows(self.n_windows, self.seed, epoch)
        chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
        clip = self.clip[chosen]
        return WindowIndices(clip, self.section[clip], self.first_column[chosen])


@lru_cache(maxsize=2)
def shuffled_windows(n_windows: int, seed: int, epoch: int) -> np.ndarray:
    """(n_windows,) a random order that only the arguments determine; an epoch of real data takes 15 MB."""
    return np.random.default_rng([seed, epoch]).permutation(n_windows)


class WindowSteps(Dataset[WindowBatch]):
    """Training steps by their number."""

    def __init__(self, bank: LogMelBank, plan: AllWindows, n_frames: int) -> None:
        self.bank = bank
        self.plan = plan
        self.n_frames = n_frames

    def __getitem__(self, step: int) -> WindowBatch:
        """The windows of one step."""
        indices = self.plan.indices(step)
        clip = torch.from_numpy(indices.clip)
        windows = self.bank.windows(clip, torch.from_numpy(indices.first_column), self.n_frames)
        return WindowBatch(windows, torch.from_numpy(indices.section), clip)


class WindowDataModule(StepDataModule):
    """The training clips of one machine as batches of windows.

    Args:
        bank: The log-mel energies.
        plan: Which windows make a step.
        n_frames: Columns of a window.
        workers: Processes that read ahead.
    """

    def __init__(self, bank: LogMelBank, plan: AllWindows, *, n_frames: int, workers: int) -> None:
        super().__init__(plan, workers=workers)
        self.bank = bank
        self.n_frames = n_frames

    def train_dataloader(self) -> DataLoader[WindowBatch]:
        """One item per step."""
        return self.loader(WindowSteps(self.bank, self.plan, self.n_frames), pin_memory=True)
