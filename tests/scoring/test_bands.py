"""Banks of references for each frequency band, against plain loops; the last feature map of every backbone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import asd
from asd.evaluation import evaluate
from asd.inference.export import build_model
from asd.inference.export_run import exported_detector
from asd.inference.export_scorers import scoring_of, state_of
from asd.models.aisfx import Aisfx
from asd.models.frequency_bands import FrequencyBands
from asd.models.mobilefacenet import MobileFaceNet
from asd.models.multiresolution import MultiResolution
from asd.models.small_cnn import SmallCnn
from asd.models.timm_cnn import TimmCnn
from asd.runs.folder import RunFolder
from asd.runs.scores import read_scores
from asd.scoring.band_neighbours import BandNeighbours
from asd.scoring.scorer import NO_REFERENCE, ClipPieces
from asd_runtime.back_ends import back_end_scores
from asd_runtime.detector import Detector

BANDS, CHANNELS, PIECES = 3, 4, 2
Job = Callable[..., Any]


def clips(n: int, seed: int, n_target: int = 3) -> ClipPieces:
    """Clips of two pieces, of each three bands of unit length / √3; the last few of the target domain."""
    vectors = torch.from_numpy(np.random.default_rng(seed).standard_normal((n * PIECES, BANDS, CHANNELS)))
    unit = nn.functional.normalize(vectors, dim=2).flatten(1).float() / BANDS**0.5
    return ClipPieces("fan section 00", 0, unit, np.repeat(np.arange(n), PIECES), np.arange(n) < n - n_target)


def slow_scores(pieces: ClipPieces, train: ClipPieces, own_clip: list[int], k: int, domains: list[list[bool]]) -> Any:
    """Score and nearest clip of every piece, number by number."""
    scores, nearest = [], []
    for piece, clip in zip(pieces.embedding.double(), pieces.clip, strict=True):
        of_band, first = [], []
        for band in range(BANDS):
            here = slice(band * CHANNELS, (band + 1) * CHANNELS)
            found = []
            for domain in domains:
                cosines = [
                    (float(piece[here] @ other[here]) * BANDS, -row, int(theirs))
                    for row, (other, theirs) in enumerate(zip(train.embedding.double(), train.clip, strict=True))
                    if theirs != own_clip[clip] and train.is_source[theirs] in domain
                ]
                largest = sorted(cosines, reverse=True)[:k]
                found.append((1 - sum(cosine for cosine, _, _ in largest) / k, largest[0][2]))
            score, clip_of = min(found, key=lambda pair: pair[0])
            of_band.append(score)
            first.append(clip_of)
        scores.append(sum(of_band) / BANDS)
        nearest.append(max(first, key=lambda each: (first.count(each), -first.index(each))))
    return scores, nearest


@pytest.mark.parametrize(("references", "domains"), [("both", [[True, False]]), ("nearest", [[True], [False]])])
@pytest.mark.parametrize("k", [1, 3])
def test_against_plain_loops(k: int, references: Any, domains: list[list[bool]]) -> None:
    train, new = clips(8, 0), clips(4, 1)
    scorer = BandNeighbours(bands=BANDS, n_neighbors=k, references=references)
    scorer.fit(train)
    for pieces, own in ((new, [NO_REFERENCE] * 4), (train, list(range(8)))):
        found = scorer.score(pieces, np.array(own))
        scores, nearest = slow_scores(pieces, train, own, k, domains)
        np.testing.assert_allclose(found.pieces, scores, atol=1e-6)
        np.testing.assert_allclose(found.clips, np.reshape(scores, (-1, PIECES)).mean(axis=1), atol=1e-6)
        np.testing.assert_array_equal(found.nearest[:, 0], nearest)


@pytest.mark.parametrize("references", ["both", "target", "nearest"])
def test_state_and_the_runtime_say_the_same(references: Any) -> None:
    scorer, other = (BandNeighbours(bands=BANDS, n_neighbors=2, references=references) for _ in range(2))
    scorer.fit(clips(8, 0))
    other.load_state(scorer.state())
    new = clips(4, 1)
    expected = scorer.score(new)
    assert np.array_equal(other.score(new).pieces, expected.pieces)
    found = back_end_scores(new.embedding.numpy(), scoring_of(scorer), state_of(scorer))
    np.testing.assert_allclose(found.score, expected.pieces, atol=1e-6)
    np.testing.assert_array_equal(found.nearest, expected.nearest[:, 0])


def test_other_features_are_refused() -> None:
    whole = clips(8, 0)
    embedding = nn.functional.normalize(torch.randn(16, 12, generator=torch.Generator().manual_seed(0)), dim=1)
    for bands, features in ((BANDS, embedding), (5, whole.embedding)):
        pieces = ClipPieces(whole.section, 0, features, whole.clip, whole.is_source)
        with pytest.raises(ValueError, match=rf"fan section 00: these are no features of {bands} frequency bands"):
            BandNeighbours(bands=bands).fit(pieces)


def test_a_silent_band_has_no_direction() -> None:
    whole = clips(8, 0)
    whole.embedding[3, :CHANNELS] = 0
    scorer = BandNeighbours(bands=BANDS)
    scorer.fit(whole)
    assert np.isfinite(scorer.score(whole, np.arange(8)).clips).all()


NETWORKS: dict[str, tuple[Any, int]] = {
    "small": (lambda: SmallCnn(n_bins=512, n_frames=32, embedding_dim=8), 8),
    "mobilefacenet": (lambda: MobileFaceNet(n_bins=512, n_frames=32), 16),
    "resnet50": (lambda: TimmCnn(model="resnet50", n_bins=512, n_frames=32, embedding_dim=8), 16),
    "efficientnet_b0": (lambda: TimmCnn(model="efficientnet_b0", n_bins=512, n_frames=32, embedding_dim=8), 16),
    "aisfx": (lambda: Aisfx(n_bins=96, n_frames=100, pretrained=False), 12),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_band_is_the_mean_of_its_rows(name: str) -> None:
    make, n_rows = NETWORKS[name]
    backbone = make().eval()
    pieces = torch.randn(2, *backbone.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        feature_map, found = backbone.feature_map(pieces), FrequencyBands(backbone, 5)(pieces)
    assert feature_map.shape[2] == n_rows
    rows = [group.tolist() for group in np.array_split(np.arange(n_rows), 5)]
    means = torch.stack([feature_map[:, :, group].mean(dim=(2, 3)) for group in rows], dim=1)
    expected = means / means.norm(dim=2, keepdim=True) / 5**0.5
    assert torch.allclose(found, expected.flatten(1), atol=1e-5)
    with pytest.raises(ValueError, match=rf"scorer\.bands=33: .* has {n_rows} rows"):
        FrequencyBands(backbone, 33)(pieces)


def test_the_map_is_what_the_last_block_gives() -> None:
    backbone = MobileFaceNet(n_bins=64, n_frames=32).eval()
    seen: list[Tensor] = []
    backbone.parts()[backbone.last_block].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    pieces = torch.randn(2, 1, 64, 32)
    backbone(pieces)
    assert torch.equal(backbone.feature_map(pieces), seen[0])


def test_networks_without_a_map_say_so() -> None:
    branches = MultiResolution(n_samples=16_000, sample_rate=16_000, embedding_dim=512)
    with pytest.raises(ValueError, match="MultiResolution has no feature map"):
        FrequencyBands(branches, 4)(torch.zeros(1, 16_000))
    with pytest.raises(ValueError, match=r"scorer\.bands=4: Identity has no method feature_map"):
        FrequencyBands(nn.Identity(), 4)
    transformer = TimmCnn(model="vit_tiny_patch16_224", n_bins=224, n_frames=224, embedding_dim=8)
    with pytest.raises(ValueError, match="no \\(pieces, channels, rows, columns\\)"):
        FrequencyBands(transformer.eval(), 4)(torch.zeros(1, 1, 224, 224))


@pytest.mark.ci
@pytest.mark.slow
def test_beside_other_scorers_of_a_run(evaluated: RunFolder, job: Job) -> None:
    """Bands have references of their own; cosine's stay, scores of both can be asked for, exported and repeated."""
    before = evaluated.references.read_bytes()
    evaluate(job("evaluate", "scorer=bands", "scorer.bands=4"))
    assert evaluated.references.read_bytes() == before
    assert (evaluated.scores("bands") / "references.npz").is_file()
    clip = next(Path("data").rglob("section_01_source_test_anomaly_0000.wav"))
    table = read_scores(evaluated.scores("bands") / "scores.csv")
    kept = next(score for score, path in zip(table.score, table.clip, strict=True) if path.endswith(clip.name))
    found = asd.load_run(evaluated.path, scorer="bands").score(clip)
    assert found.score == kept
    exported = Detector(build_model(exported_detector(evaluated.path, scorer="bands"))).score_file(clip, 1)
    assert abs(exported.score - kept) <= 1e-4 * kept
    assert asd.load_run(evaluated.path).score(clip).score != kept
    evaluate(job("evaluate", "scorer=mahalanobis"))  # of embeddings again, whose stride is cosine's
