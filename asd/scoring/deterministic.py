"""How features and scores are computed: the same bits however much of the machine is ours."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


MOST_CLIPS = 16  # embedded together: what a network keeps of each is in memory


def compute_each(
    work: Callable[..., Result], *columns: Iterable[Any], device: torch.device, at_most: int | None = None
) -> Iterator[Result]:
    """As `map`: calls that each compute on one thread, as many at a time as PyTorch has threads.

    What is computed of one clip is too small for threads to share, and with one thread each a result does not depend
    on their number. On a GPU the calls follow each other in the caller's thread. Autocast and TF32 that are switched
    on outside do not count.

    Args:
        work: What is called.
        columns: Its arguments.
        device: Where it computes.
        at_most: Calls at a time; None: as many as there are threads.
    """

    def call(*values: Any) -> Result:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            return work(*values)

    n_threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        if device.type != "cpu":
            yield from map(call, *columns)
            return
        n_at_once = min(n_threads, at_most or n_threads)
        with ThreadPoolExecutor(n_at_once, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(call, *columns)
    finally:
        torch.set_num_threads(n_threads)
        torch.set_float32_matmul_precision(precision)
