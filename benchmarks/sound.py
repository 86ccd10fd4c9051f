"""A data set to measure on: noise in the real layout, as many names as wanted for a few files' room on the disk."""

import os
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
SECONDS = 10
DISTINCT = 60


def make_clips(root: Path, n_clips: int, *, sections: int = 6, seconds: int = SECONDS) -> Path:
    """Training clips of a fan; from the sixty-first on they are links to the first sixty."""
    folder = root / "dev_data" / "fan" / "train"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    made: list[Path] = []
    for number in range(n_clips):
        path = folder / f"section_{number % sections:02d}_source_train_normal_{number // sections:04d}.wav"
        if len(made) < DISTINCT:
            soundfile.write(path, noise(random, seconds), RATE, subtype="PCM_16")
            made.append(path)
        else:
            os.link(made[number % DISTINCT], path)
    return root


def noise(random: np.random.Generator, seconds: int) -> np.ndarray:
    """A hum in noise, (samples,) int16."""
    time = np.arange(seconds * RATE) / RATE
    hum = np.sin(2 * np.pi * random.uniform(80, 900) * time)
    sound = 0.2 * hum + 0.05 * random.standard_normal(len(time))
    return (sound * 32767).astype(np.int16)
