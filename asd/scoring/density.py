"""Scorers that compare a distance with those nearby: local outlier factor, and distances in units of local density.

Both need the neighbours of the references themselves. None of them is ever of the reference's own clip, whose pieces
overlap; and where a training clip is scored, its pieces count nowhere. So that they can be left out, each reference
keeps as many neighbours more as a clip has pieces. Distances are Euclidean.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.scoring.deterministic import compute_each
from asd.scoring.scorer import NO_REFERENCE, Aggregation, ClipPieces, PieceScores, Scorer
from asd.scoring.topk import largest_of_many

BLOCK = 64  # pieces whose distances are in memory together, for each thread


class Neighbours(NamedTuple):
    """Nearest references, nearest first.

    Attributes:
        distance: (pieces, k).
        row: (pieces, k) rows of the references.
    """

    distance: Tensor
    row: Tensor


class DensityScorer(Scorer):
    """Keeps the training pieces and the neighbours of each.

    Args:
        n_neighbors: Nearest references that count.
        n_density: Nearest references of a reference, which say how dense it is around it.
        aggregation: As of `Scorer`.

    Raises:
        ValueError: A number below 1.
    """

    def __init__(self, *, n_neighbors: int, n_density: int, aggregation: Aggregation) -> None:
        super().__init__(aggregation=aggregation)
        if min(n_neighbors, n_density) < 1:
            raise ValueError(f"scorer.n_neighbors={n_neighbors}, n_density={n_density}: give 1 or more")
        self.n_neighbors = n_neighbors
        self.n_density = n_density
        self.centre: Tensor
        self.reference: Tensor  # centred, which keeps the squares of distances small beside rounding
        self.half_squares: Tensor
        self.clip: Tensor
        self.of_reference: Neighbours

    @abstractmethod
    def compare(self, found: Neighbours, own_clip: int) -> Tensor:
        """Scores of pieces (pieces,) from their n_neighbors nearest references, without those of their own clip."""

    def fit(self, train: ClipPieces) -> None:
        """Keeps the training pieces and finds the neighbours of each.

        Raises:
            ValueError: Too few training pieces, or one that is not finite.
        """
        embedding, self.clip = finite(train), torch.from_numpy(train.clip.astype(np.int64))
        self.centre = embedding.mean(dim=0)
        self.reference = embedding - self.centre
        pieces_each = np.bincount(train.clip)
        needed = max(self.n_neighbors, self.n_density)
        left = len(self.clip) - int(np.sort(pieces_each)[-2:].sum())
        if left < needed:
            raise ValueError(
                f"{train.section}: {left} training pieces besides those of two clips, but {needed} neighbours are "
                "wanted; add training clips or lower scorer.n_neighbors and scorer.n_density"
            )
        kept = max(self.n_neighbors, self.n_density + int(pieces_each.max()))
        self.half_squares = self.reference.square().sum(dim=1) / 2
        clips = self.reference.split(pieces_each.tolist())
        found = compute_each(partial(self.nearest, k=kept), clips, range(len(clips)), device=self.reference.device)
        self.of_reference = Neighbours(*(torch.cat(column) for column in zip(*found, strict=True)))

    def nearest(self, embedding: Tensor, own_clip: int, k: int) -> Neighbours:
        """The k nearest references of other clips; infinitely far where there are fewer.

        Args:
            embedding: (pieces, dim), centred.
            own_clip: The clip whose references are left out.
            k: Neighbours of each piece; fewer where there are fewer references.
        """
        closeness = torch.addmm(-self.half_squares, embedding, self.reference.T)
        if own_clip != NO_REFERENCE:
            closeness.index_fill_(1, (self.clip == own_clip).nonzero()[:, 0], -torch.inf)
        found, row = largest_of_many(closeness, min(k, len(self.reference)))
        distance = (embedding.unsqueeze(1) - self.reference[row]).norm(dim=2)  # without the products' rounding
        distance, order = distance.masked_fill(found == -torch.inf, torch.inf).sort(dim=1, stable=True)
        return Neighbours(distance, row.gather(1, order))

    def density_neighbours(self, row: Tensor, own_clip: int) -> Neighbours:
        """The n_density nearest neighbours of references, where one clip's pieces are left out.

        Args:
            row: Of references, any shape.
            own_clip: The clip that is left out.

        Returns:
            Distances and rows, (*shape, n_density).
        """
        distance, neighbour = (column[row] for column in self.of_reference)
        if own_clip == NO_REFERENCE:
            return Neighbours(distance[..., : self.n_density], neighbour[..., : self.n_density])
        is_own = self.clip[neighbour] == own_clip
        order = is_own.to(torch.uint8).sort(dim=-1, stable=True).indices[..., : self.n_density]
        return Neighbours(distance.gather(-1, order), neighbour.gather(-1, order))

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """Scores pieces, a clip at a time, so that a score does not depend on the clips beside it."""
        counts = np.bincount(pieces.clip, minlength=len(own_clip))
        embeddings = (finite(pieces) - self.centre).split(counts.tolist())
        found = list(compute_each(self.score_clip, embeddings, own_clip.tolist(), device=self.reference.device))
        score, nearest = (torch.cat(column).numpy() for column in zip(*found, strict=True))
        return PieceScores(score.astype(np.float64), nearest)

    def score_clip(self, embedding: Tensor, own_clip: int) -> tuple[Tensor, Tensor]:
        """Scores of a clip's pieces (pieces,), and the clips that are nearest to each (pieces, n_neighbors)."""
        scores, nearest = [], []
        for found in self.neighbours_of_clip(embedding, own_clip):
            scores.append(self.compare(found, own_clip))
            nearest.append(self.clip[found.row])
        return torch.cat(scores), torch.cat(nearest)

    def neighbours_of_clip(self, embedding: Tensor, own_clip: int) -> Iterator[Neighbours]:
        """The n_neighbors nearest references of a clip's pieces; those of a training clip are known from `fit`."""
        rows = (self.clip == own_clip).nonzero()[:, 0]
        if torch.equal(embedding, self.reference[rows]):
            yield Neighbours(*(column[rows, : self.n_neighbors] for column in self.of_reference))
            return
        for block in embedding.split(BLOCK):
            yield self.nearest(block.clone(), own_clip, self.n_neighbors)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The training pieces, and the neighbours of each."""
        distance, row = self.of_reference
        kept = {"reference": self.reference, "centre": self.centre, "clip": self.clip, "distance": distance, "row": row}
        return {name: tensor.numpy() for name, tensor in kept.items()}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes what `state` gave."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        self.reference, self.centre, self.clip = tensors["reference"], tensors["centre"], tensors["clip"]
        self.half_squares = self.reference.square().sum(dim=1) / 2
        self.of_reference = Neighbours(tensors["distance"], tensors["row"])


class LocalDensity(DensityScorer):
    """Distances in units of the density around each reference (arXiv 2509.10951).

    The score is the smallest d(x, r) ÷ mean distance of r to its own nearest references, over the n_neighbors
    references r that are nearest to the piece x.

    Args:
        n_neighbors: References that are tried.
        n_density: Neighbours of a reference that make its density; 4 in the paper.
        aggregation: As of `Scorer`.
    """

    def __init__(self, *, n_neighbors: int = 16, n_density: int = 4, aggregation: Aggregation = "mean") -> None:
        super().__init__(n_neighbors=n_neighbors, n_density=n_density, aggregation=aggregation)

    def compare(self, found: Neighbours, own_clip: int) -> Tensor:
        """The smallest of the ratios."""
        spacing = self.density_neighbours(found.row, own_clip).distance.double().mean(dim=2)
        return (found.distance.double() / spacing.clamp(min=SMALLEST_DISTANCE)).amin(dim=1)


class LocalOutlierFactor(DensityScorer):
    """Density around the neighbours ÷ density around the piece (Breunig et al., SIGMOD 2000); about 1 for normal ones.

    Args:
        n_neighbors: k of the paper (MinPts).
        aggregation: As of `Scorer`.
    """

    def __init__(self, *, n_neighbors: int = 20, aggregation: Aggregation = "mean") -> None:
        super().__init__(n_neighbors=n_neighbors, n_density=n_neighbors, aggregation=aggregation)

    def compare(self, found: Neighbours, own_clip: int) -> Tensor:
        """Mean reachability density of the neighbours ÷ that of the piece."""
        own = self.reach_density(found, own_clip)
        of_neighbours = self.reach_density(self.density_neighbours(found.row, own_clip), own_clip)
        return of_neighbours.mean(dim=1) / own

    def reach_density(self, found: Neighbours, own_clip: int) -> Tensor:
        """1 ÷ mean of max(d(x, r), distance of r to its own k-th neighbour): (…, k) to (…)."""
        k_distance = self.k_distance(found.row, own_clip)
        reach = torch.maximum(found.distance, k_distance).double().mean(dim=-1)
        return 1 / reach.clamp(min=SMALLEST_DISTANCE)

    def k_distance(self, row: Tensor, own_clip: int) -> Tensor:
        """Distance of references to their k-th neighbour, where one clip's pieces are left out; any shape."""
        if own_clip == NO_REFERENCE:
            return self.of_reference.distance[:, self.n_density - 1][row]
        each, place = row.unique(return_inverse=True)  # neighbours of neighbours are mostly the same ones
        return self.density_neighbours(each, own_clip).distance[:, -1][place]


SMALLEST_DISTANCE = 1e-10  # of references that are equal; scikit-learn's


def finite(pieces: ClipPieces) -> Tensor:
    """The embeddings in float32 on the CPU, in memory of their own.

    Raises:
        ValueError: One is not finite.
    """
    embedding = pieces.embedding.detach().to("cpu", torch.float32, copy=True).contiguous()
    bad = ~embedding.isfinite().all(dim=1)
    if bad.any():
        clip = pieces.clip[int(bad.nonzero()[0])]
        raise ValueError(f"{pieces.section}: the embedding of a piece of clip {clip} is NaN or infinite")
    return embedding
