"""A trained run as a thing that embeds and scores sound."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from asd.config.rules import WORD
from asd.data.clips import parse_name
from asd.data.decoding import read_waveform
from asd.data.waveforms import WaveformBank
from asd.features.spectrogram import (
    min_samples,
    n_columns,
    piece_columns,
)
from asd.inference.embedder import Embedder, load_embedder
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done, read_manifest
from asd.scoring.neighbours import (
    NO_REFERENCE,
    References,
    ScorerSettings,
    score_clips,
)


@dataclass(frozen=True, eq=False)
class StoredReferences:
    """The training pieces of all sections of a run, as references.npz keeps them.

    Attributes:
        unit: (pieces, embedding_dim) unit embeddings, float32.
        clip: (pieces,) row of `path`.
        path: (clips,) of the training clips, relative to the data's root.
        section: (clips,) section numbers.
        is_source: (clips,) whether the clip is of the source domain.
    """

    unit: NDArray[np.float32]
    clip: NDArray[np.int64]
    path: NDArray[np.str_]
    section: NDArray[np.int64]
    is_source: NDArray[np.bool_]

    def of_section(self, section: int, machine: str) -> References:
        """The references of one section; their `clip` are rows of `path`."""
        rows = self.section[self.clip] == section
        clip = self.clip[rows]
        return References.from_arrays(f"{machine} section {section:02d}", self.unit[rows], clip, self.is_source[clip])

    def row_of(self, path: Path) -> int:
        """The row of a recording that is itself a training clip, else NO_REFERENCE."""
        absolute = path.absolute().as_posix()
        rows = [row for row, known in enumerate(self.path) if absolute.endswith(f"/{known}")]
        return rows[0] if rows else NO_REFERENCE


def read_references(path: Path) -> StoredReferences:
    """Reads references.npz, without executing anything in it.

    Raises:
        ValueError: The file holds anything else.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return StoredReferences(**arrays)
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be read as references ({error}): run evaluate.py with overwrite=true"
        ) from None


@dataclass(frozen=True, eq=False)
class ClipScore:
    """How far a recording lies from the normal ones.

    Attributes:
        score: Of the clip; higher = more anomalous.
        pieces: (pieces,) score of each piece, in the order of time.
        seconds: (pieces,) the middle of each piece's first column.
        nearest: The training clip nearest to each piece, relative to the data's root.
    """

    score: float
    pieces: NDArray[np.float64]
    seconds: NDArray[np.float64]
    nearest: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A finished, evaluated run: scores any recording."""

    run: RunFolder
    embedder: Embedder
    references: StoredReferences
    scorer: ScorerSettings
    stride: int

    def score(self, path: str | Path, section: int | None = None) -> ClipScore:
        """Scores one recording against the training clips of its section, never against itself.

        Args:
            path: A WAV file of the sampling rate that the run was trained at.
            section: Its section; None: read from the file's name.

        Raises:
            ValueError: The file is unusable, or its section is not known.
        """
        path = Path(path)
        references = self.references.of_section(self.find_section(path, section), self.run.machine)
        settings = self.embedder.settings
        samples = read_waveform(path, sample_rate=settings.sample_rate, min_samples=min_samples(settings))
        unit = self.embedder.embed(WaveformBank.from_arrays([samples]), 0, stride=self.stride)
        own = np.array([self.references.row_of(path)])
        scores = score_clips(unit, np.zeros(len(unit), np.int64), references, self.scorer, own_clip=own)
        columns = piece_columns(n_columns(len(samples), settings), settings.n_frames, self.stride)
        return ClipScore(
            score=float(scores.clips[0]),
            pieces=scores.pieces,
            seconds=np.array(columns) * settings.hop_length / settings.sample_rate,
            nearest=self.references.path[scores.nearest[:, 0]],
        )

    def find_section(self, path: Path, section: int | None) -> int:
        """The section given, or the one in the file's name, if the run knows it."""
        return section_of(path, section, self.embedder.sections, self.run)


def section_of(path: Path, section: int | None, known: list[int], run: RunFolder) -> int:
    """The section given, or the one in the file's name, if it is one of those that a run knows."""
    if section is None:
        try:
            section = parse_name(path.name).section
        except ValueError:
            raise ValueError(f"{path}: the name tells no section; give --section, one of {known}") from None
    if section not in known:
        raise ValueError(f"{path}: section {section} is not known to {run.path}; it knows {known}")
    return section


def load_trained_run(path: Path, *, scorer: str, device: str) -> TrainedRun:
    """Loads what `asd.load_run` returns.

    Raises:
        ValueError: The run is not finished, or not evaluated with this scorer.
    """
    run = RunFolder(path)
    if not WORD.allows(scorer):
        raise ValueError(f"scorer={scorer}: the name of a folder under {run.path / 'scores'}, {WORD}")
    if not is_done(run):
        raise ValueError(f"{path} is no finished run: give outputs/<name>/<machine>/<run>/<phase> (train.py)")
    manifest = read_manifest(run.scores(scorer) / "manifest.json")
    if manifest is None:
        name = path.absolute().parents[2].name
        raise ValueError(f"{path} is not scored with scorer {scorer}: python evaluate.py name={name} first")
    settings = dict(manifest["scorer"])
    stride = settings.pop("stride")
    embedder = load_embedder(run.checkpoint, torch.device(device))
    return TrainedRun(run, embedder, read_references(run.references), ScorerSettings(**settings), stride)
