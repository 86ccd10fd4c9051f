"""Scores machine sound with an exported detector: numpy, onnxruntime and soundfile, no torch."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_runtime.detector import Detector

__version__ = "0.1.0"


def load(path: str | Path, *, threads: int = 1) -> "Detector":
    """An exported detector that scores arrays and files: `load("fan.asd").score(samples, 16000)`.

    Args:
        path: What `asd export` wrote.
        threads: Threads of the network; they sleep while they wait, so that other programs are not slowed down.

    Raises:
        ValueError: The file is missing, damaged or no exported detector.
    """
    from asd_runtime.detector import Detector
    from asd_runtime.model_file import read_model

    return Detector(read_model(Path(path)), threads=threads)
