"""Every backbone that the configurations offer, for tests that hold for all of them."""

from functools import partial

import torch

from asd.models.backbone import Backbone
from asd.models.mobilefacenet import MobileFaceNet
from asd.models.small_cnn import SmallCnn
from asd.models.timm_cnn import TimmCnn

BACKBONES = {
    "small": SmallCnn,
    "mobilefacenet": MobileFaceNet,
    "resnet50": partial(TimmCnn, model="resnet50"),
    "efficientnet_b0": partial(TimmCnn, model="efficientnet_b0"),
}


def build(name: str, n_bins: int = 64, n_frames: int = 32, embedding_dim: int = 128) -> Backbone:
    """A backbone with the weights of seed 0; small pieces, where their size does not matter."""
    torch.manual_seed(0)
    return BACKBONES[name](n_bins=n_bins, n_frames=n_frames, embedding_dim=embedding_dim)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normally distributed numbers, the same each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def multiply_adds(backbone: Backbone) -> int:
    """Multiplications of one piece's forward pass in convolutions and linear layers, counted as they run."""
    total = 0

    def count(layer: torch.nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    layers = [m for m in backbone.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        backbone.eval()(torch.zeros(1, *backbone.input_shape))
    for hook in hooks:
        hook.remove()
    return total
