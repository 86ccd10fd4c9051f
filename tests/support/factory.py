"""Tiny data sets in the real layout, for tests that are not about how machines sound."""

from pathlib import Path

import numpy as np
from scipy.io import wavfile

from asd.data.bad_clips import refuse_excluded
from asd.data.clips import ClipTable
from asd.data.readers.dcase import DcaseReader

RATE = 16_000


def scan_machine(root: Path, machine: str) -> ClipTable:
    """The clips of a machine in the layout of DCASE, all of which must fit."""
    reading = DcaseReader(root).read(machine)
    refuse_excluded(reading)
    return reading.table


def tone(frequency: float, seconds: float, seed: int) -> np.ndarray:
    """A tone in noise, int16 (samples,)."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * frequency * time) + 0.05 * random.standard_normal(len(time))
    return (sound * 32767).astype(np.int16)


def make_machine(
    root: Path, machine: str = "fan", *, sections: int = 2, source: int = 4, target: int = 2, test: int = 2,
    seconds: float = 1.5,
) -> Path:  # fmt: skip
    """A machine whose sections hum at different frequencies, its anomalies a third higher."""
    seed = 0
    for section in range(sections):
        base = 400 * (1 + section)
        for domain, shift, n_train in (("source", 1.0, source), ("target", 1.05, target)):
            names = [("train", f"train_normal_{i:04d}", 1.0) for i in range(n_train)]
            names += [(f"{domain}_test", f"test_normal_{i:04d}", 1.0) for i in range(test)]
            names += [(f"{domain}_test", f"test_anomaly_{i:04d}", 1.3) for i in range(test)]
            for folder, name, fault in names:
                path = root / "dev_data" / machine / folder / f"section_{section:02d}_{domain}_{name}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                wavfile.write(
                    path, RATE, tone(base * shift * fault, seconds, seed)
                )  # soundfile would wait for the disk
                seed += 1
    return root
