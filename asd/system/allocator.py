"""The memory allocator: on the CPU, the cheapest factor of two there is (docs/decisions.md)."""

import ctypes

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
NEVER = -1


def keep_freed_memory() -> bool:
    """Lets glibc keep freed memory for the next step instead of returning it to the system each time.

    Returns:
        Whether the C library took the setting; other C libraries do without.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))
