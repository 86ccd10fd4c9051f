"""Networks of timm as backbones."""

import socket
from typing import Any

import pytest
import torch

from asd.models.timm_cnn import TimmCnn
from tests.support.backbones import noise


def small(model: str, **options: Any) -> TimmCnn:
    return TimmCnn(model=model, n_bins=64, n_frames=32, embedding_dim=16, **options)


@pytest.mark.parametrize(
    ("model", "last_block", "embedding_part"),
    [
        ("resnet50", "layer4.2", "fc"),
        ("efficientnet_b0", "blocks.6.0", "classifier"),
        ("convnext_atto", "stages.3", "head"),  # its classifier lies inside of the head
        ("regnetx_002", "s4", "head"),  # no Sequential at all
        ("densenet121", "features.denseblock4", "classifier"),  # a normalisation follows the last block
    ],
)
def test_the_parts_of_other_networks(model: str, last_block: str, embedding_part: str) -> None:
    backbone = small(model)
    assert backbone.last_block == last_block
    assert backbone.embedding_parts == (embedding_part,)
    assert {last_block, embedding_part} <= backbone.parts().keys()


def test_sequentials_are_opened_all_the_way_down() -> None:
    assert [name for name in small("resnet50").parts() if name.startswith("layer4")] == [
        "layer4.0",
        "layer4.1",
        "layer4.2",
    ]
    assert "blocks.1.1" in small("efficientnet_b0").parts()


def test_one_channel_goes_in() -> None:
    assert small("resnet18").network.conv1.in_channels == 1


def test_the_seed_decides_the_weights() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(small("resnet18").network.conv1.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_new_network_is_in_training_mode() -> None:
    assert all(module.training for module in small("resnet18").modules())


def test_options_reach_the_network() -> None:
    assert small("resnet18", drop_rate=0.25).network.drop_rate == 0.25
    vision = small("vit_tiny_patch16_224", img_size=(64, 32))
    assert vision.last_block == "blocks.11"
    assert vision(noise(2, 1, 64, 32)).shape == (2, 16)


@pytest.mark.parametrize("model", ["resnet5", "hf-hub:timm/resnet18.a1_in1k", ""])
def test_an_unknown_network_is_refused_without_the_net(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ValueError, match=f"model={model}: not a network of timm"):
        small(model)


def test_an_unknown_network_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"near it: .*resnet50\b"):
        small("resnet_50")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("resnet18", {"pretrained": True}, "pretrained=True: cannot be set"),
        ("resnet18", {"in_chans": 3}, "in_chans=3: cannot be set"),
        ("resnet18", {"strides": 3}, "strides"),
        ("resnet18.nonsense", {}, "nonsense"),
        ("vit_tiny_patch16_224", {}, "does not take pieces of 64×32"),
        ("inception_v3", {}, "does not take pieces of 64×32"),
        ("vit_tiny_patch16_224", {"img_size": (64, 32), "global_pool": ""}, "one embedding for a piece"),
        ("deit_tiny_distilled_patch16_224", {"img_size": (64, 32)}, "no single classifier"),
    ],
)
def test_what_makes_no_backbone_is_refused(model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(model, **options)
