"""How scores are computed: in full float32, and the same bits however much of the machine is ours."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def compute_each(work: Callable[..., Result], *columns: Iterable[Any], device: torch.device) -> list[Result]:
    """As `map`: calls that each compute on one thread, as many at a time as PyTorch has threads.

    The products of one clip are too small for threads to share, and with one thread each a result does not depend
    on their number. On a GPU the calls follow each other. Autocast and TF32 that are switched on outside do not count.
    """

    def call(*values: Any) -> Result:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            return work(*values)

    n_threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    n_at_once = n_threads if device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(n_at_once, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(call, *columns))
    finally:
        torch.set_num_threads(n_threads)
        torch.set_float32_matmul_precision(precision)
