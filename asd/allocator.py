"""The memory allocator: on the CPU, the cheapest factor of two there is (docs/decisions.md)."""

import ctypes
import os

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Lets glibc keep freed memory for the next step instead of returning it to the system each time.

    Large tensors also take huge pages, if this is called before torch is imported.

    Returns:
        Whether the C library took the setting; other C libraries do without.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch at its first tensor
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
