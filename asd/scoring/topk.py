"""The largest of many values, always the same ones."""

import torch
from torch import Tensor

GROUP = 64  # columns searched as one


def largest_of_many(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As `largest`, for rows much longer than k: one pass over them, then only the groups that can matter.

    The k largest lie in the k groups of columns with the largest maxima; of equal maxima the first groups are taken, so
    that of equal values the first columns are still found.
    """
    n_groups, rest = divmod(rows.shape[1], GROUP)
    if n_groups <= k:
        return largest(rows, k)
    grouped = rows[:, : n_groups * GROUP].unflatten(1, (n_groups, GROUP))
    best = largest(grouped.amax(dim=2), k)[1].sort(dim=1).values
    columns = (best.unsqueeze(2) * GROUP + torch.arange(GROUP, device=rows.device)).flatten(1)
    if rest:
        tail = torch.arange(n_groups * GROUP, rows.shape[1], device=rows.device)
        columns = torch.cat([columns, tail.expand(len(rows), -1)], dim=1)
    found, places = largest(rows.gather(1, columns), k)
    return found, columns.gather(1, places)


def largest(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, largest first, and their columns; of equal ones the first (`topk` takes any).

    Args:
        rows: (rows, columns).
        k: At most the number of columns.

    Returns:
        Values (rows, k) and columns (rows, k).
    """
    found, columns = rows.topk(min(k + 1, rows.shape[1]), dim=1)
    if not (found[:, 1:] == found[:, :-1]).any():
        return found[:, :k], columns[:, :k]
    smallest_kept = found[:, k - 1 : k]
    above, equal = rows > smallest_kept, rows == smallest_kept
    n_equal_kept = k - above.sum(dim=1, keepdim=True)
    kept = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= n_equal_kept))
    columns = kept.nonzero()[:, 1].view(-1, k)
    found, order = rows.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return found, columns.gather(1, order)
