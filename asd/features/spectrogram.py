"""From waveforms to the network's input: frame arithmetic, short-time Fourier transform, scale, standardising.

The report cuts a clip's spectrogram into pieces of 32 columns (Report 1.2). Those columns need only `window_length`
samples, so a window of the waveform is cut first and transformed alone: the same numbers for a tenth of the work.

The order is magnitude → mean of bin pairs → scale → standardise. Windows are real, in [−1, 1).
"""

from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from asd.config.components import SpectrogramSettings

CHOICES = {
    "scale": ("linear", "power", "log"),
    "standardise": ("piece", "frequency", "time_mean", "none"),
}

# Magnitudes of a 16-bit recording lie above 1e-4: what is below these is silence, which must not be divided by 0.
LOG_FLOOR = 1e-8
SMALLEST_DEVIATION = 1e-12

Column = TypeVar("Column", int, Tensor)


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ValueError where a value is none of the allowed ones."""
    if value not in allowed:
        raise ValueError(f"{name}={value}: must be one of {', '.join(allowed)}")


def n_columns(n_samples: int, settings: SpectrogramSettings) -> int:
    """Columns of the spectrogram of a clip; column 0 is centred on its first sample."""
    return 1 + n_samples // settings.hop_length


def first_sample(column: Column, settings: SpectrogramSettings) -> Column:
    """Where the window of a column starts, in samples; negative at the start of a clip, where it is padded."""
    return column * settings.hop_length - settings.n_fft // 2


def min_samples(settings: SpectrogramSettings) -> int:
    """Samples of the shortest clip that gives a whole piece and can be padded."""
    whole_piece = (settings.n_frames - 1) * settings.hop_length
    return max(whole_piece, settings.n_fft // 2 + 1 if settings.pad == "reflect" else 1)


def magnitude(windows: Tensor, settings: SpectrogramSettings, full_scale: float = 1.0) -> Tensor:
    """The modulus of the short-time Fourier transform, as of `librosa.stft(center=False)`, with a periodic Hann window.

    Args:
        windows: (windows, samples), at least n_fft samples.
        settings: `window_length` samples give `n_frames` columns.
        full_scale: What counts as 1 in the windows: 32768 where they are 16-bit numbers.

    Returns:
        (windows, n_fft / 2 + 1, columns), not negative.
    """
    hann = scaled_hann(settings.n_fft, full_scale, windows.dtype, windows.device)
    spectrum = torch.fft.rfft(windows.unfold(1, settings.n_fft, settings.hop_length) * hann)
    # A quarter of the time of abs() on the CPU, which guards against overflow that sound cannot reach.
    squares = torch.view_as_real(spectrum).square_()
    return (squares[..., 0] + squares[..., 1]).sqrt_().transpose(1, 2)


@lru_cache
def scaled_hann(n_fft: int, full_scale: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(n_fft,) a periodic Hann window that also divides by the full scale: one pass over the samples less."""
    with torch.inference_mode(False):
        return torch.hann_window(n_fft, dtype=dtype, device=device) / full_scale


def pair_mean(spectrogram: Tensor) -> Tensor:
    """The mean of neighbouring rows, two by two (our reading of "512×32 reshaped", Report 1.2).

    Args:
        spectrogram: (pieces, bins, frames), an even number of bins.

    Returns:
        (pieces, bins / 2, frames).
    """
    return (spectrogram[:, 0::2] + spectrogram[:, 1::2]).mul_(0.5)


def to_scale(spectrogram: Tensor, scale: str) -> Tensor:
    """Magnitudes as they are, squared, or as the natural logarithm above a floor that silence sits on.

    Args:
        spectrogram: Magnitudes, any shape.
        scale: "linear", "power" or "log".
    """
    check_choice("scale", scale, CHOICES["scale"])
    if scale == "power":
        return spectrogram.square()
    if scale == "log":
        return (spectrogram * (1 / LOG_FLOOR)).clamp_(min=1).log_()
    return spectrogram


def standardise(spectrogram: Tensor, how: str) -> Tensor:
    """Subtracts the mean and divides by the standard deviation (Report 1.2); what is constant becomes 0.

    Args:
        spectrogram: (pieces, bins, frames).
        how: "piece", "frequency", "time_mean" or "none".
    """
    check_choice("standardise", how, CHOICES["standardise"])
    if how == "none":
        return spectrogram
    dim = (1, 2) if how == "piece" else (2,)
    centred = spectrogram - spectrogram.mean(dim, keepdim=True)
    if how == "time_mean":
        return centred
    # Two plain passes: a quarter of the time of torch.var_mean on the CPU. A vector norm would be quicker still, but
    # adds up in one go and is off by 7e-6.
    deviation = centred.square().mean(dim, keepdim=True).sqrt_()
    return centred.div_(deviation.add_(SMALLEST_DEVIATION))


def finish(spectrogram: Tensor, settings: SpectrogramSettings) -> Tensor:
    """Magnitudes of pieces, (pieces, n_fft / 2 + 1, frames) → the network's input, (pieces, 1, bins, frames)."""
    if settings.pair_mean:
        spectrogram = pair_mean(spectrogram)
    scaled = to_scale(spectrogram, settings.scale)
    return standardise(scaled, settings.standardise).unsqueeze(1).contiguous()


def pieces(windows: Tensor, settings: SpectrogramSettings, full_scale: float = 1.0) -> Tensor:
    """Windows → the network's input.

    Args:
        windows: (windows, window_length) waveforms in [−full_scale, full_scale).
        settings: Of the spectrogram.
        full_scale: What counts as 1 in the windows.

    Returns:
        (windows, 1, n_bins, n_frames) float32.

    Raises:
        ValueError: The windows have another length.
    """
    if windows.ndim != 2 or windows.shape[1] != settings.window_length:
        raise ValueError(f"windows of shape {tuple(windows.shape)}: must be (windows, {settings.window_length})")
    return finish(magnitude(windows, settings, full_scale), settings)


def piece_columns(n_columns: int, n_frames: int, stride: int) -> list[int]:
    """First columns of the pieces of a clip: every `stride` columns, and the last piece that fits.

    Raises:
        ValueError: The clip has no whole piece, or the stride is less than 1.
    """
    if n_columns < n_frames:
        raise ValueError(f"a clip of {n_columns} columns has no piece of {n_frames}: it is too short")
    if stride < 1:
        raise ValueError(f"stride={stride}: must be at least 1 column")
    last = n_columns - n_frames
    return [*range(0, last, stride), last]


def clip_pieces(samples_padded: Tensor, settings: SpectrogramSettings, stride: int, full_scale: float = 1.0) -> Tensor:
    """All pieces of clips of one length; the Fourier transforms are shared between pieces that overlap.

    Args:
        samples_padded: (clips, n_fft / 2 + clip + n_fft / 2) waveforms padded at both ends, in ±full_scale.
        settings: Of the spectrogram.
        stride: Columns from one piece to the next.
        full_scale: What counts as 1 in the samples.

    Returns:
        (clips × pieces, 1, n_bins, n_frames), clip after clip, at the columns of `piece_columns`.
    """
    spectrogram = magnitude(samples_padded, settings, full_scale)
    starts = piece_columns(spectrogram.shape[2], settings.n_frames, stride)
    windows = spectrogram.unfold(2, settings.n_frames, 1)[:, :, starts]
    return finish(windows.transpose(1, 2).flatten(0, 1), settings)
