"""Short WAV files of alarms, within a bounded share of the disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from asd_runtime.framing import FULL_SCALE, Samples

HEADER_BYTES = 44


@dataclass(frozen=True)
class Snippets:
    """Keeps the window that began each alarm.

    Attributes:
        folder: Where they are kept; only files of this pattern are counted and removed: alarm-*.wav.
        budget_bytes: That they may take together; the oldest go first.
        sample_rate: In Hz.
    """

    folder: Path
    budget_bytes: int
    sample_rate: int

    def keep(self, seconds: float, samples: Samples) -> Path | None:
        """Writes a window; None where it alone is larger than the budget."""
        size = 2 * len(samples) + HEADER_BYTES
        if size > self.budget_bytes:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = sorted(self.folder.glob("alarm-*.wav"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        taken = sum(path.stat().st_size for path in kept)
        while kept and taken + size > self.budget_bytes:
            taken -= kept[0].stat().st_size
            kept.pop(0).unlink()
        path = self.folder / f"alarm-{round(seconds * 1000):012d}ms.wav"
        soundfile.write(
            path, samples.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16), self.sample_rate, subtype="PCM_16"
        )
        return path
