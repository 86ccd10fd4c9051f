"""The MobileFaceNet-based network of Table 1, for any size of input."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from asd.models.backbone import Backbone, check_sizes


class Row(NamedTuple):
    """A row of Table 1.

    Attributes:
        name: Of the part, for freezing.
        operator: conv3x3, depthwise conv3x3, bottleneck, conv1x1, linear GDConv or linear conv1x1.
        t: Expansion of a bottleneck: its inner channels are t times its input channels.
        c: Output channels.
        n: How often the operator is repeated.
        s: Stride of the first; the others have stride 1.
    """

    name: str
    operator: str
    t: int | None
    c: int
    n: int
    s: int


# fmt: off
TABLE_1 = (
    #   name         operator             t     c    n  s     input at 1024×32
    Row("stem",      "conv3x3",           None, 64,  1, 2),  # 1024×32×1
    Row("depthwise", "depthwise conv3x3", None, 64,  1, 1),  # 512×16×64
    Row("stage1",    "bottleneck",        2,    64,  5, 2),  # 512×16×64
    Row("stage2",    "bottleneck",        4,    128, 1, 2),  # 256×8×64
    Row("stage3",    "bottleneck",        2,    128, 6, 2),  # 128×4×128
    Row("stage4",    "bottleneck",        4,    128, 1, 2),  # 64×2×128
    Row("stage5",    "bottleneck",        2,    128, 2, 1),  # 32×1×128
    Row("widen",     "conv1x1",           None, 512, 1, 1),  # 32×1×128
    Row("gdconv",    "linear GDConv",     None, 512, 1, 1),  # 32×1×512
    Row("embedding", "linear conv1x1",    None, 128, 1, 1),  # 1×1×512
)
# fmt: on


class MobileFaceNet(Backbone):
    """MobileFaceNet for spectrogram pieces (Report 2.2, Table 1).

    The global depthwise convolution (GDConv) spans what is left of the piece: 32×1 of 1024×32, 16×1 of 512×32.

    Args:
        n_bins: Rows of a piece.
        n_frames: Columns of a piece.
        embedding_dim: Length of the embedding: c of the last row.
        table: Another table, for smaller or larger variants; it ends like Table 1 with the GDConv and a linear conv1x1.

    Raises:
        ValueError: A size below 1, an unknown operator, a table without bottleneck or with another end.
    """

    def __init__(
        self,
        *,
        n_bins: int,
        n_frames: int,
        embedding_dim: int = TABLE_1[-1].c,
        table: Sequence[Row] = TABLE_1,
    ) -> None:
        check_sizes(n_bins=n_bins, n_frames=n_frames, embedding_dim=embedding_dim)
        check_table(table)
        table = [*table[:-1], table[-1]._replace(c=embedding_dim)]
        super().__init__(
            build(table, (n_bins, n_frames)),
            last_block=last_bottleneck(table),
            embedding_parts=tuple(row.name for row in table[-2:]),
            input_shape=(1, n_bins, n_frames),
            embedding_dim=embedding_dim,
        )
        initialise(self)


class ConvNorm(nn.Sequential):
    """Convolution and BatchNorm, then PReLU unless it is linear."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        layers: list[tuple[str, nn.Module]] = [
            ("conv", nn.Conv2d(in_channels, channels, kernel, stride, padding, groups=groups, bias=False)),
            ("norm", nn.BatchNorm2d(channels)),
        ]
        if not linear:
            layers.append(("act", nn.PReLU(channels)))
        super().__init__(OrderedDict(layers))


class Bottleneck(nn.Module):
    """Expand, convolve each channel, project linearly (MobileNetV2); residual where the shape stays the same."""

    def __init__(self, in_channels: int, channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = ConvNorm(in_channels, inner, (1, 1))
        self.depthwise = ConvNorm(inner, inner, (3, 3), stride=stride, padding=1, groups=inner)
        self.project = ConvNorm(inner, channels, (1, 1), linear=True)
        self.is_residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """(pieces, in_channels, height, width) to (pieces, channels, ⌈height / stride⌉, ⌈width / stride⌉)."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.is_residual else y


def build(table: Sequence[Row], size: tuple[int, int]) -> nn.Sequential:
    """The layers of a table for pieces of a size (bins, frames)."""
    layers: list[tuple[str, nn.Module]] = []
    channels = 1
    for row in table:
        blocks = []
        for repeat in range(row.n):
            stride = row.s if repeat == 0 else 1
            blocks.append(build_operator(row, channels, stride, size))
            channels = row.c
            size = (-(-size[0] // stride), -(-size[1] // stride))
        layers.append((row.name, blocks[0] if row.n == 1 else nn.Sequential(*blocks)))
    return nn.Sequential(OrderedDict([*layers, ("flatten", nn.Flatten())]))


def build_operator(row: Row, in_channels: int, stride: int, size: tuple[int, int]) -> nn.Module:
    """One operator of a row; `size` (height, width) is that of its input."""
    match row.operator:
        case "conv3x3":
            return ConvNorm(in_channels, row.c, (3, 3), stride=stride, padding=1)
        case "depthwise conv3x3":
            return ConvNorm(in_channels, row.c, (3, 3), stride=stride, padding=1, groups=in_channels)
        case "bottleneck" if row.t:
            return Bottleneck(in_channels, row.c, expansion=row.t, stride=stride)
        case "conv1x1":
            return ConvNorm(in_channels, row.c, (1, 1), stride=stride)
        case "linear GDConv":
            return ConvNorm(in_channels, row.c, size, groups=in_channels, linear=True)
        case "linear conv1x1":
            return ConvNorm(in_channels, row.c, (1, 1), stride=stride, linear=True)
    raise ValueError(f"{row}: not an operator of Table 1 (and a bottleneck needs t)")


def check_table(table: Sequence[Row]) -> None:
    """Raises ValueError unless the table has a bottleneck and ends like Table 1."""
    operators = [row.operator for row in table]
    if "bottleneck" not in operators or operators[-2:] != ["linear GDConv", "linear conv1x1"]:
        raise ValueError(
            f"a table of {', '.join(operators) or 'no rows'}: it needs a bottleneck, "
            "and linear GDConv and linear conv1x1 at its end"
        )


def last_bottleneck(table: Sequence[Row]) -> str:
    """The name of the part that is the last bottleneck."""
    row = [row for row in table if row.operator == "bottleneck"][-1]
    return row.name if row.n == 1 else f"{row.name}.{row.n - 1}"


def initialise(network: nn.Module) -> None:
    """Draws the convolutions from Kaiming's normal distribution over the fan-out (our choice)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
