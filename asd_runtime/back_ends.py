"""Scorers other than cosine neighbours in numpy: what new clips get from the formulas of asd/scoring.

Each takes the arrays that `asd export` made of what the scorer learned (asd/inference/export_scorers.py). No training
clip is scored here, so that nothing is left out for one.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asd_runtime.model_file import BackEndScoring, NeighbourScoring, References
from asd_runtime.scoring import NeighbourSearch, PieceScores, unit_length

State = Mapping[str, NDArray[Any]]

SMALLEST_DISTANCE = 1e-10  # as in asd/scoring/density.py


class Nearest(NamedTuple):
    """Nearest references, nearest first.

    Attributes:
        distance: (pieces, k).
        row: (pieces, k).
    """

    distance: NDArray[np.float64]
    row: NDArray[np.int64]


def back_end_scores(embeddings: NDArray[np.float32], scoring: BackEndScoring, state: State) -> PieceScores:
    """Scores of pieces from their embeddings (pieces, dim); the nearest clips are the first formula's."""
    found = [FORMULAS[name](embeddings, part_of(state, number)) for number, name in enumerate(scoring.parts)]
    scores = (np.stack([each.score for each in found]) - state["mean"][:, None]) / state["deviation"][:, None]
    fused = scores.min(axis=0) if scoring.how == "minimum" else scores.mean(axis=0)
    return PieceScores(fused, found[0].nearest)


def part_of(state: State, number: int) -> State:
    """The arrays of one formula."""
    prefix = f"{number}."
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def cosine(embeddings: NDArray[np.float32], state: State) -> PieceScores:
    """1 − mean of the K largest cosines, of each domain for itself where `by_domain`; the smaller one counts."""
    references = References(state["unit"], state["clip"], state["is_source"])
    settings = NeighbourScoring(int(state["k"]), "mean", "nearest" if state["by_domain"] else "both")
    return NeighbourSearch(references, settings, "section").score(unit_length(embeddings))


def bands(embeddings: NDArray[np.float32], state: State) -> PieceScores:
    """The mean of the cosine distances in each frequency band; nearest is the clip that is it in most bands."""
    of_band = np.split(embeddings, len(state["unit"]), axis=1)
    found = [cosine(band, {**state, "unit": unit}) for band, unit in zip(of_band, state["unit"], strict=True)]
    nearest = np.stack([each.nearest for each in found], axis=1)
    count = (nearest[:, :, None] == nearest[:, None, :]).sum(axis=2)
    score = np.mean([each.score for each in found], axis=0)
    return PieceScores(score, nearest[np.arange(len(nearest)), count.argmax(axis=1)])


def euclidean(embeddings: NDArray[np.float32], state: State) -> PieceScores:
    """Mean distance to the K nearest references."""
    found = nearest_references(embeddings, state)
    return PieceScores(found.distance.mean(axis=1), state["clip"][found.row[:, 0]])


def local_density(embeddings: NDArray[np.float32], state: State) -> PieceScores:
    """The smallest distance to one of the K nearest references in units of the spacing around that one."""
    found = nearest_references(embeddings, state)
    ratio = found.distance / np.maximum(state["spacing"][found.row], SMALLEST_DISTANCE)
    return PieceScores(ratio.min(axis=1), state["clip"][found.row[:, 0]])


def local_outlier_factor(embeddings: NDArray[np.float32], state: State) -> PieceScores:
    """Mean reachability density of the K nearest references ÷ that of the piece."""
    found = nearest_references(embeddings, state)
    reach = np.maximum(found.distance, state["k_distance"][found.row]).mean(axis=1)
    score = state["density"][found.row].mean(axis=1) * np.maximum(reach, SMALLEST_DISTANCE)
    return PieceScores(score, state["clip"][found.row[:, 0]])


def nearest_references(embeddings: NDArray[np.float32], state: State) -> Nearest:
    """The K nearest references: found by products, which take a fraction of the memory, then measured."""
    centred, reference, k = embeddings.astype(np.float64) - state["centre"], state["reference"], int(state["k"])
    farness = np.square(reference).sum(axis=1) / 2 - centred @ reference.T
    row = np.argpartition(farness, k - 1, axis=1)[:, :k]
    distance = np.linalg.norm(centred[:, None] - reference[row], axis=2)
    order = np.argsort(distance, axis=1, kind="stable")
    return Nearest(np.take_along_axis(distance, order, axis=1), np.take_along_axis(row, order, axis=1))


def mahalanobis(embeddings: NDArray[np.float32], state: State) -> PieceScores:
    """The smallest distance to a mean, ‖W (x − μ)‖ with W Wᵀ the inverse covariance's factors."""
    distances = [np.linalg.norm((embeddings - mean) @ state["whitening"].T, axis=1) for mean in state["mean"]]
    return without_clips(np.min(distances, axis=0))


def mixture(embeddings: NDArray[np.float32], state: State) -> PieceScores:
    """−ln of a sum of normal densities, each by its mean, precision factor and constant."""
    logs = []
    for mean, factor, constant in zip(state["mean"], state["factor"], state["constant"], strict=True):
        centred = embeddings.astype(np.float64) - mean
        scaled = centred @ factor if factor.ndim == 2 else centred * factor
        logs.append(constant - 0.5 * np.square(scaled).sum(axis=1))
    return without_clips(-np.logaddexp.reduce(logs, axis=0))


def principal_plane(embeddings: NDArray[np.float32], state: State) -> PieceScores:
    """Distance to the plane of the principal components."""
    centred = embeddings - state["mean"]
    return without_clips(np.linalg.norm(centred - centred @ state["components"].T @ state["components"], axis=1))


def without_clips(score: NDArray[np.float64]) -> PieceScores:
    """Scores that no training clip is nearest to."""
    return PieceScores(score, np.full(len(score), -1))


FORMULAS: dict[str, Callable[[NDArray[np.float32], State], PieceScores]] = {
    "bands": bands,
    "cosine": cosine,
    "euclidean": euclidean,
    "local-density": local_density,
    "local-outlier-factor": local_outlier_factor,
    "mahalanobis": mahalanobis,
    "mixture": mixture,
    "principal-plane": principal_plane,
}
