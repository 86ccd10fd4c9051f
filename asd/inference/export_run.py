"""A finished run as what `asd.inference.export` takes: the only file of the export that knows runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from asd.data.decoding import FULL_SCALE
from asd.features.input import Input as AnyInput
from asd.features.input import SpectrogramPieces
from asd.features.logmel import EPSILON, mel_filters
from asd.inference.export import ExportedDetector
from asd.inference.export_scorers import scoring_of, state_of
from asd.inference.run_detector import RunDetector, load_detector
from asd.methods.autoencoder import ReconstructionErrors
from asd.methods.clip_vector import ClipVectors
from asd.methods.logmel_neighbour import LogmelNeighbourConfig
from asd.methods.method import Method, ScorerChoice
from asd.methods.mobilenetv2 import SectionProbabilities
from asd.methods.temporal_pooling import TemporalPoolingConfig
from asd.methods.windows import WindowExtractor
from asd.models.embedder import Embedder
from asd.runs.manifest import code_version, sha256
from asd.scoring import logmel
from asd_runtime.framing import first_columns, min_samples
from asd_runtime.model_file import (
    BackEndScoring,
    Identity,
    LogMelInput,
    LogOddsScoring,
    NeighbourScoring,
    PieceInput,
    PooledInput,
    ReconstructionScoring,
    References,
    Scoring,
    Section,
    WindowInput,
)

EXAMPLE_WINDOWS = 4
COSINE = "asd.scoring.cosine.CosineNeighbours"

Settings = TypeVar("Settings", PieceInput, LogMelInput, WindowInput)


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
        ValueError: The run is not finished or not evaluated, knows no such section, is made of parts that the runtime
            does not know, or a window is shorter than a piece.
    """
    detector = load_detector(path, scorer=scorer)
    parts = parts_of(detector)
    if unknown := sorted(set(only or ()) - set(detector.sections)):
        raise ValueError(f"{path}: section {unknown[0]} is not known; the run knows {detector.sections}")
    rate, least = detector.method.sample_rate, min_samples(parts["input"])
    if not least / rate <= clip_seconds < np.inf:
        raise ValueError(f"--window {clip_seconds:g}: give {least / rate:g} s or more, which one piece takes")
    sections = [
        section_of(number, detector, parts["scoring"]) for number in detector.sections if only is None or number in only
    ]
    return ExportedDetector(
        identity=identity_of(detector),
        sections=sections,
        clip_samples=round(clip_seconds * rate),
        **parts,
    )


def identity_of(detector: RunDetector) -> Identity:
    """The run that a detector comes from."""
    return Identity(
        run="/".join(detector.run.path.absolute().parts[-4:]),
        machine=detector.run.machine,
        method=type(detector.method).__name__,
        scorer=detector.choice.name,
        checkpoint=sha256(detector.run.checkpoint),
        versions=code_version(),
    )


def parts_of(detector: RunDetector) -> dict[str, Any]:
    """Network, example, input and scoring of a detector, by the kind of its extractor.

    Raises:
        ValueError: The runtime does not know one of them.
    """
    extractor = detector.extractor
    if isinstance(extractor, Embedder):
        return {**embedder_parts(extractor), "scoring": scoring_of_choice(detector.choice)}
    if isinstance(extractor, ClipVectors):
        return {**vector_parts(detector.method), "scoring": scoring_of_choice(detector.choice)}
    if isinstance(extractor, (ReconstructionErrors, SectionProbabilities)):
        return window_parts(extractor, detector.choice.arguments)
    raise ValueError(f"{type(detector.method).__name__} cannot be exported: the runtime does not know its features")


def scoring_of_choice(choice: ScorerChoice) -> NeighbourScoring | BackEndScoring:
    """Cosine neighbours, whose references can be thinned, or the formulas of another scorer."""
    if choice.component.target == COSINE:
        return NeighbourScoring(**{"aggregation": "mean", "references": "both", **choice.component.arguments})
    return scoring_of(choice.build())


def embedder_parts(extractor: Embedder) -> dict[str, Any]:
    """Spectrogram pieces are made by the runtime, which shares their transforms; what other inputs do is in the graph.

    Raises:
        ValueError: The input places its pieces in a way of its own.
    """
    settings: PieceInput | WindowInput
    if type(extractor.input) is SpectrogramPieces:
        settings = like(PieceInput, extractor.input, stride=extractor.stride)
        network, shape = extractor.backbone, (1, 1, settings.n_bins, settings.n_frames)
        return {"network": network, "example": example(*shape), "input": settings}
    settings = like(WindowInput, extractor.input, stride=extractor.stride)
    for n_samples in (extractor.input.min_samples, 3 * settings.window_length + 1):
        if first_columns(n_samples, settings).tolist() != extractor.input.positions(n_samples, extractor.stride):
            raise ValueError(f"{type(extractor.input).__name__} cannot be exported: it places its pieces otherwise")
    network = RawWindows(extractor.input, extractor.backbone)
    return {"network": network, "example": 3000 * example(1, settings.window_length), "input": settings}


class RawWindows(nn.Module):
    """Input and network in one: (windows, window_length) in ±32768 to embeddings."""

    def __init__(self, input: AnyInput, backbone: nn.Module) -> None:
        super().__init__()
        self.input = input
        self.backbone = backbone

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(windows, window_length) to (windows, embedding_dim)."""
        embedding: torch.Tensor = self.backbone(self.input(windows, FULL_SCALE))
        return embedding


def vector_parts(method: Method[Any]) -> dict[str, Any]:
    """The parts of a method that trains nothing: the runtime makes the vector of a clip.

    Raises:
        ValueError: It is not one of ours.
    """
    config = method.config
    if type(config) is LogmelNeighbourConfig:
        rate, n_mels = config.sample_rate, logmel.N_MELS
        settings = PooledInput(rate, logmel.N_FFT, logmel.HOP_LENGTH, "zeros", r=1.0, floor=logmel.FLOOR)
    elif type(config) is TemporalPoolingConfig:
        pooled, n_mels = config.input, config.input.n_mels
        rate, n_fft, hop_length = pooled.sample_rate, pooled.n_fft, pooled.hop_length
        settings = PooledInput(
            rate, n_fft, hop_length, pooled.pad, r=config.r, floor=EPSILON, deviation=config.deviation
        )
    else:
        raise ValueError(f"{type(method).__name__} cannot be exported: the runtime does not know its vectors")
    filters = mel_filters(rate, settings.n_fft, n_mels).numpy()
    return {"network": None, "example": None, "input": settings, "mel_filters": filters}


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


def section_of(number: int, detector: RunDetector, scoring: Scoring) -> Section:
    """A section's training clips, scores, and references or what its scorer learned; clips in the references' order."""
    section = detector.known(number)
    stored = detector.references
    if stored is None:
        return section
    train, stored_rows = stored.of_section(number, section.class_index, f"section {number:02d}")
    place = {str(path): index for index, path in enumerate(section.clips)}
    order = np.array([place[str(path)] for path in stored.path[stored_rows]])
    is_plain = isinstance(scoring, NeighbourScoring)
    return replace(
        section,
        clips=section.clips[order],
        training_scores=section.training_scores[order],
        is_source=section.is_source[order],
        references=References(train.embedding.numpy(), train.clip, train.is_source[train.clip]) if is_plain else None,
        state={} if is_plain else state_of(detector.fitted(number)[0]),
    )
