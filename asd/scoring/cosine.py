"""Cosine distance to the K nearest training pieces as a scorer (Report 1, Table 3)."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from asd.scoring.neighbours import Aggregation, ReferenceChoice, References, ScorerSettings, score_clips
from asd.scoring.scorer import ClipPieces, PieceScores, Scorer


class CosineNeighbours(Scorer):
    """1 − mean of the K largest cosines to the training pieces of the section.

    Args:
        n_neighbors: K (Table 3).
        aggregation: What makes one clip's score of its pieces' scores.
        references: Domains of the training clips searched; `nearest` scores a piece against each domain apart and
            keeps the smaller score.
    """

    def __init__(
        self, *, n_neighbors: int, aggregation: Aggregation = "mean", references: ReferenceChoice = "both"
    ) -> None:
        super().__init__(aggregation=aggregation)
        self.settings = ScorerSettings(n_neighbors, aggregation, references)

    def fit(self, train: ClipPieces) -> None:
        """Keeps the training pieces."""
        self.references = References.from_arrays(
            train.section, train.embedding, train.clip, train.is_source[train.clip]
        )

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """Cosine distances; every clip's are the same bits whichever clips are beside it."""
        found = score_clips(pieces.embedding, pieces.clip, self.references, self.settings, own_clip=own_clip)
        return PieceScores(found.pieces, found.nearest)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The training pieces."""
        kept = self.references
        return {
            "section": np.array(kept.section),
            "unit": kept.unit.cpu().numpy(),
            "clip": kept.clip.cpu().numpy(),
            "is_source": kept.is_source.cpu().numpy(),
        }

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes the training pieces."""
        self.references = References.from_arrays(
            str(state["section"]),
            torch.from_numpy(np.asarray(state["unit"], np.float32)),
            torch.from_numpy(np.asarray(state["clip"], np.int64)),
            torch.from_numpy(np.asarray(state["is_source"], np.bool_)),
        )
