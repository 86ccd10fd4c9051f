"""Ten times the clips: what grows with them, and what must not."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.sound import make_clips


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """`first_batch_s`, `anon_mb_<n>_clips`, decode times, batches a second with 0, 1 and 2 workers."""
    few, many = (12, 60) if options.tiny else (600, 6000)
    figures: dict[str, float | str] = {}
    for n_clips in (few, many):
        print(f"{n_clips} clips of 10 s: decoding, then opening again, each in a process of its own")
        with tempfile.TemporaryDirectory() as folder:
            make_clips(Path(folder) / "data", n_clips)
            cold = child(folder, workers=0)
            warm = [child(folder, workers=0) for _ in range(1 if options.tiny else options.rounds)]
            figures[f"decode_s_{n_clips}_clips"] = cold["first_batch_s"]
            for name in ("first_batch_s", "anon_mb"):
                figures[f"{name}_{n_clips}_clips"] = statistics.median(run[name] for run in warm)
            for workers in (2,) if options.tiny else (0, 1, 2):
                figures[f"batches_per_s_{n_clips}_clips_{workers}_workers"] = child(folder, workers)["batches_per_s"]
    figures["first_batch_s"] = figures[f"first_batch_s_{many}_clips"]
    figures["anon_growth"] = float(figures[f"anon_mb_{many}_clips"]) / float(figures[f"anon_mb_{few}_clips"])
    return figures


def child(folder: str, workers: int) -> dict[str, float]:
    """What a fresh process sees."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", folder, str(workers)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def first_batches(folder: str, workers: int) -> dict[str, float]:
    """The child's side: imports, then the clock, then batches."""
    from benchmarks.network import ON_CPU, compose, open_data

    places = [f"data.root={folder}/data", f"data.cache={folder}/cache"]
    method = compose("compile=false", *ON_CPU, *places, f"data.workers={workers}")
    start = time.perf_counter()
    _, data = open_data(method)
    batches = iter(data.train_dataloader())
    data.on_after_batch_transfer(next(batches), 0)
    first = time.perf_counter() - start
    n_more, start = min(10, data.plan.n_steps_per_epoch - 1), time.perf_counter()
    for _ in range(n_more):
        data.on_after_batch_transfer(next(batches), 0)
    return {
        "first_batch_s": first,
        "anon_mb": anonymous_mb(),
        "batches_per_s": n_more / (time.perf_counter() - start) if n_more else 0.0,
    }


def anonymous_mb() -> float:
    """Memory of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    print(json.dumps(first_batches(sys.argv[1], int(sys.argv[2]))))
