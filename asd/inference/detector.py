"""A finished, evaluated run as a detector: how far any recording is from the normal ones."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from asd.config.components import WORD_PATTERN
from asd.config.schema import RunConfig
from asd.config.trust import require_trusted
from asd.data.clip_names import parse_name
from asd.data.decoding import read_clip
from asd.data.waveforms import WaveformBank
from asd.inference.references import StoredReferences, read_references
from asd.methods.method import Extractor, Method, ScorerChoice, build_method, config_of
from asd.runs.checkpoint import load_checkpoint
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done, read_manifest
from asd.scoring.scorer import NO_REFERENCE, ClipPieces, Scorer


@dataclass(frozen=True, eq=False)
class ClipScore:
    """How far a recording is from the normal ones.

    Attributes:
        score: Of the clip; higher = more anomalous.
        pieces: (pieces,) score of each piece, in the order of time.
        seconds: (pieces,) the middle of each piece's first column.
        nearest: The training clip nearest to each piece, relative to the data's root; "" where the method has none.
    """

    score: float
    pieces: NDArray[np.float64]
    seconds: NDArray[np.float64]
    nearest: NDArray[np.str_]


class Detector:
    """Scores any recording with a finished, evaluated run.

    Args:
        run: Its folder.
        method: How it was made.
        sections: Section numbers in the order of the classes.
        extractor: Its trained network.
        choice: How it was scored.
    """

    def __init__(
        self, run: RunFolder, method: Method[RunConfig], sections: list[int], extractor: Extractor, choice: ScorerChoice
    ) -> None:
        self.run = run
        self.method = method
        self.sections = sections
        self.extractor = extractor
        self.choice = choice
        self.references: StoredReferences | None = read_references(run.references) if choice.keeps_references else None
        self.fitted = cache(self._fitted)

    def score(self, path: str | Path, section: int | None = None) -> ClipScore:
        """Scores one recording against the training clips of its section, never against itself.

        Args:
            path: A recording of the sampling rate that the run was trained at.
            section: Its section; None: read from the file's name. A method without sections needs none.

        Raises:
            ValueError: The file is unusable, or its section is not known.
        """
        path = Path(path)
        number = self.find_section(path, section) if self.method.NEEDS_SECTION else self.sections[0]
        samples = read_clip(path, self.method.decoding)
        features = self.extractor.extract(WaveformBank.from_arrays([samples]), 0)
        scorer, rows = self.fitted(number)
        own = self.references.row_of(path) if self.references else NO_REFERENCE
        own_clip = np.flatnonzero(rows == own) if own != NO_REFERENCE else np.array([], np.int64)
        pieces = ClipPieces(
            self.section_name(number),
            self.sections.index(number),
            features,
            np.zeros(len(features), np.int64),
            np.array([True]),
        )
        found = scorer.score(pieces, own_clip if len(own_clip) else None)
        nearest = found.nearest[:, 0] if found.nearest.shape[1] else None
        return ClipScore(
            score=float(found.clips[0]),
            pieces=found.pieces,
            seconds=self.extractor.seconds(len(samples)),
            nearest=np.full(len(features), "")
            if nearest is None or self.references is None
            else self.references.path[rows[nearest]],
        )

    def _fitted(self, section: int) -> tuple[Scorer, NDArray[np.int64]]:
        """The scorer of a section, and which training clips its numbers are."""
        scorer, rows = self.choice.build(), np.array([], np.int64)
        if self.references is not None:
            train, rows = self.references.of_section(section, self.sections.index(section), self.section_name(section))
            scorer.fit(train)
        return scorer, rows

    def section_name(self, section: int) -> str:
        """What messages call a section."""
        return f"{self.run.machine} section {section:02d}"

    def find_section(self, path: Path, section: int | None) -> int:
        """The section given, or the one in the file's name.

        Raises:
            ValueError: The run does not know it, or the name tells none.
        """
        if section is None:
            try:
                section = parse_name(path.name).section
            except ValueError:
                raise ValueError(f"{path}: the name tells no section; give --section, one of {self.sections}") from None
        if section not in self.sections:
            raise ValueError(f"{path}: section {section} is not known to {self.run.path}; it knows {self.sections}")
        return section


def load_detector(path: Path, *, scorer: str | None = None, device: str = "cpu", trust: Iterable[str] = ()) -> Detector:
    """Loads a finished, evaluated run.

    Args:
        path: outputs/<name>/<machine>/<run>/<phase>.
        scorer: Whose settings to score with: a folder under the run's scores/. None: cosine, or the only one.
        device: Where the network computes.
        trust: Packages whose code the run may name.

    Raises:
        ValueError: The run is not finished, or not evaluated with this scorer, or names code of others; or the scorer
            is no name.
    """
    run = RunFolder(path)
    if scorer is not None and not re.fullmatch(WORD_PATTERN, scorer):
        raise ValueError(f"scorer={scorer}: give the name of a folder under {run.path / 'scores'}, such as cosine")
    if not is_done(run):
        raise ValueError(f"{path} is no finished run: give outputs/<name>/<machine>/<run>/<phase> (train.py)")
    method = build_method(config_of(run, trust))
    choice = stored_choice(run, method, scorer, trust)
    checkpoint = load_checkpoint(run.checkpoint)
    extractor = method.extractor(checkpoint, choice.stride, torch.device(device), 32)
    return Detector(run, method, checkpoint["asd"]["sections"], extractor, choice)


def stored_choice(run: RunFolder, method: Method[RunConfig], scorer: str | None, trust: Iterable[str]) -> ScorerChoice:
    """The scorer whose scores are kept in a run.

    Raises:
        ValueError: There is none, or several and none is named.
    """
    folders = sorted((run.path / "scores").glob("*/manifest.json"))
    there = {path.parent.name: manifest for path in folders if (manifest := read_manifest(path)) is not None}
    name = run.path.absolute().parents[2].name
    if not there:
        raise ValueError(f"{run.path} is not scored: python evaluate.py name={name} first")
    chosen = scorer or ("cosine" if "cosine" in there else next(iter(there)))
    if chosen not in there or (scorer is None and chosen != "cosine" and len(there) > 1):
        raise ValueError(f"{run.path} is scored with {', '.join(there)}, not with {scorer}: name one of them")
    settings = there[chosen]["scorer"]
    if "_target_" in settings:
        require_trusted(settings["_target_"], f"{run.scores(chosen) / 'manifest.json'}: scorer", trust)
    return method.choose(chosen, settings)
