"""Anomalous sound detection for machines: detectors that learn from normal sound alone."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asd.inference.detector import Detector
    from asd.inference.quick import QuickMethod

__version__ = "0.1.0"
__all__ = ["QuickMethod", "load_run"]


def load_run(
    path: str | Path, *, scorer: str | None = None, device: str = "cpu", trust: Iterable[str] = ()
) -> "Detector":
    """A finished, evaluated run that scores any recording: `load_run(RUN_DIR).score("clip.wav")`.

    It has `score`, `embed` and `explain`, of files and arrays (asd/inference/detector.py).

    Args:
        path: outputs/<name>/<machine>/<run>/<phase>.
        scorer: Whose settings to score with: a folder under the run's scores/. None: cosine, or the only one.
        device: Where the network computes.
        trust: Packages whose code the run may name (docs/security.md).

    Raises:
        ValueError: The run is not finished or not evaluated.
    """
    from asd.inference.run_detector import load_detector  # torch takes seconds to import; `import asd` does not

    return load_detector(Path(path), scorer=scorer, device=device, trust=trust)


def __getattr__(name: str) -> Any:
    """`asd.QuickMethod`, imported when it is asked for."""
    if name == "QuickMethod":
        from asd.inference.quick import QuickMethod

        return QuickMethod
    raise AttributeError(f"module 'asd' has no attribute {name!r}")
