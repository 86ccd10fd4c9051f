"""What every scorer promises, and each one's scores against plain loops."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import LocalOutlierFactor as SklearnLof

from asd.scoring.cosine import CosineNeighbours
from asd.scoring.cross_fitted import folds
from asd.scoring.density import LocalDensity, LocalOutlierFactor
from asd.scoring.distributions import GaussianMixture, Mahalanobis, PcaResidual
from asd.scoring.domain_neighbours import DomainNeighbours
from asd.scoring.euclidean import EuclideanNeighbours
from asd.scoring.fusion import Fusion
from asd.scoring.neighbours import ScorerSettings, score_clips, unit_embeddings
from asd.scoring.scorer import NO_REFERENCE, ClipPieces, Scorer

DIM, N_EACH = 6, 4
SCORERS: dict[str, Callable[[], Scorer]] = {
    "cosine": lambda: CosineNeighbours(n_neighbors=3),
    "cosine, nearest domain": lambda: CosineNeighbours(n_neighbors=2, references="nearest", aggregation="max"),
    "domains": lambda: DomainNeighbours(enlarge="none"),
    "smote": lambda: DomainNeighbours(enlarge="smote", up_to=0.9),
    "mixed": lambda: DomainNeighbours(enlarge="mixed", up_to=0.9),
    "mahalanobis": lambda: Mahalanobis(n_folds=3),
    "mahalanobis, per domain": lambda: Mahalanobis(per_domain=True),
    "mixture": lambda: GaussianMixture(covariance="full", regularisation=1e-2),
    "diagonal mixture": lambda: GaussianMixture(n_components=1),
    "pca": lambda: PcaResidual(explained=0.7),
    "density": lambda: LocalDensity(n_neighbors=5),
    "nearest": lambda: EuclideanNeighbours(n_neighbors=2),
    "lof": lambda: LocalOutlierFactor(n_neighbors=6),
    "fusion": lambda: Fusion(scorers=[CosineNeighbours(n_neighbors=3), Mahalanobis()]),
    "minimum": lambda: Fusion(scorers=[LocalDensity(), PcaResidual(explained=0.7)], how="minimum", aggregation="max"),
}


def clips(n_source: int, n_target: int, seed: int = 0, n_each: int = N_EACH) -> ClipPieces:
    """Source clips, then target clips a little aside; the pieces of a clip are much alike."""
    generator = torch.Generator().manual_seed(seed)
    n = n_source + n_target
    centre = torch.randn(n, 1, DIM, generator=generator)
    centre[n_source:] += 1
    pieces = centre + 0.1 * torch.randn(n, n_each, DIM, generator=generator)
    is_source = np.arange(n) < n_source
    clip = np.repeat(np.arange(n), n_each)
    return ClipPieces("fan section 02", 2, unit_embeddings(pieces.flatten(0, 1)), clip, is_source)


def part(pieces: ClipPieces, wanted: list[int]) -> ClipPieces:
    """Some of the clips, numbered anew."""
    rows = np.concatenate([np.flatnonzero(pieces.clip == clip) for clip in wanted])
    clip = np.repeat(np.arange(len(wanted)), [int((pieces.clip == clip).sum()) for clip in wanted])
    return replace(pieces, embedding=pieces.embedding[rows], clip=clip, is_source=pieces.is_source[wanted])


TRAIN, NEW = clips(14, 4), clips(3, 3, seed=1)
ALL = np.arange(len(TRAIN.is_source))


@pytest.fixture(params=SCORERS)
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return SCORERS[request.param]()


def test_the_state_gives_the_same_bits_back(scorer: Scorer, request: pytest.FixtureRequest) -> None:
    scorer.fit(TRAIN)
    file = io.BytesIO()
    np.savez(file, **scorer.state())
    file.seek(0)
    other = SCORERS[request.node.callspec.params["scorer"]]()
    other.load_state(dict(np.load(file)))
    for pieces, own in ((NEW, None), (TRAIN, ALL)):
        expected, found = scorer.score(pieces, own), other.score(pieces, own)
        np.testing.assert_array_equal(found.clips, expected.clips)
        np.testing.assert_array_equal(found.pieces, expected.pieces)
        np.testing.assert_array_equal(found.nearest, expected.nearest)


def test_fitting_twice_gives_the_same_bits(scorer: Scorer) -> None:
    scorer.fit(TRAIN)
    expected = scorer.score(NEW).pieces
    scorer.fit(clips(9, 3, seed=5))
    scorer.fit(TRAIN)
    np.testing.assert_array_equal(scorer.score(NEW).pieces, expected)


def test_a_training_clip_does_not_see_itself(scorer: Scorer) -> None:
    """Seen, it would find its own pieces; each one's clips lie far from the others here, so that it shows."""
    scorer.fit(TRAIN)
    seen, unseen = scorer.score(TRAIN), scorer.score(TRAIN, ALL)
    assert unseen.clips.mean() > seen.clips.mean()
    assert (unseen.nearest != TRAIN.clip[:, None]).all()


