"""From a finished run of a baseline to the scores of all clips of its machine."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from asd.data.bad_clips import Usable
from asd.data.clips import ClipTable
from asd.data.waveforms import WaveformBank
from asd.inference.baseline import load_baseline
from asd.runs.excluded import write_skipped
from asd.runs.folder import RunFolder
from asd.runs.manifest import sha256, write_manifest
from asd.runs.method import Scorer
from asd.runs.scores import ScoreTable, write_scores
from asd.system.files import replacing
from asd.system.progress import track


def score_baseline(
    run: RunFolder, scorer: Scorer, clips: Usable[WaveformBank], *, device: torch.device, progress: bool
) -> None:
    """Scores all clips of a run's machine, one at a time, and keeps scores and manifest.

    Args:
        run: A finished run.
        scorer: How to score it.
        clips: Those that can be used.
        device: Where the network computes.
        progress: Whether to show a progress bar.
    """
    baseline = load_baseline(run.checkpoint, scorer.settings, device)
    title = f"scoring {run.machine}/{run.system}"
    table, folder = clips.table, run.scores(scorer.name)
    rows = track(range(len(table)), title, show=progress)
    windows = [baseline.score(clips.bank, row, int(table.section[row])) for row in rows]
    write_scores(folder / "scores.csv", ScoreTable.of_clips(table, np.array([scores.mean() for scores in windows])))
    write_windows(folder / "pieces.npz", table, windows)
    write_manifest(
        folder / "manifest.json",
        {
            "scores.csv": folder / "scores.csv",
            "pieces.npz": folder / "pieces.npz",
            **write_skipped(folder, clips.skipped),
        },
        scorer=scorer.settings,
        checkpoint=sha256(run.checkpoint),
        data=run.read_config()["data"]["fingerprint"],
        skipped=len(clips.skipped),
    )


def write_windows(path: Path, table: ClipTable, windows: list[NDArray[np.float64]]) -> None:
    """Keeps the score of each window, laid out as those of pieces; `nearest` has no columns."""
    clip = np.repeat(np.arange(len(table)), [len(scores) for scores in windows])
    nearest = np.empty((len(clip), 0), np.int64)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, score=np.concatenate(windows), clip=clip, nearest=nearest, path=table.path)
