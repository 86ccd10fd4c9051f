"""Anomalous sound detection for machines: ArcFace section classifiers, trained on normal sound alone."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd.runs.trained import TrainedRun


def load_run(path: str | Path, *, scorer: str = "cosine", device: str = "cpu") -> "TrainedRun":
    """A finished, evaluated run that scores any recording: `load_run(RUN_DIR).score("clip.wav")`.

    Args:
        path: outputs/<name>/<machine>/<run>/<phase>.
        scorer: Whose settings to score with: a folder under the run's scores/.
        device: Where the network computes.

    Raises:
        ValueError: The run is not finished or not evaluated.
    """
    from asd.runs.trained import load_trained_run  # torch takes seconds to import; `import asd` does not

    return load_trained_run(Path(path), scorer=scorer, device=device)
