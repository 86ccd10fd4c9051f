"""The allocator's setting changes speed, not results."""

import subprocess
import sys

import pytest

CODE = """
import time, resource, torch
from asd.system.allocator import keep_freed_memory
torch.set_num_threads(1)
keep = {keep}
print(keep_freed_memory() if keep else None)
for _ in range(20):
    torch.ones(50_000_000 // 4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_used_again() -> None:
    faults = {}
    for keep in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", CODE.format(keep=keep)], capture_output=True, text=True, check=True
        )
        taken, count = done.stdout.split()
        faults[keep] = int(count)
        assert taken == str(True if keep else None)
    assert faults[True] < faults[False] - 100_000  # 20 × 12,207 pages, mapped once instead of each time
