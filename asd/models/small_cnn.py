"""A backbone of a few thousand weights, for smoke runs and tests. Not in the report."""

from collections import OrderedDict

from torch import nn

from asd.models.backbone import Backbone, check_sizes

CHANNELS = (8, 16, 16)
STRIDE = (4, 2)  # a piece is much higher than it is wide


class SmallCnn(Backbone):
    """Three strided convolutions, a convolution over the whole rest, a linear layer.

    Args:
        n_bins: Rows of a piece.
        n_frames: Columns of a piece.
        embedding_dim: Length of the embedding.

    Raises:
        ValueError: A size below 1.
    """

    def __init__(self, *, n_bins: int, n_frames: int, embedding_dim: int) -> None:
        check_sizes(n_bins=n_bins, n_frames=n_frames, embedding_dim=embedding_dim)
        layers: list[tuple[str, nn.Module]] = []
        size, channels = (n_bins, n_frames), 1
        for number, wider in enumerate(CHANNELS, start=1):
            layers.append((f"block{number}", Block(nn.Conv2d(channels, wider, 3, STRIDE, 1, bias=False))))
            size, channels = (-(-size[0] // STRIDE[0]), -(-size[1] // STRIDE[1])), wider
        layers += [
            ("pool", nn.Conv2d(channels, channels, size, groups=channels)),
            ("flatten", nn.Flatten()),
            ("embedding", nn.Linear(channels, embedding_dim)),
        ]
        super().__init__(
            nn.Sequential(OrderedDict(layers)),
            last_block=f"block{len(CHANNELS)}",
            embedding_parts=("pool", "embedding"),
            input_shape=(1, n_bins, n_frames),
            embedding_dim=embedding_dim,
        )


class Block(nn.Sequential):
    """A convolution, BatchNorm, ReLU."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(OrderedDict(conv=conv, norm=nn.BatchNorm2d(conv.out_channels), act=nn.ReLU()))
