"""Table 1 of the report, walked."""

import pytest
import torch
from torch import nn

from asd.models.mobilefacenet import TABLE_1, Bottleneck, MobileFaceNet, Row
from tests.support.backbones import multiply_adds, noise

# Table 1 as printed: the size of each row's input, the operator, t, c, n, s.
PRINTED = """
    1024×32×1   conv3x3             - 64  1 2
    512×16×64   depthwise_conv3x3   - 64  1 1
    512×16×64   bottleneck          2 64  5 2
    256×8×64    bottleneck          4 128 1 2
    128×4×128   bottleneck          2 128 6 2
    64×2×128    bottleneck          4 128 1 2
    32×1×128    bottleneck          2 128 2 1
    32×1×128    conv1x1             - 512 1 1
    32×1×512    linear_GDConv       - 512 1 1
    1×1×512     linear_conv1x1      - 128 1 1
"""
LINES = [line.split() for line in PRINTED.strip().splitlines()]
INPUTS = [tuple(int(size) for size in line[0].split("×")) for line in LINES]


@pytest.fixture(scope="module", params=[1024, 512])
def network(request: pytest.FixtureRequest) -> MobileFaceNet:
    torch.manual_seed(0)
    return MobileFaceNet(n_bins=request.param, n_frames=32).eval()


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def test_the_table_is_the_printed_one() -> None:
    rows = [[row.operator.replace(" ", "_"), str(row.t or "-"), str(row.c), str(row.n), str(row.s)] for row in TABLE_1]
    assert rows == [line[1:] for line in LINES]


@torch.no_grad()
def test_the_size_of_every_stage(network: MobileFaceNet) -> None:
    x = noise(1, 1, network.input_shape[1], 32)
    for row, (height, width, channels) in zip(TABLE_1, INPUTS, strict=True):
        height = max(1, height * network.input_shape[1] // 1024)
        assert x.shape == (1, channels, height, width), row
        x = network.network.get_submodule(row.name)(x)
    assert x.shape == (1, 128, 1, 1)


def test_the_repeats_and_strides_of_every_stage(network: MobileFaceNet) -> None:
    for row in TABLE_1:
        stage = network.network.get_submodule(row.name)
        blocks = list(stage) if row.n > 1 else [stage]
        strides = [max(conv.stride[0] for conv in convolutions(block)) for block in blocks]
        assert strides == [row.s] + [1] * (row.n - 1), row
        assert all(conv.stride[0] == conv.stride[1] for conv in convolutions(stage))


def test_bottlenecks_widen_inside_and_end_linearly(network: MobileFaceNet) -> None:
    channels = 64
    for row in TABLE_1[2:7]:
        stage = network.network.get_submodule(row.name)
        for block in stage if row.n > 1 else [stage]:
            expand, depthwise, project = convolutions(block)
            assert (expand.in_channels, expand.out_channels) == (channels, row.t * channels)
            assert depthwise.groups == depthwise.out_channels == row.t * channels
            assert (project.in_channels, project.out_channels) == (row.t * channels, row.c)
            assert len([m for m in block.modules() if isinstance(m, nn.PReLU)]) == 2
            channels = row.c


def test_only_blocks_that_keep_the_shape_are_residual(network: MobileFaceNet) -> None:
    blocks = [m for m in network.modules() if isinstance(m, Bottleneck)]
    # stage1 has five blocks, stage3 six and stage5 two; the first of a stage with stride 2 changes the shape
    assert [b.is_residual for b in blocks] == [False] + [True] * 4 + [False] * 2 + [True] * 5 + [False] + [True] * 2


@torch.no_grad()
def test_a_residual_block_adds_its_input() -> None:
    block = Bottleneck(4, 4, expansion=2, stride=1).eval()
    x = noise(2, 4, 8, 8)
    expected = x + block.project(block.depthwise(block.expand(x)))
    assert torch.equal(block(x), expected)
    block.project.norm.weight.zero_()
    assert torch.equal(block(x), x)


def test_the_gdconv_spans_what_is_left(network: MobileFaceNet) -> None:
    conv = network.network.gdconv.conv
    assert conv.kernel_size == (network.input_shape[1] // 32, 1)
    assert conv.groups == conv.in_channels == conv.out_channels == 512


def test_the_last_two_layers_are_linear(network: MobileFaceNet) -> None:
    for name in network.embedding_parts:
        assert [type(m) for m in network.network.get_submodule(name)] == [nn.Conv2d, nn.BatchNorm2d]
    assert network.embedding_parts == ("gdconv", "embedding")
    assert network.last_block == "stage5.1"


def test_every_convolution_is_normalised_instead_of_biased(network: MobileFaceNet) -> None:
    found = convolutions(network)
    assert len(found) == 2 + 3 * 15 + 3  # 15 bottlenecks of three, two convolutions before and three after
    assert all(conv.bias is None for conv in found)
    assert len([m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]) == len(found)
    assert len([m for m in network.modules() if isinstance(m, nn.PReLU)]) == 2 + 2 * 15 + 1


def test_the_work_tells_that_the_widths_are_right(network: MobileFaceNet) -> None:
    # the facts' 0.745 GFLOP count a multiplication and its addition as two operations: 0.3725e9 multiply-adds
    assert 2 * multiply_adds(network) == pytest.approx(0.745e9 * network.input_shape[1] / 1024, rel=0.01)


@pytest.mark.parametrize(("n_bins", "n_frames", "kernel"), [(100, 32, (4, 1)), (513, 64, (17, 2)), (1, 1, (1, 1))])
@torch.no_grad()
def test_other_sizes_fit_as_well(n_bins: int, n_frames: int, kernel: tuple[int, int]) -> None:
    network = MobileFaceNet(n_bins=n_bins, n_frames=n_frames, embedding_dim=8).eval()
    assert network.network.gdconv.conv.kernel_size == kernel
    assert network(noise(2, 1, n_bins, n_frames)).shape == (2, 8)


TINY = (
    Row("stem", "conv3x3", None, 4, 1, 2),
    Row("stage1", "bottleneck", 2, 8, 1, 2),
    Row("gdconv", "linear GDConv", None, 8, 1, 1),
    Row("embedding", "linear conv1x1", None, 128, 1, 1),
)


def test_another_table_makes_another_network() -> None:
    network = MobileFaceNet(n_bins=64, n_frames=32, embedding_dim=16, table=TINY)
    assert list(network.parts()) == ["stem", "stage1", "gdconv", "embedding"]
    assert network.last_block == "stage1"
    assert network(noise(2, 1, 64, 32)).shape == (2, 16)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ((TINY[0], *TINY[2:]), "needs a bottleneck"),
        (TINY[:-1], "at its end"),
        ((), "no rows"),
        ((TINY[0]._replace(operator="conv7x7"), *TINY[1:]), "conv7x7.*not an operator"),
        ((TINY[0], TINY[1]._replace(t=None), *TINY[2:]), "needs t"),
    ],
)
def test_a_table_that_makes_no_network_is_refused(table: tuple[Row, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MobileFaceNet(n_bins=64, n_frames=32, table=table)
