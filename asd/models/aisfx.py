"""CNN for sound effects with the weights of the `aisfx` wheel (Ma and Lerch, ISMIR 2022; weights CC BY 4.0).

The wheel pins old packages that exclude ours, so it cannot be an extra: install it with `pip install --no-deps
aisfx==0.1.2`. Nothing of it is imported; its checkpoint is read as data into this network. The input is
asd.features.aisfx.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asd.models.backbone import Backbone, check_sizes
from asd.system.arrays import load_tensors

WIDTH = 64  # channels of the first block; doubled by each one after it
N_BLOCKS = 4
EMBEDDING_DIM = WIDTH * 2 ** (N_BLOCKS - 1)
PREFIX = "embedding_net.conv_block"  # of the weights that are ours in the checkpoint; the rest are its classifiers


class Aisfx(Backbone):
    """Four blocks of two 3×3 convolutions, then the mean over frequency and the maximum over time: 512-d.

    Parts: block1 … block4. There is no layer behind the last block, so `freeze=until_last_block` trains block4.

    Args:
        n_bins: Mel bands.
        n_frames: Columns of a piece; at least 8.
        embedding_dim: 512.
        pretrained: Whether it starts from the weights of the installed `aisfx` package, otherwise at random.

    Raises:
        ValueError: A size out of range, the package is not installed, or its checkpoint is another one.
    """

    def __init__(
        self, *, n_bins: int, n_frames: int, embedding_dim: int = EMBEDDING_DIM, pretrained: bool = True
    ) -> None:
        check_sizes(n_bins=n_bins, n_frames=n_frames, embedding_dim=embedding_dim)
        if embedding_dim != EMBEDDING_DIM:
            raise ValueError(f"embedding_dim={embedding_dim}: this network's embedding has {EMBEDDING_DIM}")
        if min(n_bins, n_frames) < 2 ** (N_BLOCKS - 1):
            raise ValueError(f"pieces of {n_bins}×{n_frames}: both sides must be at least {2 ** (N_BLOCKS - 1)}")
        super().__init__(
            Network(),
            last_block=f"block{N_BLOCKS}",
            embedding_parts=(),
            input_shape=(1, n_bins, n_frames),
            embedding_dim=embedding_dim,
        )
        if pretrained:
            self.network.load_state_dict(read_weights(checkpoint_path()))

    def feature_map(self, pieces: Tensor) -> Tensor:
        """The last block's output, (pieces, 512, bins / 8, frames / 8)."""
        found: Tensor = self.network.feature_map(pieces)  # type: ignore[operator]
        return found


class Network(nn.Module):
    """The layers, named as in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        channels = [1, *(WIDTH * 2**number for number in range(N_BLOCKS))]
        for number in range(1, N_BLOCKS + 1):
            setattr(self, f"block{number}", Block(channels[number - 1], channels[number], is_last=number == N_BLOCKS))

    def forward(self, x: Tensor) -> Tensor:
        """(pieces, 1, bins, frames) to (pieces, 512)."""
        return self.feature_map(x).mean(dim=2).amax(dim=2)

    def feature_map(self, x: Tensor) -> Tensor:
        """(pieces, 1, bins, frames) to (pieces, 512, bins / 8, frames / 8)."""
        for number in range(1, N_BLOCKS + 1):
            x = getattr(self, f"block{number}")(x)
        return x


class Block(nn.Module):
    """Two convolutions with BatchNorm and ReLU; all but the last block halve both sides by their maximum."""

    def __init__(self, before: int, channels: int, *, is_last: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.pool = nn.Identity() if is_last else nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(pieces, before, bins, frames) to (pieces, channels, bins / 2, frames / 2)."""
        x = self.bn1(self.conv1(x)).relu()
        return self.pool(self.bn2(self.conv2(x)).relu())


def checkpoint_path() -> Path:
    """The checkpoint in the installed package, which is found but not imported.

    Raises:
        ValueError: The package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec("aisfx")
    folders = (spec.submodule_search_locations if spec else None) or []
    found = [path for path in (Path(folder, "models", "checkpoint.pth") for folder in folders) if path.is_file()]
    if not found:
        raise ValueError(
            "backbone=aisfx needs the pretrained weights: pip install --no-deps aisfx==0.1.2 (25 MB, CC BY 4.0), "
            "or start from random ones with backbone.pretrained=false"
        )
    return found[0]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The network's weights from the checkpoint, a pair of all weights and a table of data sets.

    Its pickle names NumPy's integer scalars and their type beside torch's own: these are allowed and nothing else, so
    that reading it executes no code. Kernels are turned: there, rows are time; here, frequency.

    Raises:
        ValueError: The file is missing, names something else, or holds other weights.
    """
    scalar: Any = np.int64(0).__reduce__()[0]  # moved in NumPy 2; the file has its old name
    allowed: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), np.dtype, np.dtypes.Int64DType]
    try:
        with torch.serialization.safe_globals(allowed):
            weights, _ = load_tensors(path)
        own = {name.removeprefix(PREFIX): value for name, value in weights.items() if name.startswith(PREFIX)}
        turned = {name: value.mT.contiguous() if value.ndim == 4 else value for name, value in own.items()}
        weights = {f"block{name}": value for name, value in turned.items()}
        Network().load_state_dict(weights)
    except Exception as error:
        raise ValueError(f"{path}: not the checkpoint of aisfx 0.1.2 ({error})") from error
    return weights