def test_its_score_is_as_if_it_had_never_been_there(request: pytest.FixtureRequest) -> None:
    """Exactly so for neighbours, where nothing is drawn or fitted; the clip left out is the last."""
    for name in ("cosine", "domains", "density", "lof"):
        whole, without = SCORERS[name](), SCORERS[name]()
        whole.fit(TRAIN)
        without.fit(part(TRAIN, list(range(17))))
        own = whole.score(part(TRAIN, [17]), np.array([17]))
        new = without.score(part(TRAIN, [17]))
        np.testing.assert_allclose(own.pieces, new.pieces, rtol=1e-5, err_msg=name)


def test_a_clip_scored_alone_has_the_same_score(scorer: Scorer) -> None:
    scorer.fit(TRAIN)
    together = scorer.score(NEW)
    for clip in range(6):
        alone = scorer.score(part(NEW, [clip]))
        np.testing.assert_allclose(alone.clips[0], together.clips[clip], rtol=1e-12)
        np.testing.assert_array_equal(alone.nearest, together.nearest[NEW.clip == clip])


def test_what_is_far_away_scores_higher(scorer: Scorer) -> None:
    scorer.fit(TRAIN)
    far = replace(NEW, embedding=unit_embeddings(-TRAIN.embedding.mean(dim=0) + 0.05 * NEW.embedding))
    assert scorer.score(far).clips.min() > np.median(scorer.score(TRAIN).clips)


def test_an_embedding_that_is_not_finite_is_named(scorer: Scorer) -> None:
    scorer.fit(TRAIN)
    broken = replace(NEW, embedding=NEW.embedding.clone())
    broken.embedding[9, 1] = torch.nan
    with pytest.raises(ValueError, match="fan section 02: the embedding of a piece of clip 2 is NaN or infinite"):
        scorer.score(broken)
    with pytest.raises(ValueError, match=r"fan section 02.*NaN or infinite"):
        scorer.fit(replace(broken, is_source=np.ones(6, bool)))


def test_one_training_clip_is_too_few(scorer: Scorer) -> None:
    def fit_and_score() -> None:
        scorer.fit(part(TRAIN, [0]))
        scorer.score(part(TRAIN, [0]), np.array([0]))

    with pytest.raises(ValueError, match="fan section 02"):
        fit_and_score()


@pytest.mark.parametrize("references", ["both", "source", "target", "nearest"])
def test_cosine_neighbours_are_the_same_bits_as_before(references: Any) -> None:
    scorer = CosineNeighbours(n_neighbors=3, references=references, aggregation="max")
    scorer.fit(TRAIN)
    unit = torch.cat([TRAIN.embedding, NEW.embedding])
    clip = np.concatenate([TRAIN.clip, NEW.clip + 18])
    own_clip = np.array([*range(18), *[NO_REFERENCE] * 6])
    expected = score_clips(unit, clip, scorer.references, ScorerSettings(3, "max", references), own_clip=own_clip)
    found = scorer.score(TRAIN, ALL), scorer.score(NEW)
    for name in ("clips", "pieces", "nearest"):
        both = np.concatenate([getattr(scores, name) for scores in found])
        np.testing.assert_array_equal(both, getattr(expected, name))


def slow_domains(
    piece: NDArray[np.float64], made: dict[str, list[tuple[NDArray[np.float64], set[int]]]], own: int
) -> float:
    """1 − the largest cosine to any reference that has nothing of the own clip."""
    cosines = [piece @ unit for domain in made.values() for unit, parents in domain if own not in parents]
    return 1 - max(cosines)


