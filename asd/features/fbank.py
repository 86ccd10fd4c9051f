"""Filter-bank energies as Kaldi computes them, the input of the BEATs and EAT networks.

Frames of 25 ms every 10 ms, all within the clip, each without its own mean, with pre-emphasis, windowed, a Fourier
transform of 512 and 128 triangular filters from 20 Hz to 8 kHz, equally wide in mel; then the natural logarithm and the
scale of the data set that a network was trained on. Dithering, which Kaldi adds by default, is left out as they did.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from asd.features.input import Input
from asd.features.spectrogram import check_choice

SAMPLE_RATE = 16_000  # Hz
FRAME = 400  # samples
HOP_LENGTH = 160  # samples
N_FFT = 512  # samples
N_MELS = 128
F_MIN = 20.0  # Hz
PRE_EMPHASIS = 0.97
POVEY_EXPONENT = 0.85  # of a Hann window, which makes Kaldi's own
SMALLEST_ENERGY = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class FbankPieces(Input):
    """Log filter-bank energies: (pieces, 1, 128, n_frames), (energy − mean) / (2 · deviation).

    Attributes:
        sample_rate: Of the recordings, in Hz; 16000.
        n_frames: Columns of a piece, 10 ms each; 998 are a clip of 10 s.
        window: Of a frame: "povey" or "hann".
        gain: Of the waveform in [−1, 1).
        mean: Of the training data's log energies.
        deviation: Of the training data's log energies.
        pad: Unused: windows do not reach beyond a clip's ends.
    """

    sample_rate: int
    n_frames: int
    window: Literal["povey", "hann"]
    gain: float
    mean: float
    deviation: float
    pad: Literal["reflect", "zeros"] = "reflect"

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        check_choice("input.window", self.window, ("povey", "hann"))
        if self.sample_rate != SAMPLE_RATE:
            raise ValueError(
                f"input.sample_rate={self.sample_rate}: these networks know 16000 Hz alone; "
                "give data.sample_rate=resample"
            )
        if self.n_frames < 1:
            raise ValueError(f"input.n_frames={self.n_frames}: must be at least 1")
        for name in ("gain", "deviation"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"input.{name}={getattr(self, name)}: must be a positive number")

    @property
    def hop_length(self) -> int:  # type: ignore[override]
        """From one column to the next, in samples."""
        return HOP_LENGTH

    @property
    def window_length(self) -> int:
        """Samples that the columns of one piece need."""
        return (self.n_frames - 1) * HOP_LENGTH + FRAME

    @property
    def sizes(self) -> dict[str, int]:
        """Rows are mel bands."""
        return {"n_bins": N_MELS, "n_frames": self.n_frames}

    def __call__(self, windows: Tensor, full_scale: float = 1.0) -> Tensor:
        """(windows, window_length) to (windows, 1, 128, n_frames)."""
        self.check_windows(windows)
        energies = log_fbank(windows * (self.gain / full_scale), self.window)
        return ((energies - self.mean) / (2 * self.deviation)).transpose(1, 2).unsqueeze(1).contiguous()


def log_fbank(waveform: Tensor, window: str) -> Tensor:
    """ln of the filter-bank energies of waveforms: (windows, samples) to (windows, columns, 128)."""
    shape, filters = transform(window, waveform.dtype, waveform.device)
    frames = waveform.unfold(1, FRAME, HOP_LENGTH)
    frames = frames - frames.mean(dim=2, keepdim=True)
    before = F.pad(frames[..., :-1], (1, 0), mode="replicate")
    spectrum = torch.fft.rfft((frames - PRE_EMPHASIS * before) * shape, N_FFT)
    energy = torch.view_as_real(spectrum).square().sum(dim=3) @ filters
    return energy.clamp(min=SMALLEST_ENERGY).log()


@lru_cache(maxsize=8)
def transform(window: str, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The window (400,) and the filters (257, 128)."""
    with torch.inference_mode(False):
        shape = torch.hann_window(FRAME, periodic=False, dtype=torch.float64)
        if window == "povey":
            shape = shape**POVEY_EXPONENT
        mel = mel_scale(torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / N_FFT).unsqueeze(1)
        low, high = mel_scale(torch.tensor([F_MIN, SAMPLE_RATE / 2], dtype=torch.float64))
        corners = torch.linspace(float(low), float(high), N_MELS + 2, dtype=torch.float64)
        width = corners[1] - corners[0]
        rising, falling = (mel - corners[:-2]) / width, (corners[2:] - mel) / width
        return shape.to(device, dtype), torch.minimum(rising, falling).clamp(min=0).to(device, dtype)


def mel_scale(frequency: Tensor) -> Tensor:
    """Kaldi's mel of frequencies in Hz."""
    return 1127 * torch.log1p(frequency / 700)
