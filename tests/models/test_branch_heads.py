"""Heads for networks with branches, against plain loops over branches and soft labels."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asd.models.adacos import AdaCos
from asd.models.arcface import ArcFace
from asd.models.branch_heads import FeatureExchange, SubspaceLoss
from tests.support.backbones import noise

C, B, DIM = 3, 4, 8
LABEL = torch.tensor([0, 1, 2, 1, 0, 2])
PARTNER = torch.tensor([1, 0, 1, 2, 2, 1])
WEIGHT = torch.tensor([0.0, 0.1, 0.25, 0.49, 0.7, 1.0])
SUBCLUSTER = partial(AdaCos, sub_clusters=2)


def build(cls: type[nn.Module], **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return cls(**({"embedding_dim": DIM, "n_classes": C, "n_branches": B, "head": SUBCLUSTER} | options))


def test_each_branch_has_a_loss_of_its_own() -> None:
    head, embedding = build(SubspaceLoss).double(), noise(6, DIM).double()
    expected = head.main(embedding, LABEL, PARTNER, WEIGHT)
    for b, own in enumerate(head.of_branch):
        expected = expected + own(embedding[:, 2 * b : 2 * b + 2], LABEL, PARTNER, WEIGHT)
    torch.testing.assert_close(head(embedding, LABEL, PARTNER, WEIGHT), expected)
    assert torch.equal(head.class_scores(embedding), head.main.class_scores(embedding))


def slow_exchange(head: FeatureExchange, embedding: Tensor, source: list[list[int]]) -> list[float]:
    """−Σ t ln p with the whole soft label t of (B + 1) · C classes written out."""
    losses = []
    for own, of_branch in enumerate(source):
        parts = [embedding[piece, 2 * b : 2 * b + 2] for b, piece in enumerate(of_branch)]
        log_p = head.exchange.class_scores(torch.cat(parts).unsqueeze(0))[0].tolist()
        exchanged = any(piece != own for piece in of_branch)
        target = [0.0] * ((B + 1) * C)
        blocks = [(1 + b, piece, 1 / B) for b, piece in enumerate(of_branch)] if exchanged else [(0, own, 1.0)]
        for block, piece, share in blocks:
            target[block * C + int(LABEL[piece])] += share * (1 - float(WEIGHT[piece]))
            target[block * C + int(PARTNER[piece])] += share * float(WEIGHT[piece])
        assert sum(target) == pytest.approx(1)
        losses.append(-sum(t * p for t, p in zip(target, log_p, strict=True)))
    return losses


def test_the_exchange_is_that_of_a_plain_loop() -> None:
    head, embedding = build(FeatureExchange).double(), noise(6, DIM).double()
    source = [[0, 0, 0, 0], [1, 2, 3, 4], [2, 2, 2, 2], [3, 0, 0, 5], [4, 1, 4, 4], [5, 5, 5, 0]]
    found = head.exchange_loss(embedding, LABEL, PARTNER, WEIGHT, torch.tensor(source))
    expected = torch.tensor(slow_exchange(head, embedding, source), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_the_whole_loss_is_the_main_one_and_that_of_what_was_drawn() -> None:
    head, embedding = build(FeatureExchange).double(), noise(6, DIM).double()
    torch.manual_seed(1)
    found = head(embedding, LABEL, PARTNER, WEIGHT)
    torch.manual_seed(1)
    source = head.draw(embedding).tolist()
    assert any(len(set(row)) > 1 for row in source)
    expected = torch.tensor(slow_exchange(head, embedding, source), dtype=torch.float64)
    expected += head.main(embedding, LABEL, PARTNER, WEIGHT)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_half_of_the_pieces_are_exchanged_with_any_other() -> None:
    head = build(FeatureExchange)
    torch.manual_seed(2)
    source = head.draw(torch.zeros(4000, DIM))
    own = torch.arange(4000)
    exchanged = source[:, 1] != own
    assert torch.equal(source[:, 0], own), "the first branch stays"
    assert torch.equal((source[:, 1:] != own.unsqueeze(1)), exchanged.unsqueeze(1).expand(-1, B - 1))
    assert exchanged.float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert (source[exchanged, 1] != source[exchanged, 2]).float().mean() > 0.99, "each branch from a piece of its own"


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_the_probability_is_what_is_asked_for(probability: float) -> None:
    head = build(FeatureExchange, probability=probability)
    assert (head.draw(torch.zeros(50, DIM))[:, 1] != torch.arange(50)).float().mean() == probability


def test_nothing_is_exchanged_outside_training_or_alone() -> None:
    head = build(FeatureExchange, probability=1.0)
    assert head.draw(torch.zeros(1, DIM)).tolist() == [[0] * B]
    assert torch.equal(head.eval().draw(torch.zeros(6, DIM)), torch.arange(6).unsqueeze(1).expand(6, B))


@pytest.mark.parametrize("cls", [SubspaceLoss, FeatureExchange])
def test_the_gradient_is_the_slope_of_the_loss(cls: type[nn.Module]) -> None:
    head = build(cls).double()
    embedding = noise(6, DIM).double().requires_grad_()

    def losses(embedding: Tensor) -> Tensor:
        torch.manual_seed(3)
        return head(embedding, LABEL, PARTNER, WEIGHT.double())

    assert torch.autograd.gradcheck(losses, (embedding,))
    losses(embedding).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.parameters())


@pytest.mark.parametrize("cls", [SubspaceLoss, FeatureExchange])
@pytest.mark.parametrize("make", [SUBCLUSTER, partial(ArcFace, margin=0.05, scale=30.0)])
def test_under_autocast_it_is_float32_whatever_the_heads(cls: type[nn.Module], make: Any) -> None:
    head, embedding = build(cls, head=make), noise(6, DIM).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        losses = head(embedding, LABEL, PARTNER, WEIGHT)
    assert losses.dtype == torch.float32
    assert losses.isfinite().all()


@pytest.mark.parametrize("cls", [SubspaceLoss, FeatureExchange])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_branches": 1}, "n_branches=1: must be at least 2"),
        ({"n_branches": 3}, "embedding_dim=8 is no multiple of n_branches=3"),
    ],
)
def test_branches_must_fit(cls: type[nn.Module], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(cls, **options)


def test_a_probability_lies_between_0_and_1() -> None:
    with pytest.raises(ValueError, match=r"probability=1\.5"):
        build(FeatureExchange, probability=1.5)
