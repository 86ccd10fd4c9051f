"""From the network's outputs to the scores of pieces; higher = more anomalous."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asd_runtime.model_file import NeighbourScoring, References

SMALLEST_NORM = 1e-12
EPSILON = np.finfo(np.float64).eps  # floor below each logarithm, as in asd/scoring/window_scores.py


class PieceScores(NamedTuple):
    """Scores of the pieces of a clip.

    Attributes:
        score: (pieces,) float64.
        nearest: (pieces,) the training clip nearest to each, a row of `Section.clips`; -1 where there is none.
    """

    score: NDArray[np.float64]
    nearest: NDArray[np.int64]


class NeighbourSearch:
    """The references of one section, ready to be searched.

    Raises:
        ValueError: A domain has fewer than K references.
    """

    def __init__(self, references: References, settings: NeighbourScoring, section: str) -> None:
        self.k, domains = settings.n_neighbors, settings.references
        rows = {
            "both": [np.ones(len(references.clip), bool)],
            "source": [references.is_source],
            "target": [~references.is_source],
            "nearest": [references.is_source, ~references.is_source],
        }[domains]
        self.sets = [(np.ascontiguousarray(references.unit[keep], np.float32), references.clip[keep]) for keep in rows]
        fewest = min(len(unit) for unit, _ in self.sets)
        if fewest < self.k:
            raise ValueError(f"{section}: {fewest} references, but K is {self.k}; export more of them")

    def score(self, unit: NDArray[np.float32]) -> PieceScores:
        """Scores of pieces from their unit embeddings, (pieces, dim): 1 − mean of the K largest cosines."""
        found = [self.search(unit, *references) for references in self.sets]
        nearer = np.argmin([scores for scores, _ in found], axis=0)
        piece = np.arange(len(unit))
        return PieceScores(*(np.stack(column)[nearer, piece] for column in zip(*found, strict=True)))

    def search(
        self, unit: NDArray[np.float32], references: NDArray[np.float32], clip: NDArray[np.int64]
    ) -> PieceScores:
        """Scores and nearest clips within one set of references."""
        cosine = unit @ references.T
        largest = np.argpartition(-cosine, self.k - 1, axis=1)[:, : self.k]
        values = np.take_along_axis(cosine, largest, axis=1)
        nearest = np.take_along_axis(largest, values.argmax(axis=1)[:, None], axis=1)[:, 0]
        # Sorted, so that the sum does not depend on the order that the partition left.
        return PieceScores(1 - np.sort(values, axis=1).astype(np.float64).mean(axis=1), clip[nearest])


def unit_length(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings (pieces, dim) scaled to length 1; zero stays zero."""
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), SMALLEST_NORM)


def squared_errors(windows: NDArray[np.floating], reconstructions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean squared error of each window, (windows, numbers) twice to (windows,)."""
    return np.square(windows.astype(np.float64) - reconstructions).mean(axis=1)


def log_odds(logits: NDArray[np.float32], class_index: int, formula: str) -> NDArray[np.float64]:
    """How unlike their own section images are, (images, sections) logits to (images,).

    Args:
        logits: Of the network.
        class_index: The section's place among the classes.
        formula: As in asd/scoring/window_scores.py.
    """
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = (exponential / exponential.sum(axis=1, keepdims=True))[:, class_index]
    against = np.maximum(1 - probability, EPSILON).astype(np.float64)
    log_own = np.log(np.maximum(probability, EPSILON).astype(np.float64))
    return np.log(against - log_own) if formula == "official_2021" else np.log(against) - log_own
