"""Memory that runs out: how it shows, and room kept back for the last words of a process."""

import errno
import gc
import traceback

WORDS = ("can't allocate memory", "cannot allocate memory", "out of memory", "failed to map segment", "std::bad_alloc")
RESERVE = 16 << 20  # bytes

_reserve = bytearray()


def keep_reserve() -> None:
    """Keeps some memory back, so that a process that runs out of it can still write why it failed."""
    global _reserve
    _reserve = bytearray(RESERVE)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that there is no more memory; Python, torch and the system differ."""
    if error is None:
        return False
    said = str(error).lower()
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, (RuntimeError, ImportError, OSError)) and any(word in said for word in WORDS):
        return True
    return is_out_of_memory(error.__cause__)


def make_room(error: BaseException) -> None:
    """Gives up the reserve and what the frames of a failure still hold."""
    global _reserve
    _reserve = bytearray()
    traceback.clear_frames(error.__traceback__)
    gc.collect()
