"""Several scorers as one, without labels: each in units of its own training scores (arXiv 2606.19269)."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.scoring.scorer import NO_REFERENCE, Aggregation, ClipPieces, PieceScores, Scorer

How = Literal["minimum", "mean"]
SEPARATOR = "."  # in the names of the state: number of the scorer, name of its array


class MemberScores(NamedTuple):
    """Scores of pieces before they are fused.

    Attributes:
        score: (scorers, pieces) float64.
        nearest: (pieces, k), the first scorer's.
    """

    score: NDArray[np.float64]
    nearest: NDArray[np.int64]


class TrainingScores(NamedTuple):
    """What `fit` scored, so that an evaluation need not score the same training clips again.

    Attributes:
        embedding: (pieces, dim) the training pieces.
        first: (clips + 1,) first piece of each training clip, and their number.
        found: Scores of these pieces.
    """

    embedding: Tensor
    first: NDArray[np.int64]
    found: MemberScores


class Fusion(Scorer):
    """The minimum or mean of standardised scores of pieces.

    Each scorer is fitted, then scores the training pieces, none of which sees its own clip; their mean becomes 0 and
    their deviation 1. `nearest` is the first scorer's.

    Args:
        scorers: At least two.
        how: "minimum" or "mean" of them.
        aggregation: What makes one clip's score of its pieces' scores; the scorers' own is not asked.

    Raises:
        ValueError: A setting out of range.
    """

    def __init__(self, *, scorers: Sequence[Scorer], how: How = "mean", aggregation: Aggregation = "mean") -> None:
        super().__init__(aggregation=aggregation)
        if len(scorers) < 2:
            raise ValueError(f"scorer.scorers has {len(scorers)}: give two or more")
        if how not in ("minimum", "mean"):
            raise ValueError(f"scorer.how={how}: give minimum or mean")
        self.scorers = list(scorers)
        self.how = how
        self.mean: NDArray[np.float64]
        self.deviation: NDArray[np.float64]
        self.of_training: TrainingScores | None = None  # None after `load_state`

    def fit(self, train: ClipPieces) -> None:
        """Fits all scorers and learns the scale of each.

        Raises:
            ValueError: All training scores of one are equal.
        """
        own_clip = np.arange(len(train.is_source))
        for scorer in self.scorers:
            scorer.fit(train)
        found = self.score_members(train, own_clip)
        self.of_training = TrainingScores(
            train.embedding.detach().cpu(), np.searchsorted(train.clip, np.arange(len(own_clip) + 1)), found
        )
        self.mean, self.deviation = found.score.mean(axis=1), found.score.std(axis=1)
        for scorer, deviation in zip(self.scorers, self.deviation, strict=True):
            if not deviation > 0:
                raise ValueError(
                    f"{train.section}: {type(scorer).__name__} gives all training pieces the same score, which cannot "
                    "serve as a scale; leave it out of scorer.scorers"
                )

    def score_members(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> MemberScores:
        """Scores by each scorer."""
        found = [scorer.score_pieces(pieces, own_clip) for scorer in self.scorers]
        return MemberScores(np.stack([each.score for each in found]), found[0].nearest)

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """The minimum or mean of the standardised scores."""
        row = self.known_rows(pieces, own_clip)
        is_new, parts = row < 0, []
        if is_new.any():
            clips, clip = np.unique(pieces.clip[is_new], return_inverse=True)
            embedding = pieces.embedding[torch.from_numpy(is_new)]
            new = ClipPieces(pieces.section, pieces.class_index, embedding, clip, pieces.is_source[clips])
            parts.append((is_new, self.score_members(new, own_clip[clips])))
        if not is_new.all():
            assert self.of_training is not None
            score, nearest = self.of_training.found
            parts.append((~is_new, MemberScores(score[:, row[~is_new]], nearest[row[~is_new]])))
        score = np.empty((len(self.scorers), len(row)))
        nearest = np.empty((len(row), parts[0][1].nearest.shape[1]), np.int64)
        for places, found in parts:
            score[:, places], nearest[places] = found
        standardised = (score - self.mean[:, None]) / self.deviation[:, None]
        return PieceScores(standardised.min(axis=0) if self.how == "minimum" else standardised.mean(axis=0), nearest)

    def known_rows(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where `fit` scored each piece (pieces,); −1 for pieces of other clips than the training clips."""
        row = np.full(len(pieces.clip), -1)
        if self.of_training is None:
            return row
        embedding, first, _ = self.of_training
        first_piece = np.searchsorted(pieces.clip, np.arange(len(own_clip) + 1))
        for clip in np.flatnonzero(own_clip != NO_REFERENCE):
            here, own = slice(*first_piece[clip : clip + 2]), slice(*first[own_clip[clip] : own_clip[clip] + 2])
            if torch.equal(pieces.embedding[here].detach().cpu(), embedding[own]):
                row[here] = np.arange(own.start, own.stop)
        return row

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The scales, and the state of each scorer."""
        states = [scorer.state() for scorer in self.scorers]
        arrays = {f"{number}{SEPARATOR}{name}": a for number, state in enumerate(states) for name, a in state.items()}
        return arrays | {"mean": self.mean, "deviation": self.deviation}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes what `state` gave."""
        self.of_training = None
        self.mean, self.deviation = (np.asarray(state[name], np.float64) for name in ("mean", "deviation"))
        for number, scorer in enumerate(self.scorers):
            prefix = f"{number}{SEPARATOR}"
            scorer.load_state({k.removeprefix(prefix): a for k, a in state.items() if k.startswith(prefix)})
