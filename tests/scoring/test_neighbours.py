"""Scores of pieces and clips against their nearest training pieces."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.scoring.neighbours import (
    MAX_BLOCK,
    NO_REFERENCE,
    References,
    ScorerSettings,
    score_clips,
    unit_embeddings,
)
from asd.scoring.scorer import Scores
from asd.scoring.topk import largest_of_many

SETTINGS = ScorerSettings(n_neighbors=3, aggregation="mean", references="both")
N_PIECES = (4, 5, 4, 3, 6, 4, 5)  # of each clip
IS_TRAIN = np.array([True, True, False, True, True, False, True])
IS_SOURCE = np.array([True, False, True, True, False, False, True])


@dataclass(frozen=True, eq=False)
class SectionPieces:
    """All pieces of all clips of one section, clip after clip: the training clips are the references."""

    section: str
    unit: Tensor
    clip: NDArray[np.integer]
    is_train: NDArray[np.bool_]
    is_source: NDArray[np.bool_]

    def references(self) -> References:
        rows = np.flatnonzero(self.is_train[self.clip])
        return References.from_arrays(self.section, self.unit[rows], self.clip[rows], self.is_source[self.clip[rows]])


def score_section(pieces: SectionPieces, settings: ScorerSettings) -> Scores:
    """Test clips against all references, training clips against the others."""
    own_clip = np.where(pieces.is_train, np.arange(len(pieces.is_train)), NO_REFERENCE)
    return score_clips(pieces.unit, pieces.clip, pieces.references(), settings, own_clip=own_clip)


def section(seed: int = 0, dim: int = 16) -> SectionPieces:
    generator = torch.Generator().manual_seed(seed)
    unit = unit_embeddings(torch.randn(sum(N_PIECES), dim, generator=generator))
    return SectionPieces("fan section 02", unit, np.repeat(np.arange(7), N_PIECES), IS_TRAIN, IS_SOURCE)


def slow_search(pieces: SectionPieces, row: int, k: int, domain: bool | None) -> tuple[float, list[int]]:
    """One piece against every allowed training piece, one product at a time, in float64."""
    found = []
    for other, other_clip in enumerate(pieces.clip):
        allowed = domain is None or pieces.is_source[other_clip] == domain
        if allowed and pieces.is_train[other_clip] and other_clip != pieces.clip[row]:
            cosine = float(pieces.unit[row].double() @ pieces.unit[other].double())
            found.append((-cosine, other))
    nearest = sorted(found)[:k]
    return 1 + sum(c for c, _ in nearest) / k, [int(pieces.clip[other]) for _, other in nearest]


def slow_scores(pieces: SectionPieces, settings: ScorerSettings) -> tuple[list[float], list[float], list[list[int]]]:
    domains = {"both": [None], "source": [True], "target": [False], "nearest": [True, False]}
    best = []
    for row in range(len(pieces.clip)):
        each = [slow_search(pieces, row, settings.n_neighbors, d) for d in domains[settings.references]]
        best.append(min(each, key=lambda result: result[0]))
    scores = [score for score, _ in best]
    clips = []
    for clip in range(len(pieces.is_train)):
        own = [s for s, c in zip(scores, pieces.clip, strict=True) if c == clip]
        clips.append(max(own) if settings.aggregation == "max" else sum(own) / len(own))
    return clips, scores, [nearest for _, nearest in best]


@pytest.mark.parametrize("aggregation", ["mean", "max"])
@pytest.mark.parametrize("references", ["both", "source", "target", "nearest"])
@pytest.mark.parametrize("n_neighbors", [1, 3])
def test_scores_equal_a_slow_loop(aggregation: str, references: str, n_neighbors: int) -> None:
    settings = ScorerSettings(n_neighbors, aggregation, references)
    scores = score_section(section(), settings)
    clips, pieces, nearest = slow_scores(section(), settings)
    np.testing.assert_allclose(scores.clips, clips, atol=1e-6)
    np.testing.assert_allclose(scores.pieces, pieces, atol=1e-6)
    np.testing.assert_array_equal(scores.nearest, nearest)


def test_a_training_clip_never_finds_itself() -> None:
    """FACTS 5: with its own, half-overlapping pieces among the references its score collapses."""
    generator = torch.Generator().manual_seed(1)
    centre = torch.randn(6, 1, 128, generator=generator).expand(6, 19, 128)
    unit = unit_embeddings((centre + 0.01 * torch.randn(6, 19, 128, generator=generator)).flatten(0, 1))
    clip = np.repeat(np.arange(6), 19)
    is_train = np.array([True] * 5 + [False])
    scores = score_section(SectionPieces("pump 00", unit, clip, is_train, is_train), SETTINGS)
    assert (scores.nearest != clip[:, None]).all()
    assert scores.clips.min() > 0.5
    alone = score_clips(unit, clip, SectionPieces("pump 00", unit, clip, is_train, is_train).references(), SETTINGS)
    assert alone.clips[:5].max() < 0.001, "the trap is real: own pieces in the references"


@pytest.mark.parametrize("references", ["both", "source", "target", "nearest"])
def test_a_clip_scored_alone_has_the_same_bits(references: str) -> None:
    settings = replace(SETTINGS, references=references)
    generator = torch.Generator().manual_seed(2)
    counts = [19] * 40 + [27, 11]
    clip = np.repeat(np.arange(42), counts)
    is_train = np.arange(42) < 30
    unit = unit_embeddings(torch.randn(len(clip), 128, generator=generator))
    pieces = SectionPieces("valve 01", unit, clip, is_train, np.arange(42) % 4 > 0)
    together = score_section(pieces, settings)
    kept = pieces.references()
    stored = References.from_arrays("valve 01", kept.unit.numpy(), kept.clip.numpy(), kept.is_source.numpy())
    for number in (0, 3, 29, 30, 40, 41):
        rows = clip == number
        own = np.array([number if is_train[number] else NO_REFERENCE])
        alone = score_clips(unit[rows], np.zeros(rows.sum(), int), stored, settings, own_clip=own)
        assert alone.clips[0] == together.clips[number]
        np.testing.assert_array_equal(alone.pieces, together.pieces[rows])
        np.testing.assert_array_equal(alone.nearest, together.nearest[rows])


def test_a_long_clip_is_searched_in_blocks() -> None:
    pieces = section()
    unit = unit_embeddings(torch.randn(3 * MAX_BLOCK + 5, 16, generator=torch.Generator().manual_seed(3)))
    scores = score_clips(unit, np.zeros(len(unit), int), pieces.references(), SETTINGS)
    each = score_clips(unit, np.arange(len(unit)), pieces.references(), SETTINGS)
    np.testing.assert_allclose(scores.pieces, each.pieces, atol=1e-6)
    np.testing.assert_array_equal(scores.nearest, each.nearest)


def test_equal_references_are_taken_in_their_order() -> None:
    same = torch.eye(4)[[0] * 12 + [1]]
    references = References.from_arrays("fan 00", same, np.arange(13)[::-1].copy(), np.ones(13, bool))
    scores = score_clips(torch.eye(4)[:2], np.array([0, 0]), references, SETTINGS)
    np.testing.assert_array_equal(scores.nearest, [[12, 11, 10], [0, 12, 11]])
    np.testing.assert_allclose(scores.pieces, [0, 2 / 3])


def test_autocast_and_reduced_precision_change_nothing() -> None:
    pieces = section(dim=128)
    expected = score_section(pieces, SETTINGS).clips
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            np.testing.assert_array_equal(score_section(pieces, SETTINGS).clips, expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(precision)


def test_the_number_of_threads_changes_no_bit() -> None:
    pieces = section(dim=128)
    before = torch.get_num_threads()
    found = []
    try:
        for n_threads in (1, 2, 5):
            torch.set_num_threads(n_threads)
            found.append(score_section(pieces, SETTINGS))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    for scores in found[1:]:
        np.testing.assert_array_equal(scores.pieces, found[0].pieces)
        np.testing.assert_array_equal(scores.nearest, found[0].nearest)


def test_settings_of_the_process_come_back_after_an_error() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with pytest.raises(ValueError, match="n_neighbors"):
        score_section(section(), replace(SETTINGS, n_neighbors=10_000))
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_tensors_made_for_inference_can_be_scored() -> None:
    pieces = section()
    with torch.inference_mode():
        unit = pieces.unit.clone()
    found = score_section(replace(pieces, unit=unit), SETTINGS)
    np.testing.assert_array_equal(found.clips, score_section(pieces, SETTINGS).clips)


def test_unit_embeddings_have_length_one_in_float32() -> None:
    embedding = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.bfloat16)
    unit = unit_embeddings(embedding)
    assert unit.dtype == torch.float32
    torch.testing.assert_close(unit, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def few(n_train: int) -> SectionPieces:
    """Two pieces a clip, four clips."""
    unit = unit_embeddings(torch.randn(8, 5, generator=torch.Generator().manual_seed(4)))
    train = np.arange(4) < n_train
    return SectionPieces("slider section 05", unit, np.repeat(np.arange(4), 2), train, np.ones(4, bool))


def test_too_few_references_are_named() -> None:
    with pytest.raises(ValueError, match=r"slider section 05: 0 training pieces besides .* n_neighbors is 3"):
        score_section(few(n_train=1), SETTINGS)
    with pytest.raises(ValueError, match="slider section 05: 0 training pieces, but"):
        score_section(few(n_train=0), SETTINGS)
    with pytest.raises(ValueError, match="slider section 05, target domain: 0 training pieces"):
        score_section(few(n_train=4), replace(SETTINGS, references="nearest"))


def test_exactly_k_references_are_enough() -> None:
    scores = score_section(few(n_train=2), replace(SETTINGS, n_neighbors=2))
    np.testing.assert_array_equal(scores.nearest[:4], [[1, 1], [1, 1], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors is 0; give 1"),
        ({"aggregation": "median"}, "aggregation is 'median'; give one of mean, max"),
        ({"references": "all"}, "references is 'all'; give one of both, source, target, nearest"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **settings)


@pytest.mark.parametrize("clip", [[0, 1, 0], [0, 2, 2], [1, 1, 1], [0, 0]])
def test_clip_numbers_are_checked(clip: list[int]) -> None:
    with pytest.raises(ValueError, match=r"fan section 02: .*number"):
        score_clips(torch.zeros(3, 16), np.array(clip), section().references(), SETTINGS)


def test_no_pieces_or_other_lengths_are_refused() -> None:
    references = section().references()
    none: NDArray[np.int64] = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="number the clips"):
        score_clips(torch.zeros(0, 16), none, references, SETTINGS)
    with pytest.raises(ValueError, match="own_clip has 0 entries for 1 clips"):
        score_clips(torch.zeros(1, 16), np.array([0]), references, SETTINGS, own_clip=none)
    with pytest.raises(ValueError, match=r"fan 00: unit, clip and is_source have lengths \(2, 2, 1\)"):
        References.from_arrays("fan 00", torch.zeros(2, 3), np.arange(2), np.ones(1, bool))


def test_an_embedding_that_is_not_finite_is_named() -> None:
    pieces = section()
    pieces.unit[5, 3] = torch.nan
    with pytest.raises(ValueError, match="fan section 02: a training embedding is NaN"):
        pieces.references()
    with pytest.raises(ValueError, match="piece of clip 1 is NaN"):
        score_clips(pieces.unit, pieces.clip, section().references(), SETTINGS)


@pytest.mark.parametrize("n_columns", [64 * 30, 64 * 30 + 17, 64 * 3, 9])
@pytest.mark.parametrize("n_values", [5, 40, 10**6])
def test_groups_find_what_a_whole_search_finds(n_columns: int, n_values: int) -> None:
    """Few different values make ties within groups, between groups, and with the rest at the end."""
    generator = torch.Generator().manual_seed(n_columns + n_values)
    cosine = torch.randint(0, n_values, (20, n_columns), generator=generator) / n_values
    cosine[3, 2:90] = -torch.inf
    values, columns = largest_of_many(cosine, 7)
    expected = torch.sort(cosine, dim=1, descending=True, stable=True)
    assert torch.equal(values, expected.values[:, :7])
    assert torch.equal(columns, expected.indices[:, :7])
