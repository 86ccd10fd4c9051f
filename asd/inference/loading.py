"""A finished run, whatever its method, as a thing that scores recordings."""

from pathlib import Path

from asd.inference.baseline import TrainedBaseline, load_trained_baseline
from asd.inference.trained import TrainedRun, load_trained_run
from asd.runs.folder import RunFolder
from asd.runs.method import is_baseline


def load(path: Path, *, scorer: str | None, device: str) -> TrainedRun | TrainedBaseline:
    """Loads what `asd.load_run` returns.

    Raises:
        ValueError: The run is not finished, or not evaluated with this scorer.
    """
    run = RunFolder(path)
    if run.config.is_file() and is_baseline(run.read_config()):
        return load_trained_baseline(path, scorer=scorer, device=device)
    return load_trained_run(path, scorer="cosine" if scorer is None else scorer, device=device)
