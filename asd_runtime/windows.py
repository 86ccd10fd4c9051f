"""A stream of sound cut into overlapping windows; none of them spans a gap."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from asd_runtime.framing import Samples


@dataclass(frozen=True, eq=False)
class Block:
    """Samples that follow what came before.

    Attributes:
        samples: (samples,) in steps of 16 bit.
    """

    samples: Samples


@dataclass(frozen=True)
class Gap:
    """Something that interrupts the sound.

    Attributes:
        reason: In words.
        samples: That are missing, as far as it is known.
        start: Position of the first one since the stream began; `cut` fills it in.
    """

    reason: str
    samples: int = 0
    start: int = 0


@dataclass(frozen=True, eq=False)
class Window:
    """Samples that get one score.

    Attributes:
        start: Position of the first sample since the stream began.
        samples: (length,) in steps of 16 bit.
    """

    start: int
    samples: Samples


def cut(stream: Iterable[Block | Gap], *, length: int, hop: int) -> Iterator[Window | Gap]:
    """Windows of `length` samples every `hop` samples, as soon as they are whole; gaps are passed on and start anew.

    Sound between two gaps that is shorter than a window is said.

    Memory is bounded by one window and one block, however long the stream is.

    Raises:
        ValueError: A length or hop below 1.
    """
    if length < 1 or hop < 1:
        raise ValueError(f"a window of {length} samples every {hop}: both must be at least 1")
    kept, start, since = np.empty(0, np.int16), 0, 0  # the position where the sound without a gap began
    for part in chain(stream, [None]):
        if part is None or isinstance(part, Gap):
            if len(kept) and start == since:
                yield Gap(
                    f"{len(kept)} samples without a gap get no score: a window takes {max(length, hop)}", 0, start
                )
            start += len(kept)
            if part is None:
                return
            yield replace(part, start=start)
            kept, since = kept[:0], start + part.samples
            start = since
            continue
        kept = np.concatenate([kept, part.samples])
        while len(kept) >= max(length, hop):
            yield Window(start, kept[:length].copy())
            kept, start = kept[hop:], start + hop
