"""Fewer references: a greedy cover, against slow loops."""

import numpy as np
import pytest

from asd.scoring.thinning import TrainingPieces, clip_scores, k_centre, separation, some_clips, thin


def unit(n: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (n, 6)."""
    drawn = np.random.default_rng(seed).standard_normal((n, 6))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def pieces(n_clips: int, seed: int = 0) -> TrainingPieces:
    """Three pieces a clip; every other clip of the source domain."""
    clip = np.repeat(np.arange(n_clips), 3)
    return TrainingPieces(unit(3 * n_clips, seed), clip, clip % 2 == 0)


def test_k_centre_is_that_of_a_slow_loop() -> None:
    vectors = unit(60)
    chosen = [int(np.argmax([vector @ vectors.mean(axis=0) for vector in vectors]))]
    while len(chosen) < 9:
        nearest = [max(vector @ vectors[row] for row in chosen) for vector in vectors]
        chosen.append(min((row for row in range(60) if row not in chosen), key=lambda row: nearest[row]))
    assert k_centre(vectors, 9).tolist() == sorted(chosen)
    assert k_centre(vectors, 99).tolist() == list(range(60))
    with pytest.raises(ValueError, match="at least 1"):
        k_centre(vectors, 0)


def test_each_domain_keeps_its_share() -> None:
    train = pieces(10)
    rows = thin(train, 12, by_domain=True, at_least=2)
    assert train.is_source[rows].sum() == 6
    assert len(thin(train, 12, by_domain=False, at_least=2)) == 12
    assert len(thin(train, 1, by_domain=True, at_least=2)) == 4


@pytest.mark.parametrize("choice", ["both", "source", "nearest"])
@pytest.mark.parametrize("aggregation", ["mean", "max"])
def test_scores_are_those_of_a_slow_loop(choice: str, aggregation: str) -> None:
    train = pieces(8)
    expected = []
    for clip in range(8):
        found = []
        for row in np.flatnonzero(train.clip == clip):
            sets = {"both": [(True, False)], "source": [(True,)], "nearest": [(True,), (False,)]}[choice]
            scores = []
            for domains in sets:
                cosine = [
                    float(train.unit[row] @ train.unit[other])
                    for other in range(24)
                    if train.clip[other] != clip and bool(train.is_source[other]) in domains
                ]
                scores.append(1 - np.mean(sorted(cosine)[-2:]))
            found.append(min(scores))
        expected.append(np.mean(found) if aggregation == "mean" else max(found))
    np.testing.assert_allclose(clip_scores(train, train, 2, choice, aggregation, same=True), expected, atol=1e-6)


def test_the_cost_is_an_auc() -> None:
    assert separation(np.array([1.0, 2.0]), [np.array([3.0]), np.array([0.0])]) == 0.5
    assert len(np.unique(some_clips(pieces(500)).clip)) == 200
    with pytest.raises(ValueError, match="keep more"):
        clip_scores(pieces(2), pieces(2), 5, "both", "mean", same=True)
