"""Network of several branches that sees a clip at several resolutions (arXiv 2409.09332): one FFT, three STFTs.

The branches are 128-d each and their embeddings stand one behind the other. No layer has a bias and no BatchNorm has
weights, so that no constant embedding is a solution (Ruff et al., ICML 2018). The network takes the waveform and
computes its spectrograms itself: an input stays one tensor whatever the number of branches, and a batch of waveforms is
a tenth of its spectrograms.

What the paper leaves open is our choice: `same` padding of convolutions, frames without padding of the clip.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asd.models.backbone import Backbone, check_sizes

CHANNELS = (16, 32, 64, 128)  # of the residual stages
BLOCKS_EACH = 2
REDUCTION = 16  # of the channels within squeeze-excitation


class Resolution(NamedTuple):
    """A short-time Fourier transform: window and hop, in samples."""

    n_fft: int
    hop_length: int


class FftLayer(NamedTuple):
    """A convolution along frequency: its kernel and stride, in bins."""

    kernel: int
    stride: int


RESOLUTIONS = (Resolution(256, 128), Resolution(1024, 512), Resolution(4096, 2048))
FFT_LAYERS = (FftLayer(256, 64), FftLayer(64, 32), FftLayer(16, 4))
N_DENSE = 5  # layers of the FFT branch
FFT = "fft"  # name of the branch of the whole clip


class MultiResolution(Backbone):
    """Branches for the spectrum of the whole clip and for its spectrograms at several resolutions.

    Parts, each of all branches: fft (its convolutions), stem, stage1 … stage4 (residual), embedding.

    Args:
        n_samples: Of a clip.
        sample_rate: In Hz.
        embedding_dim: Of all branches together; each has an equal share, 128 in the paper.
        resolutions: (n_fft, hop_length) of the spectrograms, in samples.
        whole_clip: Whether there is a branch for the spectrum of the whole clip; it is the first one.
        f_min: Lowest frequency of the spectrograms, in Hz.
        f_max: Highest frequency of the spectrograms, in Hz.
        time_mean_subtraction: Whether the spectrograms lose their mean over time.

    Raises:
        ValueError: A size out of range, no branch, an embedding that cannot be shared equally, or a clip that is too
            short for a resolution.
    """

    def __init__(
        self,
        *,
        n_samples: int,
        sample_rate: int,
        embedding_dim: int,
        resolutions: Sequence[Sequence[int]] = RESOLUTIONS,
        whole_clip: bool = True,
        f_min: float = 200.0,
        f_max: float = 8000.0,
        time_mean_subtraction: bool = False,
    ) -> None:
        check_sizes(n_samples=n_samples, sample_rate=sample_rate, embedding_dim=embedding_dim)
        wanted = [Resolution(*map(int, resolution)) for resolution in resolutions]
        n_branches = len(wanted) + whole_clip
        check_branches(wanted, n_branches, embedding_dim, n_samples)
        spectra = {
            f"stft_{r.n_fft}": Magnitude(r, band(r, sample_rate, f_min, f_max), time_mean_subtraction) for r in wanted
        }
        network = Branches(spectra, n_samples, whole_clip, embedding_dim // n_branches)
        super().__init__(
            network,
            last_block=f"stage{len(CHANNELS)}" if wanted else FFT,
            embedding_parts=("embedding",),
            input_shape=(n_samples,),
            embedding_dim=embedding_dim,
        )
        self.n_branches = n_branches


class Branches(nn.Module):
    """The layers, by part: each part holds its layers of all branches.

    Args:
        spectra: The spectrogram of each branch but that of the whole clip, by name.
        n_samples: Of a clip.
        whole_clip: Whether there is a branch for the whole clip.
        branch_dim: Length of a branch's embedding.
    """

    def __init__(self, spectra: Mapping[str, "Magnitude"], n_samples: int, whole_clip: bool, branch_dim: int) -> None:
        super().__init__()
        self.spectra = nn.ModuleDict(spectra)
        self.whole_clip = whole_clip
        shapes = {name: spectrum.shape(n_samples) for name, spectrum in spectra.items()}
        embedding: dict[str, nn.Module] = {}
        self.whole_spectrum = WholeSpectrum()
        if whole_clip:
            self.fft = FftConvolutions(CHANNELS[-1])
            embedding[FFT] = dense(CHANNELS[-1] * self.fft.length(n_samples // 2 + 1), branch_dim)
        self.stem = Parallel({name: stem(n_bins) for name, (n_bins, _) in shapes.items()})
        channels = CHANNELS[0]
        for number, wider in enumerate(CHANNELS, start=1):
            stage = Parallel({name: residual_stage(channels, wider, 1 if number == 1 else 2) for name in spectra})
            setattr(self, f"stage{number}", stage)
            channels = wider
        for name, (n_bins, _) in shapes.items():
            embedding[name] = MaxOverTime(channels * rows_left(n_bins), branch_dim)
        self.embedding = Parallel(embedding)

    def forward(self, waveform: Tensor) -> Tensor:
        """(clips, samples) to (clips, branches · branch_dim)."""
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            maps = {name: spectrum(waveform) for name, spectrum in self.spectra.items()}
            spectrum = self.whole_spectrum(waveform) if self.whole_clip else None
        found = {} if spectrum is None else {FFT: self.fft(spectrum.unsqueeze(1))}
        maps = self.stem(maps)
        for number in range(1, len(CHANNELS) + 1):
            maps = getattr(self, f"stage{number}")(maps)
        return torch.cat(list(self.embedding(found | maps).values()), dim=1)


class WholeSpectrum(nn.Module):
    """Magnitudes of the Fourier transform of a whole clip; a module, so that the export can find it."""

    def forward(self, waveform: Tensor) -> Tensor:
        """(clips, samples) to (clips, samples / 2 + 1)."""
        return torch.fft.rfft(waveform).abs()


class Parallel(nn.ModuleDict):
    """One layer for each branch."""

    def forward(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """The values of the branches, each through its own layer."""
        return {name: layer(values[name]) for name, layer in self.items()}


class Magnitude(nn.Module):
    """Magnitudes of a short-time Fourier transform with a Hann window, within a band.

    Args:
        resolution: Window and hop.
        bins: First bin and the one after the last.
        time_mean_subtraction: Whether the mean over time is taken from each bin.
    """

    def __init__(self, resolution: Resolution, bins: tuple[int, int], time_mean_subtraction: bool) -> None:
        super().__init__()
        self.n_fft, self.hop_length = resolution
        self.first, self.end = bins
        self.time_mean_subtraction = time_mean_subtraction
        self.register_buffer("hann", torch.hann_window(self.n_fft), persistent=False)
        self.hann: Tensor

    def shape(self, n_samples: int) -> tuple[int, int]:
        """Bins and frames of a clip."""
        return self.end - self.first, 1 + (n_samples - self.n_fft) // self.hop_length

    def forward(self, waveform: Tensor) -> Tensor:
        """(clips, samples) to (clips, 1, bins, frames)."""
        spectrum = torch.fft.rfft(waveform.unfold(1, self.n_fft, self.hop_length) * self.hann)
        magnitude = spectrum[..., self.first : self.end].abs().transpose(1, 2)
        if self.time_mean_subtraction:
            magnitude = magnitude - magnitude.mean(dim=2, keepdim=True)
        return magnitude.unsqueeze(1)


class FftConvolutions(nn.Sequential):
    """Convolutions along the frequencies of the whole clip, each with ReLU and squeeze-excitation, flattened."""

    def __init__(self, channels: int) -> None:
        layers: list[nn.Module] = []
        before = 1
        for kernel, stride in FFT_LAYERS:
            layers += [nn.Conv1d(before, channels, kernel, stride, kernel // 2, bias=False), nn.ReLU()]
            layers.append(SqueezeExcitation(channels))
            before = channels
        super().__init__(*layers, nn.Flatten())

    def length(self, n_bins: int) -> int:
        """Frequencies that are left of so many bins."""
        for kernel, stride in FFT_LAYERS:
            n_bins = (n_bins + 2 * (kernel // 2) - kernel) // stride + 1
        return n_bins


class SqueezeExcitation(nn.Module):
    """Weighs channels by what their means say (Hu et al., CVPR 2018), for one or two dimensions behind them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // REDUCTION)
        self.squeeze = nn.Linear(channels, inner, bias=False)
        self.excite = nn.Linear(inner, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(clips, channels, …) to the same."""
        weight = self.excite(F.relu(self.squeeze(x.flatten(2).mean(dim=2)))).sigmoid()
        return x * weight.view(*weight.shape, *[1] * (x.ndim - 2))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with squeeze-excitation, added to what goes in."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels, affine=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels, affine=False),
            SqueezeExcitation(channels),
        )
        is_same = before == channels and stride == 1
        self.shortcut = nn.Identity() if is_same else nn.Conv2d(before, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(clips, before, bins, frames) to (clips, channels, bins / stride, frames / stride)."""
        return F.relu(self.layers(x) + self.shortcut(x))


class MaxOverTime(nn.Module):
    """Maximum over time of each channel and row, normalised, and the linear layer that makes the embedding."""

    def __init__(self, n_features: int, branch_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(n_features, affine=False)
        self.linear = nn.Linear(n_features, branch_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(clips, channels, rows, frames) to (clips, branch_dim)."""
        return self.linear(self.norm(x.amax(dim=3).flatten(1)))


class NormalisedBins(nn.BatchNorm1d):
    """BatchNorm of each frequency over clips and frames."""

    def __init__(self, n_bins: int) -> None:
        super().__init__(n_bins, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """(clips, 1, bins, frames) to the same."""
        return super().forward(x.squeeze(1)).unsqueeze(1)


class Stem(nn.Sequential):
    """Normalised bins, a strided 7×7 convolution, maximum: (clips, 1, bins, frames) to a fourth of both."""


def stem(n_bins: int) -> Stem:
    """The first layers of a spectrogram's branch."""
    convolution = nn.Conv2d(1, CHANNELS[0], 7, 2, 3, bias=False)
    norm = nn.BatchNorm2d(CHANNELS[0], affine=False)
    return Stem(NormalisedBins(n_bins), convolution, norm, nn.ReLU(), nn.MaxPool2d(3, 2, 1))


def residual_stage(before: int, channels: int, stride: int) -> nn.Sequential:
    """Residual blocks of one number of channels; the first may halve both sides."""
    rest = (ResidualBlock(channels, channels, 1) for _ in range(BLOCKS_EACH - 1))
    return nn.Sequential(ResidualBlock(before, channels, stride), *rest)


def rows_left(n_bins: int) -> int:
    """Rows after the stem and all stages, which halve them, rounded up, as often as they have strides."""
    for _ in range(2 + len(CHANNELS) - 1):
        n_bins = -(-n_bins // 2)
    return n_bins


def dense(n_features: int, branch_dim: int) -> nn.Sequential:
    """Five layers, of which the last is linear."""
    layers: list[nn.Module] = []
    for _ in range(N_DENSE - 1):
        layers += [nn.Linear(n_features, branch_dim, bias=False), nn.BatchNorm1d(branch_dim, affine=False), nn.ReLU()]
        n_features = branch_dim
    return nn.Sequential(*layers, nn.Linear(n_features, branch_dim, bias=False))


def band(resolution: Resolution, sample_rate: int, f_min: float, f_max: float) -> tuple[int, int]:
    """The bins between two frequencies, both included: the first, and the one after the last.

    Raises:
        ValueError: There is none.
    """
    frequencies = torch.arange(resolution.n_fft // 2 + 1) * (sample_rate / resolution.n_fft)
    inside = ((frequencies >= f_min) & (frequencies <= f_max)).nonzero()[:, 0]
    if not len(inside):
        raise ValueError(f"f_min={f_min}, f_max={f_max}: n_fft={resolution.n_fft} at {sample_rate} Hz has no bin there")
    return int(inside[0]), int(inside[-1]) + 1


def check_branches(resolutions: Sequence[Resolution], n_branches: int, embedding_dim: int, n_samples: int) -> None:
    """Raises ValueError where the branches do not fit the embedding or the clip."""
    if not n_branches:
        raise ValueError("resolutions=[] and whole_clip=False: the network has no branch; give at least one")
    if embedding_dim % n_branches:
        raise ValueError(
            f"embedding_dim={embedding_dim}: {n_branches} branches need a multiple, such as {128 * n_branches}"
        )
    if len({resolution.n_fft for resolution in resolutions}) < len(resolutions):
        raise ValueError(f"resolutions={[tuple(r) for r in resolutions]}: give each n_fft once")
    for n_fft, hop_length in resolutions:
        check_sizes(n_fft=n_fft, hop_length=hop_length)
        if n_samples < n_fft:
            raise ValueError(f"n_samples={n_samples}: shorter than the window n_fft={n_fft}; leave that resolution out")
