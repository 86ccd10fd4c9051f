"""Anomalous sound detection for machines: ArcFace section classifiers, trained on normal sound alone."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd.inference.baseline import TrainedBaseline
    from asd.inference.trained import TrainedRun

__version__ = "0.1.0"


def load_run(path: str | Path, *, scorer: str | None = None, device: str = "cpu") -> "TrainedRun | TrainedBaseline":
    """A finished, evaluated run that scores any recording: `load_run(RUN_DIR).score("clip.wav")`.

    Args:
        path: outputs/<name>/<machine>/<run>/<phase>.
        scorer: Whose settings to score with: a folder under the run's scores/. None: cosine, or a baseline's only one.
        device: Where the network computes.

    Raises:
        ValueError: The run is not finished or not evaluated.
    """
    from asd.inference.loading import load  # torch takes seconds to import; `import asd` does not

    return load(Path(path), scorer=scorer, device=device)
