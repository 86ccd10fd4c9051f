"""From embeddings to scores: how far a piece lies from the K nearest training pieces of its section.

Report 1 and Table 3: cosine similarity, K = 10. What the report leaves open (references, aggregation) is
our choice, docs/evaluation.md. Training clips are the references; one is never scored against itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from asd.scoring.deterministic import compute_each
from asd.scoring.scorer import NO_REFERENCE, Scores
from asd.scoring.topk import largest_of_many

Aggregation = Literal["mean", "max"]
ReferenceChoice = Literal["both", "source", "target", "nearest"]

MAX_BLOCK = 64  # pieces of one matrix product; a longer clip takes several
AT_ONCE = 320  # pieces whose cosines are in memory together, for each thread
ROW = 16  # float32 numbers in 64 bytes
STRIP = 2048  # references that stay in a core's cache while those pieces are compared with them


@dataclass(frozen=True)
class ScorerSettings:
    """How pieces become scores.

    Attributes:
        n_neighbors: K, the number of nearest references that count (Table 3).
        aggregation: what makes one clip's score of its pieces' scores.
        references: domains of the training clips searched; `nearest` scores a piece against each domain
            apart and keeps the smaller score.
    """

    n_neighbors: int
    aggregation: Aggregation
    references: ReferenceChoice

    def __post_init__(self) -> None:
        if self.n_neighbors < 1:
            raise ValueError(f"n_neighbors is {self.n_neighbors}; give 1 or more")
        _one_of("aggregation", self.aggregation, get_args(Aggregation))
        _one_of("references", self.references, get_args(ReferenceChoice))


@dataclass(frozen=True, eq=False)
class References:
    """The training pieces of one section.

    Attributes:
        section: what messages call the section, such as `fan section 02`.
        unit: unit embeddings (references, dim), float32.
        clip: the clip that each piece belongs to (references,), any numbering that is the caller's own.
        is_source: whether that clip is of the source domain (references,).
    """

    section: str
    unit: Tensor
    clip: Tensor
    is_source: Tensor

    @classmethod
    def from_arrays(
        cls,
        section: str,
        unit: Tensor | NDArray[np.floating],
        clip: Tensor | NDArray[np.integer],
        is_source: Tensor | NDArray[np.bool_],
    ) -> "References":
        """References from stored arrays, checked and laid out as every search expects them.

        Raises:
            ValueError: if the columns differ in length or an embedding is not finite.
        """
        unit = _own_memory(torch.as_tensor(unit))
        columns = (torch.as_tensor(column, device=unit.device) for column in (clip, is_source))
        references = cls(section, unit, *columns)
        lengths = len(unit), len(references.clip), len(references.is_source)
        if len(set(lengths)) != 1:
            raise ValueError(f"{section}: unit, clip and is_source have lengths {lengths}; give one per piece")
        if not torch.isfinite(unit).all():
            raise ValueError(f"{section}: a training embedding is NaN or infinite; train the run again")
        return references

    def of(self, domain: Literal["source", "target"]) -> "References":
        """Only the references of one domain."""
        rows = self.is_source if domain == "source" else ~self.is_source
        name = f"{self.section}, {domain} domain"
        return References(name, self.unit[rows], self.clip[rows], self.is_source[rows])


def unit_embeddings(embedding: Tensor) -> Tensor:
    """Embeddings (pieces, dim) of any float type, scaled to length 1, float32; zero stays zero."""
    return F.normalize(embedding.float(), dim=1)


def score_clips(
    unit: Tensor,
    clip: NDArray[np.integer],
    references: References,
    settings: ScorerSettings,
    *,
    own_clip: NDArray[np.integer] | None = None,
) -> Scores:
    """Scores of clips against the references of their section.

    Every clip is a computation of its own, of a shape that only the clip and the references decide. Its
    score is therefore the same bits whichever clips stand beside it.

    Args:
        unit: unit embeddings of the clips' pieces (pieces, dim), float32, on the references' device.
        clip: clip of each piece (pieces,): 0, 0, …, 1, 1, … up to clips - 1, none left out.
        references: the training pieces of the section.
        settings: K, aggregation and domains.
        own_clip: number under which a clip itself stands among the references (clips,), `NO_REFERENCE`
            where it does not; its pieces are left out of the search. None: all clips are new.

    Raises:
        ValueError: if fewer than K references are left for a clip, a clip has no piece, the pieces are
            not in the order of their clips, or an embedding is not finite.
    """
    clips = _split_by_clip(unit, clip, references.section)
    own = np.full(len(clips), NO_REFERENCE) if own_clip is None else own_clip
    if len(own) != len(clips):
        raise ValueError(f"{references.section}: own_clip has {len(own)} entries for {len(clips)} clips")
    searched = _searched(references, settings)
    blocks = [
        Block(part, int(number)) for rows, number in zip(clips, own, strict=True) for part in rows.split(MAX_BLOCK)
    ]
    score = partial(_score_batch, searched=searched, n_neighbors=settings.n_neighbors)
    found = list(compute_each(score, _batches(blocks), device=references.unit.device))
    pieces = np.concatenate([scores for scores, _ in found])
    summary = np.mean if settings.aggregation == "mean" else np.max
    of_clip = np.split(pieces, np.cumsum([len(rows) for rows in clips])[:-1])
    return Scores(
        clips=np.array([summary(scores) for scores in of_clip], dtype=np.float64),
        pieces=pieces,
        nearest=np.concatenate([nearest for _, nearest in found]),
    )


class Block(NamedTuple):
    """Pieces of one clip, and the number under which it stands among the references."""

    unit: Tensor
    own_clip: int


def _batches(blocks: list[Block]) -> Iterator[list[Block]]:
    """Blocks in their order, as many together as `AT_ONCE` allows."""
    batch: list[Block] = []
    for block in blocks:
        if batch and sum(len(other.unit) for other in batch) + len(block.unit) > AT_ONCE:
            yield batch
            batch = []
        batch.append(block)
    yield batch


def _score_batch(
    blocks: list[Block], searched: list[References], n_neighbors: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores (pieces,) and nearest clips (pieces, K) of all blocks; of two sets of references the nearer."""
    scores, nearest = _search(blocks, searched[0], n_neighbors)
    for references in searched[1:]:
        other_scores, other_nearest = _search(blocks, references, n_neighbors)
        nearer = other_scores < scores
        scores = np.where(nearer, other_scores, scores)
        nearest = np.where(nearer[:, None], other_nearest, nearest)
    return scores, nearest