@pytest.mark.parametrize("enlarge", ["none", "smote", "mixed"])
def test_domains_against_a_plain_loop(enlarge: Any) -> None:
    scorer = DomainNeighbours(enlarge=enlarge, up_to=0.9)
    scorer.fit(TRAIN)
    state = scorer.state()
    made: dict[str, list[tuple[NDArray[np.float64], set[int]]]] = {
        domain: [
            (u.astype(float), set(p.tolist())) for u, p in zip(state[domain], state[f"{domain}_parents"], strict=True)
        ]
        for domain in ("source", "target")
    }
    assert len(made["target"]) == (16 if enlarge == "none" else 50)  # .9 · 56 source pieces
    found = scorer.score(TRAIN, ALL).pieces
    expected = [slow_domains(x, made, c) for x, c in zip(TRAIN.embedding.double().numpy(), TRAIN.clip, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_smote_moves_towards_the_nearest_target_pieces_of_other_clips() -> None:
    scorer = DomainNeighbours(enlarge="smote", up_to=0.9, n_mates=2)
    scorer.fit(TRAIN)
    target, parents = scorer.state()["target"].astype(float), scorer.state()["target_parents"]
    clip = parents[:16, 0]
    for number, (unit, (first_clip, mate_clip)) in enumerate(zip(target[16:], parents[16:], strict=True)):
        first = target[number % 16]
        assert first_clip == clip[number % 16] != mate_clip
        others = np.flatnonzero(clip != first_clip)
        mates = others[np.argsort(-(target[others] @ first))[:2]]
        residuals = []  # of the made piece to the plane through the first piece and its mate
        for mate in mates:
            plane, _ = np.linalg.qr(np.stack([first, target[mate]], axis=1))
            residuals.append(np.linalg.norm(unit - plane @ (plane.T @ unit)))
            if residuals[-1] < 1e-5:
                assert unit @ first > target[mate] @ first - 1e-6
                assert clip[mate] == mate_clip
        assert min(residuals) < 1e-5


def test_mixed_targets_are_nine_tenths_target() -> None:
    scorer = DomainNeighbours(enlarge="mixed", up_to=0.9)
    scorer.fit(TRAIN)
    state = {name: array.astype(float) for name, array in scorer.state().items()}
    source, target = state["source"], state["target"]
    for number, made in enumerate(target[16:]):
        first, rank = number % 16, number // 16
        nearest = np.argsort(-(source @ target[first]))[rank]
        mixture = 0.9 * target[first] + 0.1 * source[nearest]
        np.testing.assert_allclose(made, mixture / np.linalg.norm(mixture), atol=1e-6)


def test_one_target_clip_cannot_be_enlarged_by_smote_and_is_not_its_own_reference() -> None:
    train = part(TRAIN, [*range(14), 14])
    scorer = DomainNeighbours(enlarge="smote", up_to=0.9)
    scorer.fit(train)
    assert len(scorer.state()["target"]) == N_EACH
    own = scorer.score(part(TRAIN, [14]), np.array([14]))
    assert (own.nearest < 14).all(), "only the source is left"


def test_another_seed_makes_other_pieces() -> None:
    made = []
    for seed in (0, 0, 1):
        scorer = DomainNeighbours(enlarge="smote", up_to=0.9, seed=seed)
        scorer.fit(TRAIN)
        made.append(scorer.state()["target"])
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


def own_folds(n_folds: int) -> NDArray[np.int64]:
    """Clips are dealt to the folds in turn: all source clips come before the target's here."""
    return np.arange(18) % n_folds


def slow_models(
    score: Callable[[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]], float], n: int
) -> list[float]:
    """Each training piece by a model of the pieces of other folds, one piece at a time."""
    x, fold = TRAIN.embedding.double().numpy(), own_folds(n)[TRAIN.clip]
    domain = TRAIN.is_source[TRAIN.clip]
    return [score(x[fold != f], domain[fold != f], piece) for piece, f in zip(x, fold, strict=True)]


@pytest.mark.parametrize("per_domain", [False, True])
def test_mahalanobis_against_a_plain_loop(per_domain: bool) -> None:
    def slow(train: NDArray[np.float64], is_source: NDArray[np.bool_], piece: NDArray[np.float64]) -> float:
        groups = [train[is_source], train[~is_source]] if per_domain else [train]
        means = [group.mean(axis=0) for group in groups]
        residuals = np.concatenate([group - mean for group, mean in zip(groups, means, strict=True)])
        n, p = residuals.shape
        covariance = residuals.T @ residuals / n
        mu = np.trace(covariance) / p  # Ledoit and Wolf 2004, section 3.3
        d2 = ((covariance - mu * np.eye(p)) ** 2).sum() / p
        b2 = sum(((np.outer(r, r) - covariance) ** 2).sum() / p for r in residuals) / n**2
        shrinkage = min(b2, d2) / d2
        shrunk = (1 - shrinkage) * covariance + shrinkage * mu * np.eye(p)
        return min(math.sqrt((piece - m) @ np.linalg.inv(shrunk) @ (piece - m)) for m in means)

    scorer = Mahalanobis(per_domain=per_domain, n_folds=3)
    scorer.fit(TRAIN)
    np.testing.assert_allclose(scorer.score(TRAIN, ALL).pieces, slow_models(slow, 3), rtol=1e-6)


def test_one_normal_distribution_against_a_plain_loop() -> None:
    def slow(train: NDArray[np.float64], _: Any, piece: NDArray[np.float64]) -> float:
        covariance = np.cov(train.T, bias=True) + 0.01 * np.eye(DIM)
        off = piece - train.mean(axis=0)
        return 0.5 * (off @ np.linalg.inv(covariance) @ off + np.linalg.slogdet(2 * math.pi * covariance)[1])

    scorer = GaussianMixture(n_components=1, covariance="full", regularisation=0.01, n_folds=3)
    scorer.fit(TRAIN)
    np.testing.assert_allclose(scorer.score(TRAIN, ALL).pieces, slow_models(slow, 3), rtol=1e-6)


def test_two_clouds_have_two_components() -> None:
    generator = torch.Generator().manual_seed(3)
    cloud = 0.1 * torch.randn(40, 2, generator=generator)
    cloud[::2] += 5
    train = ClipPieces("fan", 0, cloud, np.arange(40), np.ones(40, bool))
    between = ClipPieces("fan", 0, torch.tensor([[2.5, 2.5], [0.0, 0.0], [5.0, 5.0]]), np.arange(3), np.ones(3, bool))
    scorer = GaussianMixture(n_components=2)
    scorer.fit(train)
    middle, first, second = scorer.score(between).clips
    assert middle > 100 > max(first, second)


def test_pca_residual_against_a_plain_loop() -> None:
    def slow(train: NDArray[np.float64], _: Any, piece: NDArray[np.float64]) -> float:
        mean = train.mean(axis=0)
        _, singular, components = np.linalg.svd(train - mean)
        share = np.cumsum(singular**2) / (singular**2).sum()
        kept = components[: next(i + 1 for i, s in enumerate(share) if s >= 0.7)]
        residual = piece - mean
        for component in kept:
            residual = residual - (residual @ component) * component
        return float(np.linalg.norm(residual))

    scorer = PcaResidual(explained=0.7, n_folds=3)
    scorer.fit(TRAIN)
    np.testing.assert_allclose(scorer.score(TRAIN, ALL).pieces, slow_models(slow, 3), rtol=1e-6)


def slow_neighbours(x: NDArray[np.float64], rows: list[int], k: int) -> list[tuple[float, int]]:
    distance = cdist(x[None], TRAIN.embedding.double().numpy())[0]
    return sorted((distance[row], row) for row in rows)[:k]


def rows_without(*clips: int) -> list[int]:
    return [row for row, clip in enumerate(TRAIN.clip) if clip not in clips]


def test_local_density_against_a_plain_loop() -> None:
    x = TRAIN.embedding.double().numpy()
    expected = []
    for piece, own in zip(x, TRAIN.clip, strict=True):
        ratios = []
        for distance, row in slow_neighbours(piece, rows_without(own), 5):
            around = slow_neighbours(x[row], rows_without(own, TRAIN.clip[row]), 4)
            ratios.append(distance / (sum(d for d, _ in around) / 4))
        expected.append(min(ratios))
    scorer = LocalDensity(n_neighbors=5, n_density=4)
    scorer.fit(TRAIN)
    np.testing.assert_allclose(scorer.score(TRAIN, ALL).pieces, expected, rtol=1e-4)


def test_local_outlier_factor_against_a_plain_loop() -> None:
    x, k = TRAIN.embedding.double().numpy(), 6

    def around(row: int, own: int) -> list[tuple[float, int]]:
        return slow_neighbours(x[row], rows_without(own, TRAIN.clip[row]), k)

    def density(neighbours: list[tuple[float, int]], own: int) -> float:
        return k / sum(max(distance, around(row, own)[-1][0]) for distance, row in neighbours)

    rows = [0, 5, 17, 40, 60, 71]
    expected = []
    for row in rows:
        own = int(TRAIN.clip[row])
        neighbours = slow_neighbours(x[row], rows_without(own), k)
        expected.append(sum(density(around(r, own), own) for _, r in neighbours) / k / density(neighbours, own))
    scorer = LocalOutlierFactor(n_neighbors=k)
    scorer.fit(TRAIN)
    np.testing.assert_allclose(scorer.score(TRAIN, ALL).pieces[rows], expected, rtol=1e-4)


def test_local_outlier_factor_of_single_pieces_is_that_of_scikit_learn() -> None:
    train, new = clips(40, 8, n_each=1), clips(3, 3, seed=1, n_each=1)
    scorer = LocalOutlierFactor(n_neighbors=7)
    scorer.fit(train)
    theirs = SklearnLof(n_neighbors=7, novelty=True).fit(train.embedding.double().numpy())
    expected = -theirs.score_samples(new.embedding.double().numpy())
    np.testing.assert_allclose(scorer.score(new).clips, expected, rtol=1e-4)


def test_equal_references_have_a_finite_score() -> None:
    same = replace(TRAIN, embedding=torch.ones_like(TRAIN.embedding) / math.sqrt(DIM))
    for name in ("density", "lof", "mixture", "pca"):
        scorer = SCORERS[name]()
        scorer.fit(same)
        assert np.isfinite(scorer.score(NEW).clips).all(), name
        assert np.isfinite(scorer.score(same, ALL).clips).all(), name
    with pytest.raises(ValueError, match="fan section 02: all training pieces are equal"):
        Mahalanobis().fit(same)


@pytest.mark.parametrize(
    ("shift", "decimals"), [(0.0, 6), (-60.0, 6), (-60.0, 0)], ids=["near", "far from zero", "many are equal"]
)
def test_euclidean_neighbours_against_a_plain_loop(shift: float, decimals: int) -> None:
    embedding = (3 * TRAIN.embedding + shift).round(decimals=decimals)  # their length counts
    train = replace(TRAIN, embedding=embedding)
    scorer = EuclideanNeighbours(n_neighbors=3)
    scorer.fit(train)
    found = scorer.score_pieces(train, ALL)
    for piece, clip in enumerate(train.clip):
        others = [
            (math.dist(train.embedding[piece].double(), train.embedding[row].double()), int(train.clip[row]))
            for row in np.flatnonzero(train.clip != clip)
        ]
        nearest = sorted(others)[:3]
        assert found.score[piece] == pytest.approx(np.mean([distance for distance, _ in nearest]))
        assert found.nearest[piece].tolist() == [number for _, number in nearest]


@pytest.mark.parametrize("how", ["minimum", "mean"])
def test_fusion_against_a_plain_loop(how: Any) -> None:
    def members() -> list[Scorer]:
        return [CosineNeighbours(n_neighbors=3), Mahalanobis(), LocalDensity()]

    standardised = []
    for member in members():
        member.fit(TRAIN)
        own = member.score(TRAIN, ALL).pieces
        standardised.append((member.score(NEW).pieces - own.mean()) / own.std())
    scorer = Fusion(scorers=members(), how=how)
    scorer.fit(TRAIN)
    expected = np.min(standardised, axis=0) if how == "minimum" else np.mean(standardised, axis=0)
    np.testing.assert_allclose(scorer.score(NEW).pieces, expected)


def test_fusion_scores_the_training_clips_once(monkeypatch: pytest.MonkeyPatch) -> None:
    members: list[Scorer] = [CosineNeighbours(n_neighbors=3), LocalDensity()]
    scorer, read = Fusion(scorers=members), Fusion(scorers=members)
    scorer.fit(TRAIN)
    read.load_state(scorer.state())
    both = torch.cat([TRAIN.embedding[:8], NEW.embedding])
    clip, is_source = np.repeat(np.arange(8), N_EACH), np.r_[TRAIN.is_source[:2], NEW.is_source]
    mixed = replace(NEW, embedding=both, clip=clip, is_source=is_source)
    own_clip = np.array([0, 1, *[NO_REFERENCE] * 6])
    expected = read.score(mixed, own_clip)
    scored, score_members = [], scorer.score_members
    monkeypatch.setattr(scorer, "score_members", lambda new, own: scored.append(len(own)) or score_members(new, own))
    found = scorer.score(mixed, own_clip)
    assert scored == [6]
    np.testing.assert_array_equal(found.pieces, expected.pieces)
    np.testing.assert_array_equal(found.nearest, expected.nearest)


def test_a_member_without_spread_is_named() -> None:
    same = replace(TRAIN, embedding=torch.zeros_like(TRAIN.embedding))
    with pytest.raises(ValueError, match="fan section 02: PcaResidual gives all training pieces the same score"):
        Fusion(scorers=[PcaResidual(), LocalDensity()]).fit(same)


def test_folds_deal_out_each_domain() -> None:
    fold = folds(np.array([True, False, True, True, False, True]), 2)
    assert fold.tolist() == [0, 0, 1, 0, 1, 1]


def test_too_few_neighbours_are_named() -> None:
    with pytest.raises(ValueError, match=r"fan section 02: 4 training pieces besides those of two clips, but 20"):
        LocalOutlierFactor().fit(part(TRAIN, [0, 1, 2]))
    with pytest.raises(ValueError, match=r"fan section 02: 4 training pieces besides those of one clip, but 5"):
        EuclideanNeighbours(n_neighbors=5).fit(part(TRAIN, [0, 1]))
    scorer = DomainNeighbours(n_neighbors=5)
    scorer.fit(part(TRAIN, [0, 1]))
    with pytest.raises(ValueError, match="no domain has 5 training pieces besides a clip's own"):
        scorer.score(part(TRAIN, [0]), np.array([0]))
    with pytest.raises(ValueError, match=r"fan section 02: .* pieces for 90 components"):
        GaussianMixture(n_components=90).fit(TRAIN)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CosineNeighbours(n_neighbors=0), "n_neighbors is 0"),
        (lambda: CosineNeighbours(n_neighbors=1, aggregation="sum"), "scorer.aggregation=sum: give mean or max"),
        (lambda: EuclideanNeighbours(n_neighbors=0), "scorer.n_neighbors=0: give 1 or more"),
        (lambda: DomainNeighbours(n_neighbors=0), "scorer.n_neighbors=0"),
        (lambda: DomainNeighbours(enlarge="more"), "scorer.enlarge=more: give none, smote or mixed"),
        (lambda: DomainNeighbours(up_to=-1), "scorer.up_to=-1"),
        (lambda: DomainNeighbours(share_of_source=2), "share_of_source=2"),
        (lambda: Mahalanobis(n_folds=1), "scorer.n_folds=1: give 2 or more"),
        (lambda: GaussianMixture(n_components=0), "scorer.n_components=0"),
        (lambda: GaussianMixture(covariance="round"), "scorer.covariance=round: give full, tied, diag or spherical"),
        (lambda: PcaResidual(explained=1.0), "scorer.explained=1.0"),
        (lambda: LocalDensity(n_density=0), "n_density=0"),
        (lambda: Fusion(scorers=[PcaResidual()]), "scorer.scorers has 1: give two or more"),
        (lambda: Fusion(scorers=[PcaResidual(), Mahalanobis()], how="max"), "scorer.how=max: give minimum or mean"),
    ],
)
def test_settings_are_checked(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_new_clips_are_those_without_a_number() -> None:
    scorer = Mahalanobis()
    scorer.fit(TRAIN)
    mixed = np.array([NO_REFERENCE, 1, NO_REFERENCE, 3, *range(4, 18)])
    found = scorer.score(TRAIN, mixed).clips
    np.testing.assert_array_equal(found == scorer.score(TRAIN).clips, mixed == NO_REFERENCE)
