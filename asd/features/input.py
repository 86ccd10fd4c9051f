"""The contract of an input: what the network sees of a clip, and which samples that takes; and the inputs we have.

A clip offers positions, one every `hop_length` samples. The window of a position is cut first, mixed, and only then
transformed; a piece is what becomes of one window (Report: a part of a spectrogram). An input of your own is a subclass
named by `input._target_` (docs/extend.md). It is called with windows on any device, without gradient.
"""

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor

from asd.config.components import SpectrogramSettings
from asd.features.spectrogram import clip_pieces, pieces


class Input(ABC):
    """Windows of waveform to pieces.

    Attributes:
        sample_rate: Of the recordings, in Hz.
        hop_length: From one position to the next, in samples.
        pad: What is beyond a clip's ends: its mirror image ("reflect") or silence ("zeros").
    """

    sample_rate: int
    hop_length: int
    pad: Literal["reflect", "zeros"]

    @property
    @abstractmethod
    def window_length(self) -> int:
        """Samples of one window."""

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """What a network has to know of a piece, as keyword arguments of its constructor: `n_bins` and `n_frames`."""

    @abstractmethod
    def __call__(self, windows: Tensor, full_scale: float = 1.0) -> Tensor:
        """Windows to pieces.

        Args:
            windows: (windows, window_length) waveforms in [−full_scale, full_scale).
            full_scale: What counts as 1 in the windows: 32768 where they are 16-bit numbers.

        Returns:
            (windows, …) what the network takes, float32.

        Raises:
            ValueError: The windows have another length.
        """

    @property
    def margin(self) -> int:
        """Samples that the windows reach beyond either end of a clip."""
        return 0

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that gives a whole piece and can be padded."""
        needed_to_mirror = self.margin + 1 if self.pad == "reflect" else 1
        return max(self.window_length - 2 * self.margin, needed_to_mirror)

    def n_positions(self, n_samples: int) -> int:
        """Positions of a clip of so many samples; 0 where it is too short."""
        return max(0, 1 + (n_samples + 2 * self.margin - self.window_length) // self.hop_length)

    def first_sample(self, position: Tensor) -> Tensor:
        """Where the window of a position starts, in samples of the clip; negative where it is padded."""
        return position * self.hop_length - self.margin

    def positions(self, n_samples: int, stride: int) -> list[int]:
        """Positions of a clip's pieces when it is scored: every `stride` positions, and the last one.

        Raises:
            ValueError: The clip is too short, or the stride is less than 1.
        """
        if stride < 1:
            raise ValueError(f"stride={stride}: must be at least 1")
        if n_samples < self.min_samples:
            raise ValueError(f"a clip of {n_samples} samples is too short: the input needs {self.min_samples}")
        last = self.n_positions(n_samples) - 1
        return [*range(0, last, stride), last]

    def of_clips(self, padded: Tensor, stride: int, full_scale: float = 1.0) -> Tensor:
        """All pieces of clips of one length.

        Args:
            padded: (clips, margin + clip + margin) waveforms, padded at both ends.
            stride: Positions from one piece to the next.
            full_scale: What counts as 1 in the samples.

        Returns:
            (clips × pieces, …), clip after clip, at `positions`.
        """
        at = self.positions(padded.shape[1] - 2 * self.margin, stride)
        windows = padded.unfold(1, self.window_length, self.hop_length)[:, at]
        return self(windows.flatten(0, 1), full_scale)

    def check_windows(self, windows: Tensor) -> None:
        """Raises ValueError where windows have another length."""
        if windows.ndim != 2 or windows.shape[1] != self.window_length:
            raise ValueError(f"windows of shape {tuple(windows.shape)}: must be (windows, {self.window_length})")


class SpectrogramPieces(SpectrogramSettings, Input):
    """Pieces of a linear-frequency spectrogram (Report 1.2): (pieces, 1, n_bins, n_frames).

    Pieces that overlap share their Fourier transforms when whole clips are scored.
    """

    @property
    def margin(self) -> int:
        """Columns are centred: the first window starts half a transform before the clip."""
        return self.n_fft // 2

    @property
    def sizes(self) -> dict[str, int]:
        """Rows and columns."""
        return {"n_bins": self.n_bins, "n_frames": self.n_frames}

    def __call__(self, windows: Tensor, full_scale: float = 1.0) -> Tensor:
        """(windows, window_length) to (windows, 1, n_bins, n_frames)."""
        return pieces(windows, self, full_scale)

    def of_clips(self, padded: Tensor, stride: int, full_scale: float = 1.0) -> Tensor:
        """(clips, padded samples) to (clips × pieces, 1, n_bins, n_frames)."""
        return clip_pieces(padded, self, stride, full_scale)
