"""Input of the aisfx network: 44.1 kHz, peak-normalised, 96 mel bands, compressed (Ma and Lerch, ISMIR 2022).

Each window counts as a recording of its own: it is resampled and scaled to a peak of 1 alone, so that a piece has the
same numbers in training, scoring and in a stream. In their code the peak is the whole file's, and the columns at a
file's ends are padded; here every column lies within the clip.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import librosa
import torch
import torch.nn.functional as F
from torch import Tensor

from asd.features.input import Input

SAMPLE_RATE = 44_100  # Hz
N_FFT = 2048  # samples
HOP_LENGTH = 1024  # samples
N_MELS = 96
GAIN = 10_000.0  # of the energies before log10(1 + ·)
LARGEST = 9.457798957824707  # of all spectrograms that the network was trained on
ZERO_CROSSINGS = 64  # of the resampling kernel, on either side
ROLL_OFF = 0.96  # pass band of the resampling, as a share of the lower of both half rates
SMALLEST_PEAK = 1e-9  # keeps silence finite


@dataclass(frozen=True)
class AisfxPieces(Input):
    """Blocks of a spectrogram: (pieces, 1, 96, n_frames) in about [0, 1].

    Attributes:
        sample_rate: Of the recordings, in Hz.
        n_frames: Columns of a block, 23 ms each; 100 in the paper, one every 50.
        pad: Unused: windows do not reach beyond a clip's ends.
    """

    sample_rate: int
    n_frames: int = 100
    pad: Literal["reflect", "zeros"] = "reflect"

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        if self.sample_rate < 1:
            raise ValueError(f"input.sample_rate={self.sample_rate}: must be at least 1")
        if self.n_frames < 8:
            raise ValueError(f"input.n_frames={self.n_frames}: must be at least 8, the network halves it thrice")

    @property
    def hop_length(self) -> int:  # type: ignore[override]
        """A column's hop in samples of the recordings, rounded."""
        return max(1, round(HOP_LENGTH * self.sample_rate / SAMPLE_RATE))

    @property
    def resampled_length(self) -> int:
        """Samples at 44.1 kHz that the columns of one block need."""
        return (self.n_frames - 1) * HOP_LENGTH + N_FFT

    @property
    def window_length(self) -> int:
        """Samples of the recordings that give them."""
        return math.ceil(self.resampled_length * self.sample_rate / SAMPLE_RATE)

    @property
    def sizes(self) -> dict[str, int]:
        """Rows are mel bands."""
        return {"n_bins": N_MELS, "n_frames": self.n_frames}

    def __call__(self, windows: Tensor, full_scale: float = 1.0) -> Tensor:
        """(windows, window_length) to (windows, 1, 96, n_frames); the full scale falls out with the peak."""
        self.check_windows(windows)
        resampled = resample(windows, self.sample_rate, SAMPLE_RATE)[:, : self.resampled_length]
        peak = resampled.abs().amax(dim=1, keepdim=True)
        return compressed_mel(resampled / peak.clamp(min=SMALLEST_PEAK * full_scale)).unsqueeze(1)


def compressed_mel(waveform: Tensor) -> Tensor:
    """log10(1 + 10000 · mel energies) ÷ 9.4578 of waveforms at 44.1 kHz, as of librosa with `htk=True, norm=1`.

    Args:
        waveform: (windows, samples) with a peak of 1.

    Returns:
        (windows, 96, columns), columns without padding.
    """
    hann, filters = transform(waveform.dtype, waveform.device)
    spectrum = torch.fft.rfft(waveform.unfold(1, N_FFT, HOP_LENGTH) * hann)
    mel = torch.view_as_real(spectrum).square().sum(dim=3) @ filters
    return (mel * GAIN + 1).log10().div(LARGEST).transpose(1, 2).contiguous()


@lru_cache(maxsize=4)
def transform(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The Hann window (n_fft,) and mel filters (bins, mels) whose weights add up to 1 each."""
    filters = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=0.0, fmax=SAMPLE_RATE / 2, htk=True, norm=1.0, dtype="float64"
    )
    with torch.inference_mode(False):
        hann = torch.hann_window(N_FFT, dtype=torch.float64)
        return hann.to(device, dtype), torch.from_numpy(filters.T.copy()).to(device, dtype)


def resample(waveform: Tensor, rate: int, to_rate: int) -> Tensor:
    """Resampling by a windowed sinc, in one strided convolution (Smith, Digital Audio Resampling).

    Args:
        waveform: (windows, samples); silence before and after them.
        rate: Of the samples, in Hz.
        to_rate: Wanted, in Hz.

    Returns:
        (windows, ⌈samples · to_rate / rate⌉).
    """
    if rate == to_rate:
        return waveform
    divisor = math.gcd(rate, to_rate)
    step, n_phases = rate // divisor, to_rate // divisor
    kernel, reach = sinc_kernel(step, n_phases, waveform.dtype, waveform.device)
    padded = F.pad(waveform, (reach, reach + step)).unsqueeze(1)
    phases = F.conv1d(padded, kernel, stride=step)  # (windows, phases, steps)
    return phases.transpose(1, 2).flatten(1)[:, : math.ceil(waveform.shape[1] * to_rate / rate)]


@lru_cache(maxsize=4)
def sinc_kernel(step: int, n_phases: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, int]:
    """Kernel (phases, 1, taps) that makes `n_phases` samples of `step`, and how many samples it reaches back.

    Output sample p of a group is at p · step ÷ n_phases of the input's samples; the sinc has a Hann window.
    """
    cutoff = min(1.0, n_phases / step) * ROLL_OFF  # as a share of the input's half rate
    reach = math.ceil(ZERO_CROSSINGS / cutoff)
    taps = torch.arange(-reach, reach + step, dtype=torch.float64)
    distance = taps - torch.arange(n_phases, dtype=torch.float64).unsqueeze(1) * (step / n_phases)
    window = (math.pi * distance / (2 * reach)).cos().square().where(distance.abs() < reach, 0.0)
    with torch.inference_mode(False):
        kernel = cutoff * torch.sinc(cutoff * distance) * window
        return kernel.unsqueeze(1).to(device, dtype), reach
