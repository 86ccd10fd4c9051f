"""A finished run as what `asd.inference.export` takes: the only file of the export that knows runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from asd.features.input import SpectrogramPieces
from asd.features.logmel import mel_filters
from asd.inference.detector import Detector, load_detector
from asd.inference.export import ExportedDetector
from asd.inference.references import StoredReferences
from asd.methods.autoencoder import ReconstructionErrors
from asd.methods.mobilenetv2 import SectionProbabilities
from asd.methods.windows import WindowExtractor
from asd.models.embedder import Embedder
from asd.runs.manifest import code_version, sha256
from asd.runs.scores import ScoreTable, read_scores
from asd_runtime.model_file import (
    Identity,
    LogMelInput,
    LogOddsScoring,
    NeighbourScoring,
    PieceInput,
    ReconstructionScoring,
    References,
    Section,
)

EXAMPLE_WINDOWS = 4
COSINE = "asd.scoring.cosine.CosineNeighbours"

Settings = TypeVar("Settings", PieceInput, LogMelInput)


def exported_detector(
    path: Path, *, scorer: str | None = None, only: Sequence[int] | None = None, clip_seconds: float = 10.0
) -> ExportedDetector:
    """What a finished, evaluated run is made of.

    Args:
        path: outputs/<name>/<machine>/<run>/<phase>.
        scorer: Whose settings and training scores to take: a folder under the run's scores/.
        only: Sections to export; None: all.
        clip_seconds: Length of a window when listening.

    Raises:
        ValueError: The run is not finished or not evaluated, knows no such section, or is made of parts that the
            runtime does not know.
    """
    detector = load_detector(path, scorer=scorer)
    if unknown := sorted(set(only or ()) - set(detector.sections)):
        raise ValueError(f"{path}: section {unknown[0]} is not known; the run knows {detector.sections}")
    table = read_scores(detector.run.scores(detector.choice.name) / "scores.csv")
    sections = [
        section_of(table, number, class_index, detector.references)
        for class_index, number in enumerate(detector.sections)
        if only is None or number in only
    ]
    return ExportedDetector(
        identity=identity_of(detector),
        sections=sections,
        clip_samples=round(clip_seconds * detector.method.sample_rate),
        **parts_of(detector),
    )


def identity_of(detector: Detector) -> Identity:
    """The run that a detector comes from."""
    return Identity(
        run="/".join(detector.run.path.absolute().parts[-4:]),
        machine=detector.run.machine,
        method=type(detector.method).__name__,
        scorer=detector.choice.name,
        checkpoint=sha256(detector.run.checkpoint),
        versions=code_version(),
    )


def parts_of(detector: Detector) -> dict[str, Any]:
    """Network, example, input and scoring of a detector, by the kind of its extractor and scorer.

    Raises:
        ValueError: The runtime does not know one of them.
    """
    extractor, choice = detector.extractor, detector.choice
    if isinstance(extractor, Embedder) and type(extractor.input) is SpectrogramPieces:
        if choice.component.target != COSINE:
            raise ValueError(f"scorer {choice.component.target} cannot be exported; {COSINE} can")
        settings = like(PieceInput, extractor.input, stride=extractor.stride)
        return {
            "network": extractor.backbone,
            "example": example(1, 1, settings.n_bins, settings.n_frames),
            "input": settings,
            "scoring": NeighbourScoring(**{"aggregation": "mean", "references": "both", **choice.component.arguments}),
        }
    if isinstance(extractor, (ReconstructionErrors, SectionProbabilities)):
        return window_parts(extractor, choice.arguments)
    raise ValueError(
        f"{type(extractor).__name__} cannot be exported; spectrogram pieces, autoencoder and mobilenetv2 can"
    )


def window_parts(extractor: WindowExtractor, scorer: dict[str, Any]) -> dict[str, Any]:
    """The parts of a detector on log-mel windows."""
    settings = like(LogMelInput, extractor.settings, stride=extractor.hop)
    filters = mel_filters(settings.sample_rate, settings.n_fft, settings.n_mels).numpy()
    shared = {"network": extractor.network, "input": settings, "mel_filters": filters}
    if isinstance(extractor, ReconstructionErrors):
        windows = example(EXAMPLE_WINDOWS, settings.n_frames * settings.n_mels).double()
        return {**shared, "example": windows, "scoring": ReconstructionScoring()}
    image = example(1, settings.n_frames, settings.n_mels)
    return {**shared, "example": image, "scoring": LogOddsScoring(scorer["formula"])}


def like(kind: type[Settings], source: object, *, stride: int) -> Settings:
    """Settings of the runtime with the values of ours."""
    names = [name for name in kind.__dataclass_fields__ if name not in ("stride", "kind")]
    return kind(**{name: getattr(source, name) for name in names}, stride=stride)


def example(*shape: int) -> torch.Tensor:
    """Noise of a shape, always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def section_of(table: ScoreTable, number: int, class_index: int, stored: StoredReferences | None) -> Section:
    """A section's training clips, scores and references; clips in the order of the references."""
    rows = np.flatnonzero(table.is_train & (table.section == number))
    section = Section(
        number=number,
        class_index=class_index,
        clips=table.clip[rows],
        training_scores=table.score[rows],
        is_source=table.domain[rows] == "source",
    )
    if stored is None:
        return section
    train, stored_rows = stored.of_section(number, class_index, f"section {number:02d}")
    place = {str(path): index for index, path in enumerate(section.clips)}
    order = np.array([place[str(path)] for path in stored.path[stored_rows]])
    return replace(
        section,
        clips=section.clips[order],
        training_scores=section.training_scores[order],
        is_source=section.is_source[order],
        references=References(train.embedding.numpy(), train.clip, train.is_source[train.clip]),
    )
