"""Detectors that are fitted to normal clips in seconds, without a run: methods that train nothing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from asd.config.compose import plan
from asd.inference.detector import Detector, Sound
from asd.inference.references import StoredReferences
from asd.methods.clip_vector import ClipVectorMethod
from asd.methods.method import build_method
from asd.runs.scores import ScoreTable

MACHINE = "machine"


class QuickMethod:
    """A method that trains nothing: `QuickMethod("temporal_pooling", "scorer=mahalanobis").fit(clips).score(clip)`.

    Args:
        method: logmel_neighbour or temporal_pooling, or one of your own in conf/method.
        settings: As typed behind `train.py method=…`, such as scorer=lof, r=0.5, data.channel=mean.

    Raises:
        ValueError: A setting is not allowed, or the method trains a network.
    """

    def __init__(self, method: str = "temporal_pooling", *settings: str) -> None:
        words = [f"machine={MACHINE}", "data=folder", "data.root=/", f"method={method}", *settings]
        found = build_method(plan("train", words)[1].configs[0])
        if not isinstance(found, ClipVectorMethod):
            raise ValueError(f"method={method} trains a network, which takes a run: python train.py method={method}")
        self.method = found

    def fit(
        self, clips: Sequence[Sound], sections: Sequence[int] | None = None, *, sample_rate: int | None = None
    ) -> Detector:
        """A detector of what these clips are not.

        Args:
            clips: Normal recordings: files, or arrays as a `Detector` takes them.
            sections: Section of each, where there are several kinds of normal; None: one.
            sample_rate: Of arrays, in Hz.

        Raises:
            ValueError: A clip is unusable, or there are too few for the scorer.
        """
        section = np.zeros(len(clips), np.int64) if sections is None else np.asarray(sections, np.int64)
        if len(section) != len(clips) or not len(clips):
            raise ValueError(f"{len(section)} sections for {len(clips)} clips: give one for each, and a clip or more")
        method, choice = self.method, self.method.own_scorer()
        extractor = method.extractor({}, choice, torch.device("cpu"), 32)
        source, scores = np.full(len(clips), "source"), np.zeros(len(clips))
        table = ScoreTable(
            clip=np.array([name_of(clip, number) for number, clip in enumerate(clips)]),
            machine=np.full(len(clips), MACHINE),
            section=section,
            domain=source,
            split=np.full(len(clips), "train"),
            label=np.full(len(clips), "normal"),
            score=scores,
        )
        known = np.unique(section).tolist()
        detector = Detector(MACHINE, method, known, extractor, choice, None, table)
        features = [detector.features(detector.waveform(clip, sample_rate)) for clip in clips]
        detector.references = StoredReferences(
            unit=torch.cat(features).numpy(),
            clip=np.arange(len(clips)),
            path=table.clip,
            section=section,
            is_source=source == "source",
        )
        for number in known:
            scorer, rows = detector.fitted(number)
            pieces, _ = detector.references.of_section(number, known.index(number), detector.section_name(number))
            scores[rows] = scorer.score(pieces, np.arange(len(rows))).clips  # each against the others
        return detector


def name_of(clip: Sound, number: int) -> str:
    """What a training clip is called: its path below the root, or its number."""
    if isinstance(clip, str | Path):
        return Path(clip).absolute().as_posix().lstrip("/")
    return f"clip {number}"
