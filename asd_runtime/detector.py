"""An exported detector: waveform → pieces → network → scores → verdict."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_runtime.back_ends import back_end_scores
from asd_runtime.framing import Samples, first_columns, min_samples, raw_windows
from asd_runtime.logmel import clip_windows, pooled_log_mel
from asd_runtime.model_file import (
    BackEndScoring,
    Domain,
    LogMelInput,
    LogOddsScoring,
    Model,
    NeighbourScoring,
    PooledInput,
    ReconstructionScoring,
    Section,
    WindowInput,
)
from asd_runtime.network import Network
from asd_runtime.scoring import NeighbourSearch, PieceScores, log_odds, squared_errors, unit_length
from asd_runtime.spectrogram import clip_pieces
from asd_runtime.verdict import DEFAULT_RULE, ClipScore, Threshold, find_threshold, share_below
from asd_runtime.waveform import read_recording, to_steps


class Detector:
    """Scores arrays and files with an exported model.

    Args:
        model: What the file holds.
        threads: Threads of the network.
    """

    def __init__(self, model: Model, *, threads: int = 1) -> None:
        self.model = model
        self.network = Network(model.network, threads=threads) if model.network else None
        self.searches: dict[int, NeighbourSearch] = {}

    @property
    def sample_rate(self) -> int:
        """Of the sound that it takes, in Hz."""
        return self.model.input.sample_rate

    @property
    def piece_step(self) -> int | None:
        """Samples from one piece of a clip to the next; None where windows of a stream share no piece.

        Windows of a stream that are so many samples apart, or a multiple of it, share pieces, which are embedded once.
        """
        settings = self.model.input
        if isinstance(settings, PooledInput) or isinstance(self.model.scoring, ReconstructionScoring):
            return None
        return settings.stride * settings.hop_length

    def score(
        self,
        samples: NDArray[np.generic],
        sample_rate: int,
        section: int | None = None,
        *,
        threshold: str = DEFAULT_RULE,
        domain: Domain = "both",
        hop_seconds: float | None = None,
    ) -> ClipScore:
        """Scores one recording.

        Args:
            samples: (samples,) int16, or floats of full scale 1.
            sample_rate: In Hz.
            section: Whose normal sound it is compared with; may be absent where the model has one section.
            threshold: A rule, see `asd_runtime.verdict.RULES`.
            domain: Whose training clips the verdict counts.
            hop_seconds: From one score to the next, which the threshold per-day needs.

        Raises:
            ValueError: Sound of another rate, too short, silent or no sound; an unknown section, domain or rule.
        """
        known = self.find_section(section)
        limit = find_threshold(known, threshold, domain=domain, hop_seconds=hop_seconds)
        return self.judge(self.checked(samples, sample_rate), known, limit, domain)

    def score_file(self, path: str | Path, section: int | None = None, **settings: Any) -> ClipScore:
        """Scores one recording from a file; settings and errors as of `score`."""
        samples, rate = read_recording(Path(path))
        try:
            return self.score(samples, rate, section, **settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def find_section(self, section: int | None) -> Section:
        """The section of a number, or the only one.

        Raises:
            ValueError: It is not known, or not the only one.
        """
        known = sorted(self.model.sections)
        if section is None and len(known) > 1:
            raise ValueError(f"name the section, one of {known}")
        number = known[0] if section is None else section
        if number not in self.model.sections:
            raise ValueError(f"section {number} is not in this model; it knows {known}")
        return self.model.sections[number]

    def checked(self, samples: NDArray[np.generic], sample_rate: int) -> Samples:
        """The samples, if they can be scored.

        Raises:
            ValueError: They cannot.
        """
        if sample_rate != self.sample_rate:
            raise ValueError(f"{sample_rate} Hz, expected {self.sample_rate} Hz. Nothing is resampled here")
        waveform, least = to_steps(samples), min_samples(self.model.input)
        if len(waveform) < least:
            raise ValueError(f"too short, {len(waveform)} samples; one piece needs {least}")
        if waveform.min() == waveform.max():
            raise ValueError(f"silent; all of its {len(waveform)} samples are {waveform[0]}")
        return waveform

    def judge(self, waveform: Samples, section: Section, threshold: Threshold, domain: Domain) -> ClipScore:
        """The score and verdict of checked samples."""
        settings = self.model.input
        pieces = self.piece_scores(waveform, section)
        score = float(self.summary(pieces.score))
        known = np.append(section.clips, "")  # row -1: no training clip
        return ClipScore(
            score=score,
            section=section.number,
            share_below=share_below(section, score, domain),
            threshold=threshold,
            is_anomalous=score > threshold.value,
            pieces=pieces.score,
            seconds=first_columns(len(waveform), settings) * settings.hop_length / settings.sample_rate,
            nearest=known[pieces.nearest],
        )

    @property
    def summary(self) -> Callable[[NDArray[np.float64]], np.float64]:
        """What makes one clip's score of its pieces' scores."""
        return np.max if getattr(self.model.scoring, "aggregation", "mean") == "max" else np.mean

    def piece_scores(self, waveform: Samples, section: Section) -> PieceScores:
        """The scores of the pieces of a clip."""
        scoring = self.model.scoring
        if isinstance(scoring, NeighbourScoring):
            return self.search(section).score(np.concatenate(list(self.embeddings(waveform))))
        if isinstance(scoring, BackEndScoring):
            return back_end_scores(np.concatenate(list(self.embeddings(waveform))), scoring, section.state)
        return self.window_scores(waveform, section, scoring)

    def window_scores(
        self, waveform: Samples, section: Section, scoring: ReconstructionScoring | LogOddsScoring
    ) -> PieceScores:
        """The scores of log-mel windows, which are compared with no training clip."""
        groups, network = self.windows(waveform), self.network
        assert network is not None
        if isinstance(scoring, ReconstructionScoring):
            flat = (group.reshape(len(group), -1) for group in groups)
            scores = [squared_errors(group, network(group.astype(np.float64))) for group in flat]
        else:
            images = (image[None] for group in groups for image in group)
            scores = [log_odds(network.remember(image), section.class_index, scoring.formula) for image in images]
        found = np.concatenate(scores)
        return PieceScores(found, np.full(len(found), -1))

    def embeddings(self, waveform: Samples) -> Iterator[NDArray[np.float32]]:
        """The embedding of each piece, (1, dim); one at a time, which is fastest and gives the same bits anywhere.

        Those of a network have unit length.
        """
        settings = self.model.input
        if isinstance(settings, PooledInput):
            assert self.model.mel_filters is not None
            yield pooled_log_mel(waveform, settings, self.model.mel_filters)
            return
        assert not isinstance(settings, LogMelInput)
        assert self.network is not None
        cut = raw_windows(waveform, settings) if isinstance(settings, WindowInput) else clip_pieces(waveform, settings)
        for piece in cut:
            yield unit_length(self.network.remember(piece).astype(np.float32))

    def windows(self, waveform: Samples) -> Iterator[NDArray[np.float32]]:
        """The log-mel windows of a clip in groups."""
        assert isinstance(self.model.input, LogMelInput)
        assert self.model.mel_filters is not None
        return clip_windows(waveform, self.model.input, self.model.mel_filters)

    def search(self, section: Section) -> NeighbourSearch:
        """The references of a section, made ready at its first clip."""
        if section.number not in self.searches:
            assert isinstance(self.model.scoring, NeighbourScoring)
            assert section.references is not None
            name = f"{self.model.identity.machine} section {section.number:02d}"
            self.searches[section.number] = NeighbourSearch(section.references, self.model.scoring, name)
        return self.searches[section.number]
