"""Sums over whole feature maps, a block of rows at a time, in compiled networks on the CPU.

BatchNorm and PReLU sum each channel over all pieces and pixels. The compiler walks down one strip of channels after the
other: with channels last each walk touches every row of the map, which is read from memory again and again. Summed in
blocks that stay in a core's cache, it is read once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten

BLOCK_BYTES = 2**15  # of a block: the first cache of a core
SMALLEST_BYTES = 2**18  # of a map: smaller ones stay in the cache as they are
OVER = [0, 2, 3]  # all but the channels


class BlockedSums(CustomGraphPass):
    """Rewrites sums and variances in a graph that torch.compile has made; the result is the same but for rounding."""

    def __call__(self, graph: fx.Graph) -> None:
        """Replaces what `rows_of_block` finds worth it."""
        nodes: list[Any] = list(graph.nodes)  # what a node's arguments are depends on the operator
        for node in nodes:
            if node.target in BLOCKED and is_channel_sum(node):
                n_rows = rows_of_block(node.args[0].meta["val"])
                if n_rows > 1:
                    replace(graph, node, n_rows)

    def uuid(self) -> Any:
        """For the compiler's cache."""
        return get_hash_for_files((__file__,))


def is_channel_sum(node: Any) -> bool:
    """Whether a sum or variance runs over all but the channels of a float32 map on the CPU, channels last."""
    value, dims = node.args[0].meta["val"], node.args[1] if len(node.args) > 1 else None
    return (
        value.dim() == 4
        and value.device.type == "cpu"
        and value.dtype == torch.float32
        and value.is_contiguous(memory_format=torch.channels_last)
        and isinstance(dims, Sequence)
        and sorted(dim % 4 for dim in dims) == OVER
        and node.kwargs.get("dtype") in (None, torch.float32)
        and (node.target is aten.sum.dim_IntList or node.kwargs.get("correction") == 0)
    )


def rows_of_block(value: Tensor) -> int:
    """How many rows (pixels of a piece, all their channels) make a block; 1 where blocks are not worth it.

    Args:
        value: (pieces, channels, height, width), channels last.
    """
    pieces, channels, height, width = value.shape
    n_rows = pieces * height * width
    if n_rows * channels * 4 < SMALLEST_BYTES:
        return 1
    return max(rows for rows in range(1, max(1, BLOCK_BYTES // (channels * 4)) + 1) if n_rows % rows == 0)


def replace(graph: fx.Graph, node: Any, n_rows: int) -> None:
    """Puts the blocked sum in the place of a node."""
    source, blocked, kept = node.args[0], BLOCKED[node.target], node.meta["val"]
    shape = (kept[0] if isinstance(kept, (tuple, list)) else kept).shape
    traced = make_fx(lambda x: blocked(x, n_rows, shape))(source.meta["val"])
    with graph.inserting_before(node):
        found: Any = graph.graph_copy(traced.graph, {next(iter(traced.graph.nodes)): source})
    if isinstance(found, fx.Node):
        node.replace_all_uses_with(found)
    else:
        for user in list(node.users):
            user.replace_all_uses_with(found[user.args[1]])
            graph.erase_node(user)
    graph.erase_node(node)


def blocked_sum(x: Tensor, n_rows: int, shape: torch.Size) -> Tensor:
    """The sum of each channel.

    Args:
        x: (pieces, channels, height, width), channels last.
        n_rows: Of a block; they divide the rows without rest.
        shape: Of the result.
    """
    return sum_rows(in_blocks(x, n_rows)).reshape(shape)


def blocked_variance_and_mean(x: Tensor, n_rows: int, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Variance (over n) and mean of each channel; arguments as for `blocked_sum`.

    The sums are those of the distance from the first block's mean, so that a large mean takes no digits away.
    """
    blocks = in_blocks(x, n_rows)
    n = blocks.shape[0] * n_rows
    near = blocks[0].mean(dim=0)
    distance = blocks - near
    offset = sum_rows(distance) / n
    variance = (sum_rows(distance * distance) / n - offset * offset).clamp_min(0)
    return variance.reshape(shape), (near + offset).reshape(shape)


def in_blocks(x: Tensor, n_rows: int) -> Tensor:
    """(pieces, channels, height, width), channels last, as (blocks, n_rows, channels)."""
    return x.permute(0, 2, 3, 1).reshape(-1, n_rows, x.shape[1])


def sum_rows(blocks: Tensor) -> Tensor:
    """(blocks, n_rows, channels) to (channels,): within the blocks first."""
    return blocks.sum(dim=1).sum(dim=0)


BLOCKED: dict[Any, Callable[..., Any]] = {
    aten.sum.dim_IntList: blocked_sum,
    aten.var_mean.correction: blocked_variance_and_mean,
}
