"""Several scorers as one, without labels: each in units of its own training scores (arXiv 2606.19269)."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd.scoring.scorer import Aggregation, ClipPieces, PieceScores, Scorer

How = Literal["minimum", "mean"]
SEPARATOR = "."  # in the names of the state: number of the scorer, name of its array


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

    def fit(self, train: ClipPieces) -> None:
        """Fits all scorers and learns the scale of each.

        Raises:
            ValueError: All training scores of one are equal.
        """
        own_clip = np.arange(len(train.is_source))
        for scorer in self.scorers:
            scorer.fit(train)
        scores = np.stack([scorer.score_pieces(train, own_clip).score for scorer in self.scorers])
        self.mean, self.deviation = scores.mean(axis=1), scores.std(axis=1)
        for scorer, deviation in zip(self.scorers, self.deviation, strict=True):
            if not deviation > 0:
                raise ValueError(
                    f"{train.section}: {type(scorer).__name__} gives all training pieces the same score, which cannot "
                    "serve as a scale; leave it out of scorer.scorers"
                )

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """The minimum or mean of the standardised scores."""
        found = [scorer.score_pieces(pieces, own_clip) for scorer in self.scorers]
        scores = (np.stack([each.score for each in found]) - self.mean[:, None]) / self.deviation[:, None]
        fused = scores.min(axis=0) if self.how == "minimum" else scores.mean(axis=0)
        return PieceScores(fused, found[0].nearest)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The scales, and the state of each scorer."""
        states = [scorer.state() for scorer in self.scorers]
        arrays = {f"{number}{SEPARATOR}{name}": a for number, state in enumerate(states) for name, a in state.items()}
        return arrays | {"mean": self.mean, "deviation": self.deviation}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes what `state` gave."""
        self.mean, self.deviation = (np.asarray(state[name], np.float64) for name in ("mean", "deviation"))
        for number, scorer in enumerate(self.scorers):
            prefix = f"{number}{SEPARATOR}"
            scorer.load_state({k.removeprefix(prefix): a for k, a in state.items() if k.startswith(prefix)})
