"""ArcFace against a plain loop over angles, against pytorch-metric-learning, and at its singular points."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor

from asd.models.arcface import ArcFace, add_margin
from tests.support.backbones import noise

LABEL = torch.tensor([0, 1, 2, 3, 0, 2])
PARTNER = torch.tensor([1, 0, 3, 2, 3, 1])
WEIGHT = torch.tensor([0.0, 0.1, 0.25, 0.49, 0.5, 1.0])


def head(**options: Any) -> ArcFace:
    """Four classes, 8-dimensional embeddings, the report's margin and scale."""
    torch.manual_seed(0)
    return ArcFace(**{"embedding_dim": 8, "n_classes": 4, "margin": 0.05, "scale": 30.0} | options)


def slow_cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def slow_loss(arcface: ArcFace, embedding: list[float], with_margin: int, label: int) -> float:
    """Cross-entropy of one example, angle by angle: −log softmax of `label`, the margin on one class."""
    centres = arcface.weight.tolist()
    exponents = []
    for of_class in range(arcface.n_classes):
        own = centres[of_class * arcface.sub_centers : (of_class + 1) * arcface.sub_centers]
        angle = math.acos(max(slow_cosine(embedding, centre) for centre in own))
        if of_class == with_margin:
            m = arcface.margin
            cosine = math.cos(angle + m) if angle + m <= math.pi else math.cos(angle) - m * math.sin(m)
        else:
            cosine = math.cos(angle)
        exponents.append(arcface.scale * cosine)
    return math.log(sum(math.exp(e) for e in exponents)) - exponents[label]


@pytest.mark.parametrize("mixed_loss", ["both", "main", "margin_on_main"])
@pytest.mark.parametrize("sub_centers", [1, 3])
@pytest.mark.parametrize("margin", [0.0, 0.05, 1.2])
def test_the_loss_of_each_piece_is_that_of_a_plain_loop(mixed_loss: str, sub_centers: int, margin: float) -> None:
    arcface = head(mixed_loss=mixed_loss, sub_centers=sub_centers, margin=margin).double()
    embedding = 5 * noise(6, 8).double()
    expected = []
    for x, label, partner, weight in zip(
        embedding.tolist(), LABEL.tolist(), PARTNER.tolist(), WEIGHT.tolist(), strict=True
    ):
        main = slow_loss(arcface, x, label, label)
        mixed_in = slow_loss(arcface, x, partner if mixed_loss == "both" else label, partner)
        expected.append(main if mixed_loss == "main" else (1 - weight) * main + weight * mixed_in)
    losses = arcface(embedding, LABEL, PARTNER, WEIGHT)
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    assert torch.equal(arcface.class_scores(embedding), arcface.cosines(embedding))


def test_without_a_partner_it_is_the_loss_of_pytorch_metric_learning() -> None:
    arcface = head()
    theirs = ArcFaceLoss(num_classes=4, embedding_size=8, margin=math.degrees(0.05), scale=30)
    theirs.W.data = arcface.weight.detach().T.clone()
    embedding = noise(6, 8)
    ours = arcface(embedding, LABEL, PARTNER, torch.zeros(6)).mean()
    assert ours.item() == pytest.approx(theirs(embedding, LABEL).item(), rel=1e-5)


def on_axes(**options: Any) -> ArcFace:
    """Two classes whose centres are the axes of the plane: the cosines are the unit embedding itself."""
    arcface = head(embedding_dim=2, n_classes=2, **options)
    arcface.weight.data = torch.eye(2)
    return arcface


def test_the_margin_is_on_the_own_class_alone() -> None:
    # one radian from its own centre; a margin on every class would give 9.47, hardly more than plain softmax's 9.04
    arcface, own = on_axes(), torch.tensor([0])
    embedding = torch.tensor([[math.cos(1.0), math.sin(1.0)]])
    expected = torch.tensor([[30 * math.cos(1.05), 30 * math.sin(1.0)]])
    torch.testing.assert_close(arcface.logits(embedding, own), expected)
    assert arcface(embedding, own, own, torch.zeros(1)).item() == pytest.approx(10.318, abs=1e-3)


def test_the_margin_is_in_radians() -> None:
    logits = on_axes(margin=0.5).logits(torch.tensor([[1.0, 1.0]]), torch.tensor([1]))
    assert logits[0, 1].item() == pytest.approx(30 * math.cos(math.pi / 4 + 0.5), rel=1e-5)


