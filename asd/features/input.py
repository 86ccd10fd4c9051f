"""The contract of an input: what the network sees of a clip, and which samples that takes; and the inputs we have.

A clip offers positions, one every `hop_length` samples. The window of a position is cut first, mixed, and only then
transformed; a piece is what becomes of one window (Report: a part of a spectrogram). An input of your own is a subclass
named by `input._target_` (docs/extend.md). It is called with windows on any device, without gradient.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import librosa
import torch
from torch import Tensor

from asd.config.components import SpectrogramSettings
from asd.features.spectrogram import CHOICES, check_choice, clip_pieces, pieces, scaled_hann, standardise

MEL_FLOOR = 1e-10  # energy of a mel band that silence sits on; a 16-bit recording's own noise is above


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


@dataclass(frozen=True)
class LogMelPieces(Input):
    """Pieces of a log-mel spectrogram: (pieces, 1, n_mels, n_frames) of ln(energy), standardised.

    Attributes:
        sample_rate: Of the recordings, in Hz.
        n_fft: Length of the Fourier transform and of its Hann window, in samples; even.
        hop_length: From one column to the next, in samples.
        n_mels: Mel filters, Slaney's scale and normalisation.
        n_frames: Columns of a piece.
        f_min: Where the lowest filter begins, in Hz.
        f_max: Where the highest filter ends, in Hz; None: half the sample rate.
        pad: What is beyond a clip's ends.
        standardise: As of `SpectrogramSettings`.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    n_frames: int
    f_min: float = 0.0
    f_max: float | None = None
    pad: Literal["reflect", "zeros"] = "reflect"
    standardise: Literal["piece", "frequency", "time_mean", "none"] = "piece"

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "n_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"input.{name}={getattr(self, name)}: must be at least 1")
        check_choice("input.pad", self.pad, ("reflect", "zeros"))
        check_choice("input.standardise", self.standardise, CHOICES["standardise"])
        if self.n_fft % 2:
            raise ValueError(f"input.n_fft={self.n_fft}: must be even, so that a column has a middle sample")
        half = self.sample_rate / 2
        if not 0 <= self.f_min < (self.f_max or half) <= half:
            raise ValueError(f"input.f_min={self.f_min}, f_max={self.f_max}: must be 0 ≤ f_min < f_max ≤ {half:g} Hz")
        n_empty = int((mel_matrix(self, torch.float64, torch.device("cpu")).amax(dim=0) == 0).sum())
        if n_empty:
            raise ValueError(
                f"input.n_mels={self.n_mels}: {n_empty} filters are narrower than the bins of n_fft={self.n_fft}; "
                "lower n_mels or raise n_fft"
            )

    @property
    def window_length(self) -> int:
        """Samples that the columns of one piece need."""
        return (self.n_frames - 1) * self.hop_length + self.n_fft

    @property
    def margin(self) -> int:
        """Columns are centred: the first window starts half a transform before the clip."""
        return self.n_fft // 2

    @property
    def sizes(self) -> dict[str, int]:
        """Rows are mel bands."""
        return {"n_bins": self.n_mels, "n_frames": self.n_frames}

    def __call__(self, windows: Tensor, full_scale: float = 1.0) -> Tensor:
        """(windows, window_length) to (windows, 1, n_mels, n_frames)."""
        self.check_windows(windows)
        hann = scaled_hann(self.n_fft, full_scale, windows.dtype, windows.device)
        spectrum = torch.fft.rfft(windows.unfold(1, self.n_fft, self.hop_length) * hann)
        energy = torch.view_as_real(spectrum).square_().sum(dim=3) @ mel_matrix(self, windows.dtype, windows.device)
        log_mel = energy.clamp_(min=MEL_FLOOR).log_().transpose(1, 2)
        return standardise(log_mel, self.standardise).unsqueeze(1).contiguous()


@dataclass(frozen=True)
class Waveform(Input):
    """Waveform as it is: (pieces, samples) in [−1, 1), for networks that compute their own spectrograms.

    Attributes:
        sample_rate: Of the recordings, in Hz.
        seconds: Length of a window; the whole clip for networks that look at one.
        hop_length: From one position to the next, in samples, where clips are longer than a window.
        pad: Unused: windows do not reach beyond a clip's ends.
    """

    sample_rate: int
    seconds: float
    hop_length: int = 512
    pad: Literal["reflect", "zeros"] = "reflect"

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        for name in ("sample_rate", "hop_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"input.{name}={getattr(self, name)}: must be at least 1")
        if not self.window_length >= 1:
            raise ValueError(f"input.seconds={self.seconds}: must give at least one sample")

    @property
    def window_length(self) -> int:
        """Samples of one window."""
        return round(self.seconds * self.sample_rate)

    @property
    def sizes(self) -> dict[str, int]:
        """Samples, and their rate, which networks of waveforms need."""
        return {"n_samples": self.window_length, "sample_rate": self.sample_rate}

    def __call__(self, windows: Tensor, full_scale: float = 1.0) -> Tensor:
        """(windows, window_length) to the same in [−1, 1)."""
        self.check_windows(windows)
        return windows / full_scale


@lru_cache(maxsize=8)
def mel_matrix(settings: LogMelPieces, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Mel filters (n_fft / 2 + 1, n_mels)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty filters, which the settings refuse by name
        filters = librosa.filters.mel(
            sr=settings.sample_rate,
            n_fft=settings.n_fft,
            n_mels=settings.n_mels,
            fmin=settings.f_min,
            fmax=settings.f_max,
            dtype="float64",
        )
    with torch.inference_mode(False):
        return torch.from_numpy(filters.T.copy()).to(device, dtype)
