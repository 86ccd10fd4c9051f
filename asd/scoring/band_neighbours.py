"""Cosine distance within each frequency band, each with nearest training pieces of its own (arXiv 2603.13749)."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.scoring.neighbours import (
    Aggregation,
    ReferenceChoice,
    References,
    ScorerSettings,
    score_clips,
    unit_embeddings,
)
from asd.scoring.scorer import ClipPieces, PieceScores, Scorer

TOLERANCE = 1e-3  # of a band's length: the features may have been computed in bf16


class BandNeighbours(Scorer):
    """The mean over frequency bands of 1 − mean of the K largest cosines to the training pieces in that band.

    What is unusual in one band is not outvoted by a neighbour that fits in all others, and a loud band counts no more
    than a quiet one. A piece's nearest training clip is the one that is nearest in most bands.

    Args:
        bands: Into how many the network's last feature map is cut; the framework gives the features of each
            (asd/models/frequency_bands.py).
        n_neighbors: K.
        aggregation: As of `Scorer`.
        references: Domains of the training clips searched; `nearest` scores a piece against each domain apart, band by
            band, and keeps the smaller score.

    Raises:
        ValueError: A setting out of range.
    """

    def __init__(
        self,
        *,
        bands: int = 4,
        n_neighbors: int = 1,
        aggregation: Aggregation = "mean",
        references: ReferenceChoice = "both",
    ) -> None:
        super().__init__(aggregation=aggregation)
        if bands < 1:
            raise ValueError(f"scorer.bands={bands}: give 1 or more")
        self.bands = bands
        self.settings = ScorerSettings(n_neighbors, aggregation, references)
        self.section: str
        self.references: list[References]

    def fit(self, train: ClipPieces) -> None:
        """Keeps the training pieces of each band.

        Raises:
            ValueError: These are no features of so many bands.
        """
        self.keep(train.section, self.split(train), train.clip, train.is_source[train.clip])

    def keep(self, section: str, vectors: Tensor, clip: NDArray[np.int64], is_source: NDArray[np.bool_]) -> None:
        """Takes the unit vectors (bands, pieces, channels) of the training pieces, the clip and domain of each."""
        self.section = section
        self.references = [
            References.from_arrays(f"{section}, band {number}", band, clip, is_source)
            for number, band in enumerate(vectors)
        ]

    def split(self, pieces: ClipPieces) -> Tensor:
        """The unit vectors of each band, (bands, pieces, channels).

        Raises:
            ValueError: The features are something else.
        """
        embedding = pieces.embedding.float()
        if embedding.shape[1] % self.bands == 0:
            vectors = embedding.unflatten(1, (self.bands, -1))
            length = vectors.norm(dim=2) * self.bands**0.5
            if bool((((length - 1).abs() < TOLERANCE) | (length == 0)).all()):
                return torch.stack([unit_embeddings(band) for band in vectors.unbind(1)])
        raise ValueError(
            f"{pieces.section}: these are no features of {self.bands} frequency bands. scorer=bands works on networks "
            "with a feature map, and by itself, not as a part of scorer=fusion"
        )

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """Mean of the bands' cosine distances; every clip's are the same bits whichever clips are beside it."""
        found = [
            score_clips(band, pieces.clip, references, self.settings, own_clip=own_clip)
            for band, references in zip(self.split(pieces), self.references, strict=True)
        ]
        nearest = np.stack([each.nearest[:, 0] for each in found], axis=1)
        return PieceScores(np.mean([each.pieces for each in found], axis=0), most_frequent(nearest)[:, None])

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The training pieces."""
        first = self.references[0]
        return {
            "section": np.array(self.section),
            "unit": torch.stack([each.unit for each in self.references]).cpu().numpy(),
            "clip": first.clip.cpu().numpy(),
            "is_source": first.is_source.cpu().numpy(),
        }

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes the training pieces."""
        vectors = torch.from_numpy(np.asarray(state["unit"], np.float32))
        clip, is_source = np.asarray(state["clip"], np.int64), np.asarray(state["is_source"], np.bool_)
        self.keep(str(state["section"]), vectors, clip, is_source)


def most_frequent(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most frequent value of each row, of equally frequent ones the first; (rows, columns) to (rows,)."""
    count = (values[:, :, None] == values[:, None, :]).sum(axis=2)
    return values[np.arange(len(values)), count.argmax(axis=1)]
