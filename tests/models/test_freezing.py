"""Freezing: what is frozen stands still to the bit, the rest learns, and the embedding changes."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from asd.models.arcface import ArcFace
from asd.models.backbone import Backbone
from asd.models.freezing import freeze, keep_frozen_in_eval
from asd.models.timm_cnn import TimmCnn
from tests.support.backbones import BACKBONES, build, noise

STRATEGIES = [[], ["until_last_block"], ["backbone"], ["arcface"], ["until_last_block", "arcface"]]
LABEL, PARTNER, WEIGHT = torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0.1, 0.4])


def head() -> ArcFace:
    torch.manual_seed(1)
    return ArcFace(embedding_dim=128, n_classes=2, margin=0.05, scale=30.0)


def network(name: str) -> nn.ModuleDict:
    """A backbone and its head, named as in a checkpoint."""
    return nn.ModuleDict({"backbone": build(name), "head": head()})


def train(network: nn.ModuleDict, frozen: list[nn.Module], steps: int = 3) -> None:
    """A few SGD steps on noise, the way the classifier does them."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=0.05, momentum=0.9, nesterov=True)
    network.train()
    keep_frozen_in_eval(frozen)
    for step in range(steps):
        optimizer.zero_grad()
        embedding = network["backbone"](noise(2, 1, 64, 32, seed=step))
        network["head"](embedding, LABEL, PARTNER, WEIGHT).mean().backward()
        optimizer.step()


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def embed(network: nn.ModuleDict) -> Tensor:
    return network["backbone"].eval()(noise(2, 1, 64, 32, seed=9))


@pytest.mark.parametrize("names", STRATEGIES, ids=lambda names: "+".join(names) or "none")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow, pytest.mark.ci] if n == "resnet50" else []) for n in BACKBONES]
)
def test_what_is_frozen_stands_still_and_the_rest_learns(name: str, names: list[str]) -> None:
    net = network(name)
    frozen_names, frozen = freeze(net["backbone"], net["head"], names)
    before, embedding = state(net), embed(net)
    train(net, frozen)
    after = state(net)
    still = {key for key in before if torch.equal(before[key], after[key])}

    inside = {id(value) for module in frozen for value in (*module.parameters(), *module.buffers())}
    named = dict((*net.named_parameters(), *net.named_buffers()))
    assert still == {key for key, value in named.items() if id(value) in inside}
    assert frozen_names == sorted(key for key in still if isinstance(named[key], nn.Parameter))
    assert bool(frozen_names) == bool(names)
    assert not torch.equal(embedding, embed(net))


def test_no_gradient_alone_lets_the_statistics_move() -> None:
    """The trap: frozen weights, and BatchNorm goes on adapting."""
    for keep in (True, False):
        net = network("mobilefacenet")
        _, frozen = freeze(net["backbone"], net["head"], ["backbone"])
        before = net["backbone"].network.stem.norm.running_mean.clone()
        train(net, frozen if keep else [])
        assert torch.equal(net["backbone"].network.stem.norm.running_mean, before) == keep


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "until_last_block", "backbone"),
    [
        ("mobilefacenet", "stage5.0", "widen"),
        ("resnet50", "layer4.1", "layer4.2"),
        ("efficientnet_b0", "blocks.5.3", "bn2"),
        ("small", "block2", "block3"),
    ],
)
def test_the_last_part_that_a_strategy_freezes(name: str, until_last_block: str, backbone: str) -> None:
    for strategy, last in (("until_last_block", until_last_block), ("backbone", backbone)):
        net = build(name)
        _, frozen = freeze(net, head(), [strategy])
        parts = list(net.parts())
        assert frozen == [net.parts()[part] for part in parts[: parts.index(last) + 1]]


def test_parts_go_by_their_own_names_in_any_order() -> None:
    net = build("resnet50")
    names, frozen = freeze(net, head(), ["layer4.2", "arcface", "conv1", "conv1"])
    assert [type(module).__name__ for module in frozen] == ["Conv2d", "Bottleneck", "ArcFace"]
    assert names[0] == "backbone.network.conv1.weight"
    assert names[-1] == "head.weight"
    assert all(name.startswith("backbone.network.layer4.2.") for name in names[1:-1])
    assert names == sorted(names)


@pytest.mark.parametrize("strategy", ["until_last_block", "backbone"])
def test_parameters_outside_of_every_part_freeze_with_the_strategies(strategy: str) -> None:
    net = TimmCnn(model="vit_tiny_patch16_224", n_bins=64, n_frames=32, embedding_dim=128, img_size=(64, 32))
    names, _ = freeze(net, head(), [strategy])
    assert {"backbone.network.cls_token", "backbone.network.pos_embed"} <= set(names)


@cache
def small() -> Backbone:
    return build("small")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["backbones"], "backbones is neither a strategy nor a part.*did you mean backbone\\?.*Parts: block1, block2"),
        (["zzz"], "zzz is neither a strategy nor a part of this network. Strategies: until_last_block, backbone"),
        (["backbone", "pool", "embedding"], "nothing of the backbone is left to learn"),
        (["until_last_block", "block3", "pool", "embedding", "arcface"], "nothing of the backbone is left to learn"),
    ],
)
def test_what_cannot_be_frozen_is_refused_and_nothing_happens(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        freeze(small(), head(), names)
    assert all(parameter.requires_grad for parameter in small().parameters())
    assert all(module.training for module in small().modules())