def _search(
    blocks: list[Block], references: References, n_neighbors: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """1 − mean of the K largest cosines (pieces,) and the clips they belong to (pieces, K)."""
    cosines = _cosines(blocks, references.unit)
    for block, cosine in zip(blocks, cosines.split([len(block.unit) for block in blocks]), strict=True):
        _leave_out(block.own_clip, cosine, references, n_neighbors)
    # Of all blocks together: many small calls from many threads wait for each other in Python.
    largest, indices = largest_of_many(cosines, n_neighbors)
    # float64: next to 1 a float32 cosine has steps of 6e-8, their sum should not add its own
    scores = 1 - largest.cpu().numpy().astype(np.float64).mean(axis=1)
    return scores, references.clip[indices].cpu().numpy().astype(np.int64)


def _cosines(blocks: list[Block], references: Tensor) -> Tensor:
    """The cosines (pieces, references) of all blocks, every block in products of its own.

    Each row begins at a multiple of 64 bytes, so that a product is the same computation wherever its block stands.
    """
    n_pieces = [len(block.unit) for block in blocks]
    width = -(-len(references) // ROW) * ROW
    cosines = references.new_empty(sum(n_pieces), width)[:, : len(references)]
    for first in range(0, len(references), STRIP):
        strip = references[first : first + STRIP].T
        for block, cosine in zip(blocks, cosines.split(n_pieces), strict=True):
            torch.mm(block.unit, strip, out=cosine[:, first : first + STRIP])
    return cosines


def _leave_out(own_clip: int, cosine: Tensor, references: References, n_neighbors: int) -> None:
    """Makes a training clip's own pieces the farthest of all.

    Raises:
        ValueError: Fewer than K references are left.
    """
    own = (references.clip == own_clip).nonzero()[:, 0] if own_clip != NO_REFERENCE else None
    n_left = len(references.unit) - (0 if own is None else len(own))
    if n_left < n_neighbors:
        besides = "" if own is None else " besides the training clip's own"
        raise ValueError(
            f"{references.section}: {n_left} training pieces{besides}, but n_neighbors is {n_neighbors}; "
            "add training clips or lower scorer.n_neighbors"
        )
    if own is not None:
        cosine.index_fill_(1, own, -torch.inf)


def _searched(references: References, settings: ScorerSettings) -> list[References]:
    """The sets of references that a piece is compared with, each by itself."""
    if settings.references == "both":
        return [references]
    if settings.references == "nearest":
        return [references.of("source"), references.of("target")]
    return [references.of(settings.references)]


def _split_by_clip(unit: Tensor, clip: NDArray[np.integer], section: str) -> list[Tensor]:
    """The pieces of each clip, each in memory of its own."""
    if len(unit) != len(clip):
        raise ValueError(f"{section}: {len(unit)} embeddings but {len(clip)} clip numbers; give one for each")
    if not torch.isfinite(unit).all():
        row = int((~torch.isfinite(unit)).any(dim=1).nonzero()[0])
        raise ValueError(f"{section}: the embedding of a piece of clip {clip[row]} is NaN or infinite")
    numbers, counts = np.unique(clip, return_counts=True)
    if len(clip) == 0 or (np.diff(clip) < 0).any() or not np.array_equal(numbers, np.arange(len(numbers))):
        raise ValueError(f"{section}: number the clips 0, 1, 2, … in the order of their pieces, none left out")
    return [_own_memory(block) for block in unit.split(counts.tolist())]


def _own_memory(unit: Tensor) -> Tensor:
    """A fresh float32 copy: the last bit of a matrix product can depend on the alignment of its factors."""
    return unit.detach().to(torch.float32, copy=True).contiguous()


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key} is {value!r}; give one of {', '.join(allowed)}")