def test_the_value_falls_with_the_angle_everywhere() -> None:
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    for margin in (0.05, 0.5, math.pi / 2):
        values = add_margin(angles.cos(), margin).tolist()
        assert all(later < earlier for earlier, later in pairwise(values))
        assert values[0] == pytest.approx(math.cos(margin), abs=1e-5)


@pytest.mark.parametrize("mixed_loss", ["both", "main", "margin_on_main"])
@pytest.mark.parametrize("sub_centers", [1, 2])
def test_the_gradient_is_the_slope_of_the_loss(mixed_loss: str, sub_centers: int) -> None:
    arcface = head(mixed_loss=mixed_loss, sub_centers=sub_centers, scale=3.0).double()
    embedding = noise(6, 8).double().requires_grad_()

    def losses(embedding: Tensor, weight: Tensor) -> Tensor:
        arguments = (embedding, LABEL, PARTNER, WEIGHT.double())
        return torch.func.functional_call(arcface, {"weight": weight}, arguments)

    assert torch.autograd.gradcheck(losses, (embedding, arcface.weight))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("label", [0, 1])
def test_on_a_centre_and_opposite_to_it_all_is_finite(sign: int, margin: float, label: int) -> None:
    on_axis, anywhere = on_axes(margin=margin), head(margin=margin)  # exactly ±1, and ±1 but for rounding
    for arcface in (on_axis, anywhere):
        embedding = (sign * arcface.weight.detach()[:2]).clone().requires_grad_()
        labels = torch.full((2,), label)
        losses = arcface(embedding, labels, 1 - labels, torch.tensor([0.0, 0.3]))
        losses.sum().backward()
        assert losses.isfinite().all()
        assert embedding.grad is not None
        assert embedding.grad.isfinite().all()
        assert arcface.weight.grad.isfinite().all()


def test_a_silent_embedding_is_finite() -> None:
    arcface = head()
    embedding = torch.zeros(6, 8, requires_grad=True)
    arcface(embedding, LABEL, PARTNER, WEIGHT).mean().backward()
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()


def test_the_length_of_an_embedding_does_not_count() -> None:
    arcface, embedding = head(), noise(6, 8)
    torch.testing.assert_close(arcface.cosines(embedding), arcface.cosines(100 * embedding))


def test_under_autocast_it_is_float32() -> None:
    arcface = head()
    embedding = noise(6, 8).bfloat16()
    expected = arcface(embedding.float(), LABEL, PARTNER, WEIGHT)
    with torch.autocast("cpu", torch.bfloat16):
        logits = arcface.logits(embedding, LABEL)
        losses = arcface(embedding, LABEL, PARTNER, WEIGHT)
    losses.mean().backward()
    assert logits.dtype == losses.dtype == arcface.weight.dtype == arcface.weight.grad.dtype == torch.float32
    assert torch.equal(losses, expected)


def test_weights_of_half_precision_are_computed_in_float32() -> None:
    assert head().bfloat16().logits(noise(6, 8).bfloat16(), LABEL).dtype == torch.float32


def test_of_several_centres_only_the_nearest_counts_and_learns() -> None:
    arcface, embedding = head(sub_centers=2), noise(1, 8)
    each = torch.cosine_similarity(embedding, arcface.weight.detach()).view(4, 2)
    cosines = arcface.cosines(embedding)
    torch.testing.assert_close(cosines[0], each.max(dim=1).values)
    cosines.sum().backward()
    learns = arcface.weight.grad.abs().sum(dim=1).view(4, 2) > 0
    assert torch.equal(learns, each == each.max(dim=1, keepdim=True).values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 2.865}, "margin=2.865.*radians, not in degrees"),
        ({"margin": -0.1}, "margin=-0.1"),
        ({"margin": math.nan}, "margin=nan"),
        ({"scale": 0.0}, "scale=0.0"),
        ({"scale": math.inf}, "scale=inf"),
        ({"n_classes": 1}, "n_classes=1: must be at least 2"),
        ({"sub_centers": 0}, "sub_centers=0"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
        ({"mixed_loss": "partner"}, "mixed_loss=partner is not allowed: give one of both, main, margin_on_main"),
    ],
)
def test_an_argument_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head(**options)
