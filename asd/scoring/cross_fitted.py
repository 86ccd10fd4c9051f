"""Scorers that are a model of the training pieces: one for new clips, and one for each fold of the training clips.

A training clip that its own model knows looks more normal than it is. Its score therefore comes from a model that was
fitted without its fold; models of all folds are kept beside the one that was fitted to everything.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from asd.scoring.scorer import NO_REFERENCE, Aggregation, ClipPieces, PieceScores, Scorer

Model = dict[str, NDArray[Any]]
SEPARATOR = "."  # in the names of the state: number of the model, name of the array


class CrossFittedScorer(Scorer):
    """Fits its model n_folds + 1 times; the clips are dealt out to the folds in turn, each domain for itself.

    Args:
        n_folds: Folds; each training clip is scored by a model without its own. Fewer where there are fewer clips.
        aggregation: What makes one clip's score of its pieces' scores.

    Raises:
        ValueError: Fewer than two folds.
    """

    def __init__(self, *, n_folds: int = 5, aggregation: Aggregation = "mean") -> None:
        super().__init__(aggregation=aggregation)
        if n_folds < 2:
            raise ValueError(f"scorer.n_folds={n_folds}: give 2 or more")
        self.n_folds = n_folds
        self.models: list[Model]
        self.fold: NDArray[np.int64]

    @abstractmethod
    def fit_model(self, embedding: NDArray[np.float64], is_source: NDArray[np.bool_]) -> Model:
        """A model of pieces.

        Args:
            embedding: (pieces, dim).
            is_source: (pieces,) whether a piece is of the source domain.

        Raises:
            ValueError: There are too few pieces.
        """

    @abstractmethod
    def score_model(self, model: Model, embedding: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of pieces, (pieces, dim) to (pieces,); each a function of the model and the piece alone."""

    def fit(self, train: ClipPieces) -> None:
        """Fits all models.

        Raises:
            ValueError: Fewer than two training clips, or too few pieces.
        """
        n_clips = len(train.is_source)
        if n_clips < 2:
            raise ValueError(f"{train.section}: {n_clips} training clips; a scorer of this kind needs 2 or more")
        self.fold = folds(train.is_source, min(self.n_folds, n_clips))
        fold_of_piece, is_source = self.fold[train.clip], train.is_source[train.clip]
        embedding = as_float64(train)
        wanted = [np.ones(len(embedding), bool), *(fold_of_piece != fold for fold in range(self.fold.max() + 1))]
        with threadpool_limits(1):
            try:
                self.models = [self.fit_model(embedding[rows], is_source[rows]) for rows in wanted]
            except ValueError as error:
                raise ValueError(f"{train.section}: {error}") from error

    def score_pieces(self, pieces: ClipPieces, own_clip: NDArray[np.int64]) -> PieceScores:
        """Scores pieces: those of training clips by the model without their fold."""
        is_new = own_clip == NO_REFERENCE
        model_of_clip = np.where(is_new, 0, 1 + self.fold[np.where(is_new, 0, own_clip)])
        model, embedding = model_of_clip[pieces.clip], as_float64(pieces)
        score = np.empty(len(embedding))
        with threadpool_limits(1):
            for number in np.unique(model):
                rows = model == number
                score[rows] = self.score_model(self.models[number], embedding[rows])
        return PieceScores(score, np.empty((len(score), 0), np.int64))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The arrays of all models, and the fold of each training clip."""
        arrays = {f"{number}{SEPARATOR}{name}": a for number, m in enumerate(self.models) for name, a in m.items()}
        return arrays | {"fold": self.fold}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Takes what `state` gave."""
        self.fold = np.asarray(state["fold"], np.int64)
        self.models = [{} for _ in range(int(self.fold.max()) + 2)]
        for key, array in state.items():
            number, _, name = key.partition(SEPARATOR)
            if name:
                self.models[int(number)][name] = np.asarray(array)


def folds(is_source: NDArray[np.bool_], n_folds: int) -> NDArray[np.int64]:
    """The fold of each clip (clips,): source and target clips are dealt out one after the other."""
    fold = np.empty(len(is_source), np.int64)
    fold[np.argsort(~is_source, kind="stable")] = np.arange(len(is_source)) % n_folds
    return fold


def as_float64(pieces: ClipPieces) -> NDArray[np.float64]:
    """The embeddings (pieces, dim).

    Raises:
        ValueError: One is not finite, or their number is another than that of the clip numbers.
    """
    embedding = pieces.embedding.detach().cpu().double().numpy()
    if len(embedding) != len(pieces.clip):
        raise ValueError(f"{pieces.section}: {len(embedding)} embeddings for {len(pieces.clip)} clip numbers")
    bad = ~np.isfinite(embedding).all(axis=1)
    if bad.any():
        clip = pieces.clip[bad][0]
        raise ValueError(f"{pieces.section}: the embedding of a piece of clip {clip} is NaN or infinite")
    return embedding
