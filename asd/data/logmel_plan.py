"""Which windows make a training step of a baseline: all windows of all training clips, shuffled anew in each epoch.

As in Keras' `fit(shuffle=True, validation_split=…)`, and like data/sampling a pure function of (seed, step).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from asd.data.clips import ClipTable


@dataclass(frozen=True)
class WindowDraw:
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

    def draw(self, step: int) -> WindowDraw:
        """The windows of one step, counted from 0 over all epochs."""
        epoch, batch = divmod(step, self.n_steps_per_epoch)
        order = shuffled_windows(self.n_windows, self.seed, epoch)
        chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
        clip = self.clip[chosen]
        return WindowDraw(clip, self.section[clip], self.first_column[chosen])


@lru_cache(maxsize=2)
def shuffled_windows(n_windows: int, seed: int, epoch: int) -> np.ndarray:
    """(n_windows,) a random order that only the arguments determine; an epoch of real data takes 15 MB."""
    return np.random.default_rng([seed, epoch]).permutation(n_windows)
