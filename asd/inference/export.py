"""A trained detector as one file for the runtime without torch (asd_runtime)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from asd.inference.onnx_graph import to_onnx
from asd.scoring.thinning import TrainingPieces, clip_scores, separation, some_clips, thin
from asd.scoring.thresholds import tail_quantiles
from asd_runtime.model_file import (
    DOMAINS,
    Identity,
    Input,
    Model,
    NeighbourScoring,
    ReconstructionScoring,
    References,
    Scoring,
    Section,
    TailQuantiles,
)


@dataclass(frozen=True, eq=False)
class ExportedDetector:
    """What a detector is made of, whatever its method.

    Attributes:
        identity: The run that it comes from.
        network: In evaluation mode, on the CPU; gives embeddings, reconstructions or logits. None: nothing was trained.
        example: A batch that the network takes: one piece, one image, or several windows.
        input: What the network takes.
        scoring: How its output becomes scores.
        clip_samples: Length of the training clips (median), in samples.
        sections: Those to export, with their training scores; `gamma` is filled in here.
        mel_filters: (n_fft / 2 + 1, n_mels) float64 for log-mel inputs.
    """

    identity: Identity
    network: nn.Module | None
    example: Tensor | None
    input: Input
    scoring: Scoring
    clip_samples: int
    sections: Sequence[Section]
    mel_filters: NDArray[np.float64] | None = None


def build_model(detector: ExportedDetector, *, n_references: int | None = None, fp16: bool = False) -> Model:
    """The content of the file.

    Args:
        detector: What it is made of.
        n_references: References that a section keeps, chosen by k-centre; None: all. The training scores, and with
            them the thresholds, become those of the references kept.
        fp16: Whether weights and references are kept in float16; they are float32 again when the file is loaded.

    Raises:
        ValueError: The method has no references to thin, or the network cannot be exported.
    """
    sections = list(detector.sections)
    notes: dict[str, Any] = {"fp16": fp16}
    if n_references is not None:
        if not isinstance(detector.scoring, NeighbourScoring):
            raise ValueError("--references: only those of cosine neighbours can be thinned; leave the option out")
        sections, notes["references"] = thin_sections(sections, n_references, detector.scoring)
    if fp16:
        sections = [halve_references(section) for section in sections]
    return Model(
        identity=detector.identity,
        input=detector.input,
        scoring=detector.scoring,
        clip_samples=detector.clip_samples,
        sections={section.number: replace(section, gamma=gamma_tails(section)) for section in sections},
        network=graph_of(detector, halve=fp16),
        mel_filters=detector.mel_filters,
        notes=notes,
    )


def graph_of(detector: ExportedDetector, *, halve: bool) -> bytes | None:
    """The ONNX graph of the network, if there is one."""
    if detector.network is None:
        return None
    assert detector.example is not None
    any_batch = isinstance(detector.scoring, ReconstructionScoring)
    return to_onnx(detector.network, detector.example, any_batch=any_batch, halve=halve)


def gamma_tails(section: Section) -> dict[str, TailQuantiles]:
    """The fitted quantiles of each domain; a domain whose scores no distribution fits has none."""
    found = {domain: tail_quantiles(section.scores_of(domain)) for domain in DOMAINS}
    return {domain: quantiles for domain, quantiles in found.items() if quantiles is not None}


def thin_sections(
    sections: Sequence[Section], n: int, scoring: NeighbourScoring
) -> tuple[list[Section], list[dict[str, Any]]]:
    """Sections with fewer references, and for each what that costs.

    The cost is stated on training clips alone: the AUC of telling a section's own from those of the other sections.
    """
    every = {section.number: training_pieces(section) for section in sections}
    thinned, notes = [], []
    for section in sections:
        pieces = every[section.number]
        by_domain = scoring.references != "both"
        rows = thin(pieces, n, by_domain=by_domain, at_least=scoring.n_neighbors)
        others = [some_clips(other) for number, other in every.items() if number != section.number]
        own, auc = scores_and_auc(pieces, pieces.only(rows), others, scoring)
        _, full = scores_and_auc(pieces, pieces, others, scoring)
        assert section.references is not None
        kept = References(*(array[rows] for array in vars(section.references).values()))
        thinned.append(replace(section, training_scores=own, references=kept))
        notes.append(
            {"section": section.number, "kept": len(rows), "of": len(pieces.clip), "auc": auc, "auc_with_all": full}
        )
    return thinned, notes


def training_pieces(section: Section) -> TrainingPieces:
    """All training pieces of a section."""
    assert section.references is not None
    return TrainingPieces(**vars(section.references))


def scores_and_auc(
    pieces: TrainingPieces, references: TrainingPieces, others: list[TrainingPieces], scoring: NeighbourScoring
) -> tuple[NDArray[np.float64], float | None]:
    """The scores of a section's training clips, and the AUC against other sections' (None where there are none)."""
    how = (scoring.n_neighbors, scoring.references, scoring.aggregation)
    own = clip_scores(pieces, references, *how, same=True)
    if not others:
        return own, None
    return own, separation(own, [clip_scores(other, references, *how, same=False) for other in others])


def halve_references(section: Section) -> Section:
    """The section with references in float16."""
    if section.references is None:
        return section
    return replace(section, references=replace(section.references, unit=section.references.unit.astype(np.float16)))
