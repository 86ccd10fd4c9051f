"""Taking times in turns, so that what disturbs the machine disturbs every side alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm import tqdm

Times = dict[str, list[float]]


def seconds(work: Callable[[], Any]) -> float:
    """How long a call takes, the device's share included."""
    finish_device()
    start = time.perf_counter()
    work()
    finish_device()
    return time.perf_counter() - start


def finish_device() -> None:
    """Waits for the GPU, where one is in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def in_turns(sides: Mapping[str, Callable[[], float]], *, rounds: int, title: str, warm_up: int = 1) -> Times:
    """The seconds that each side reports, one call a round, after a first round that does not count.

    Args:
        sides: Name to a function that does the work and returns its seconds.
        rounds: That count.
        title: Of the progress bar.
        warm_up: Rounds before them; 0 where every side has done its work before.
    """
    times: Times = {name: [] for name in sides}
    for turn in tqdm(range(warm_up + rounds), desc=title, unit="round"):
        for name, side in sides.items():
            taken = side()
            if turn >= warm_up:
                times[name].append(taken)
    return times


def median(times: Times, name: str) -> float:
    """The median of one side's seconds."""
    return statistics.median(times[name])


def ratio(times: Times, of: str, to: str) -> float:
    """How many times longer one side takes than another: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(times[of], times[to], strict=True))
