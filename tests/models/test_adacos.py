"""AdaCos, sub-clusters and subspaces against plain loops, and at their singular points."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from asd.models.adacos import AdaCos, AdaProj
from tests.support.backbones import noise

LABEL = torch.tensor([0, 1, 2, 3, 0, 2])
PARTNER = torch.tensor([1, 0, 3, 2, 3, 1])
WEIGHT = torch.tensor([0.0, 0.1, 0.25, 0.49, 0.7, 1.0])
HEADS = {
    "adacos": (AdaCos, {}),
    "sub-clusters": (AdaCos, {"sub_clusters": 5}),
    "projection": (AdaProj, {"subspace_dim": 3}),
}


@pytest.fixture(params=HEADS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def head(kind: str, **options: Any) -> AdaCos:
    """Four classes, 8-dimensional embeddings."""
    torch.manual_seed(0)
    cls, own = HEADS[kind]
    return cls(**({"embedding_dim": 8, "n_classes": 4} | own | options))


def unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [x / length for x in vector]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def slow_cosines(adacos: AdaCos, embedding: list[float]) -> list[list[float]]:
    """Cosines by class and centre; of a subspace, the one with the projection."""
    rows = [unit(row) for row in adacos.weight.tolist()]
    n_each, z = len(rows) // adacos.n_classes, unit(embedding)
    of_class = [rows[first : first + n_each] for first in range(0, len(rows), n_each)]
    if not isinstance(adacos, AdaProj):
        return [[dot(z, row) for row in own] for own in of_class]
    cosines = []
    for own in of_class:
        projection = [sum(dot(z, row) * row[i] for row in own) for i in range(len(z))]
        cosines.append([dot(z, unit(projection))])
    return cosines


def slow_loss(adacos: AdaCos, embedding: list[float], soft_label: list[float]) -> float:
    scale = float(adacos.scale)
    terms = [[math.exp(scale * c) for c in of_class] for of_class in slow_cosines(adacos, embedding)]
    total = sum(map(sum, terms))
    return -sum(y * math.log(sum(of_class) / total) for y, of_class in zip(soft_label, terms, strict=True))


def soft_labels() -> list[list[float]]:
    labels = []
    for label, partner, weight in zip(LABEL.tolist(), PARTNER.tolist(), WEIGHT.tolist(), strict=True):
        soft = [0.0] * 4
        soft[label] += 1 - weight
        soft[partner] += weight
        labels.append(soft)
    return labels


@pytest.mark.parametrize("scale", [None, 7.0])
def test_the_loss_of_each_piece_is_that_of_a_plain_loop(kind: str, scale: float | None) -> None:
    adacos, embedding = head(kind, scale=scale).double(), 5 * noise(6, 8).double()
    pairs = zip(embedding.tolist(), soft_labels(), strict=True)
    expected = torch.tensor([slow_loss(adacos, x, soft) for x, soft in pairs], dtype=torch.float64)
    torch.testing.assert_close(adacos(embedding, LABEL, PARTNER, WEIGHT), expected, rtol=1e-9, atol=1e-9)


def test_class_scores_are_log_probabilities(kind: str) -> None:
    adacos, embedding = head(kind).double(), noise(6, 8).double()
    scores = adacos.class_scores(embedding)
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(6, dtype=torch.float64))
    for x, row in zip(embedding.tolist(), scores, strict=True):
        for k in range(4):
            assert row[k].item() == pytest.approx(-slow_loss(adacos, x, [float(k == i) for i in range(4)]))


@pytest.mark.parametrize(("kind", "centres"), [("adacos", 4), ("sub-clusters", 20), ("projection", 4)])
def test_the_first_scale_follows_from_the_number_of_centres(kind: str, centres: int) -> None:
    assert float(head(kind).scale) == pytest.approx(math.sqrt(2) * math.log(centres - 1))


def test_the_dynamic_scale_is_that_of_a_plain_loop(kind: str) -> None:
    adacos, embedding = head(kind, dynamic_scale=True).double(), noise(6, 8).double()
    louder = [0, 1, 2, 3, 3, 1]
    cosines = [slow_cosines(adacos, x) for x in embedding.tolist()]
    scale = float(adacos.scale)
    b = sum(
        math.exp(scale * c)
        for own, label in zip(cosines, louder, strict=True)
        for k in range(4)
        for c in own[k]
        if k != label
    )
    angles = sorted(math.acos(max(own[label])) for own, label in zip(cosines, louder, strict=True))
    expected = math.log(b / 6) / math.cos(min(math.pi / 4, angles[2]))  # torch's median is the lower one
    adacos(embedding, LABEL, PARTNER, WEIGHT)
    assert float(adacos.scale) == pytest.approx(expected, rel=1e-6)
    pairs = zip(embedding.tolist(), soft_labels(), strict=True)
    losses = torch.tensor([slow_loss(adacos, x, soft) for x, soft in pairs], dtype=torch.float64)
    torch.testing.assert_close(adacos.eval()(embedding, LABEL, PARTNER, WEIGHT), losses)
    assert float(adacos.scale) == pytest.approx(expected, rel=1e-6), "it stands still in evaluation mode"


def test_the_scale_goes_into_the_checkpoint(kind: str) -> None:
    adacos = head(kind, dynamic_scale=True)
    adacos(noise(6, 8), LABEL, PARTNER, WEIGHT)
    other = head(kind)
    other.load_state_dict(adacos.state_dict())
    assert other.scale == adacos.scale


def test_the_gradient_is_the_slope_of_the_loss(kind: str) -> None:
    adacos, embedding = head(kind).double(), noise(6, 8).double().requires_grad_()

    def losses(embedding: Tensor, weight: Tensor) -> Tensor:
        arguments = (embedding, LABEL, PARTNER, WEIGHT.double())
        return torch.func.functional_call(adacos, {"weight": weight}, arguments)

    assert torch.autograd.gradcheck(losses, (embedding, adacos.weight))


def test_frozen_centres_do_not_learn(kind: str) -> None:
    adacos, embedding = head(kind, trained_centers=False), noise(6, 8).requires_grad_()
    adacos(embedding, LABEL, PARTNER, WEIGHT).sum().backward()
    assert adacos.weight.grad is None
    assert embedding.grad is not None
    assert embedding.grad.abs().sum() > 0


@pytest.mark.parametrize("sign", [1, -1, 0])
@pytest.mark.parametrize("dynamic_scale", [False, True])
def test_on_a_centre_opposite_to_it_and_silent_all_is_finite(kind: str, sign: int, dynamic_scale: bool) -> None:
    adacos = head(kind, dynamic_scale=dynamic_scale)
    embedding = (sign * adacos.weight.detach()[:2]).clone().requires_grad_()
    for _ in range(3):
        losses = adacos(embedding, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0.0, 0.3]))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert adacos.scale.isfinite()
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()
    assert adacos.weight.grad is not None
    assert adacos.weight.grad.isfinite().all()


def test_at_right_angles_to_a_subspace_all_is_finite() -> None:
    adaproj = AdaProj(embedding_dim=4, n_classes=2, subspace_dim=2, scale=8.0)
    adaproj.weight.data = torch.eye(4)
    embedding = torch.eye(4)[:1].requires_grad_()
    loss = adaproj(embedding, torch.tensor([1]), torch.tensor([1]), torch.zeros(1))
    loss.sum().backward()
    assert loss.item() == pytest.approx(8 + math.log1p(math.exp(-8)))
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()


def test_within_its_subspace_an_embedding_is_free() -> None:
    adaproj = AdaProj(embedding_dim=4, n_classes=2, subspace_dim=2, scale=8.0)
    adaproj.weight.data = torch.eye(4)
    embedding = torch.tensor([[1.0, 0, 0, 0], [0.6, -0.8, 0, 0], [0, 1.0, 0, 0]])
    own = torch.zeros(3, dtype=torch.int64)
    losses = adaproj(embedding, own, own, torch.zeros(3))
    torch.testing.assert_close(losses, losses[:1].expand(3))


def test_under_autocast_it_is_float32(kind: str) -> None:
    adacos, embedding = head(kind), noise(6, 8).bfloat16()
    expected = adacos(embedding.float(), LABEL, PARTNER, WEIGHT)
    with torch.autocast("cpu", torch.bfloat16):
        losses = adacos(embedding, LABEL, PARTNER, WEIGHT)
    losses.mean().backward()
    assert losses.dtype == adacos.class_scores(embedding).dtype == torch.float32
    assert torch.equal(losses, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_classes": 1}, "n_classes=1: must be at least 2"),
        ({"n_classes": 2}, r"two centres .* loss.scale, or loss.sub_clusters=16"),
        ({"scale": 0.0}, "scale=0.0"),
        ({"scale": math.inf}, "scale=inf"),
        ({"sub_clusters": 0}, "sub_clusters=0"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
    ],
)
def test_an_argument_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head("adacos", **options)


def test_a_subspace_needs_a_dimension() -> None:
    with pytest.raises(ValueError, match="subspace_dim=0"):
        head("projection", subspace_dim=0)
