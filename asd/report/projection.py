"""Embeddings in two dimensions, and which section each test clip resembles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from asd.runs.scores import ScoreTable

SEED = 0
MAX_CLIPS = 1000  # in a picture; t-SNE takes seconds for so many, minutes for ten times as many
MAX_PERPLEXITY = 30


@dataclass(frozen=True, eq=False)
class Projection:
    """Points of clips.

    Attributes:
        rows: (points,) rows of scores.csv.
        pca: (points, 2) the two main axes.
        tsne: (points, 2)
        explained: Share of the variance along each main axis, (2,).
        n_clips: That there are; more than points if only a sample is shown.
    """

    rows: NDArray[np.int64]
    pca: NDArray[np.float64]
    tsne: NDArray[np.float64]
    explained: NDArray[np.float64]
    n_clips: int


@dataclass(frozen=True, eq=False)
class Confusion:
    """How many test clips of each section lie nearest to a training clip of which section.

    Attributes:
        sections: Of the training clips, in order.
        normal: (sections, sections) of normal and unlabelled clips; row = their own section.
        anomaly: (sections, sections) of anomalous clips.
    """

    sections: list[int]
    normal: NDArray[np.int64]
    anomaly: NDArray[np.int64]


def project(embedding: NDArray[np.float64]) -> Projection | None:
    """The same clips give the same picture.

    Args:
        embedding: (clips, dim) unit vectors.

    Returns:
        None with fewer than five clips, of which there is nothing to see.
    """
    n_clips = len(embedding)
    if n_clips < 5:
        return None
    rows = np.arange(n_clips)
    if n_clips > MAX_CLIPS:
        rows = np.sort(np.random.default_rng(SEED).choice(n_clips, MAX_CLIPS, replace=False))
    shown = embedding[rows]
    pca = PCA(n_components=2, svd_solver="full").fit(shown)
    perplexity = min(MAX_PERPLEXITY, (len(shown) - 1) / 3)
    tsne = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=SEED, n_jobs=1)
    return Projection(rows, pca.transform(shown), tsne.fit_transform(shown), pca.explained_variance_ratio_, n_clips)


def confusion(embedding: NDArray[np.float64], scores: ScoreTable) -> Confusion | None:
    """Sections of the training clips that test clips lie nearest to, by the cosine of whole clips.

    Args:
        embedding: (clips, dim) unit vectors in the order of `scores`.
        scores: The clips.

    Returns:
        None where there are no training or no test clips.
    """
    train, test = np.flatnonzero(scores.is_train), np.flatnonzero(scores.split == "test")
    if not len(train) or not len(test):
        return None
    sections = np.unique(scores.section[train])
    nearest = train[(embedding[test] @ embedding[train].T).argmax(axis=1)]
    known = np.isin(scores.section[test], sections)
    own = np.searchsorted(sections, scores.section[test][known])
    found = np.searchsorted(sections, scores.section[nearest][known])
    is_anomaly = scores.label[test][known] == "anomaly"
    shape = (len(sections), len(sections))
    normal, anomaly = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    np.add.at(normal, (own[~is_anomaly], found[~is_anomaly]), 1)
    np.add.at(anomaly, (own[is_anomaly], found[is_anomaly]), 1)
    return Confusion(sections.tolist(), normal, anomaly)
