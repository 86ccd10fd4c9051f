"""BatchNorm folded into the convolution before it: in evaluation mode the pair is one convolution."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

# What rounding may change, as a share of the largest embedding; more means that the network is not what it seemed.
TOLERANCE = 1e-3


@torch.no_grad()
def fold_batchnorm(network: nn.Module, example: Tensor) -> nn.Module:
    """A copy of a network in evaluation mode that gives the same embeddings in fewer passes over memory.

    Which BatchNorm follows which convolution is seen by running the network once, so that it does not matter how the
    network is written. Where a convolution feeds anything besides, the network is left as it is.

    Args:
        network: In evaluation mode.
        example: (pieces, 1, bins, frames) anything it takes.

    Returns:
        The folded copy; the network itself where folding would change it.
    """
    folded = copy.deepcopy(network)
    pairs = follow(folded, example)
    for convolution, norm in pairs:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = convolution.bias if convolution.bias is not None else torch.zeros_like(norm.bias)
        convolution.weight.mul_(scale.view(-1, 1, 1, 1))
        convolution.bias = nn.Parameter(norm.bias + (bias - norm.running_mean) * scale)
    replace(folded, {norm for _, norm in pairs})
    expected, found = network(example), folded(example)
    return folded if (found - expected).abs().max() <= TOLERANCE * expected.abs().max() else network


def follow(network: nn.Module, example: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The pairs of a convolution and the BatchNorm that takes its output, as they run."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # the tensor is kept, so that its id stays its own
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def remember(module: nn.Conv2d, _: Any, output: Tensor) -> None:
        made[id(output)] = module, output

    def look(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in made and module.track_running_stats and module.affine:
            pairs.append((made[id(inputs[0])][0], module))

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(remember))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(look))
    network(example)
    for hook in hooks:
        hook.remove()
    return pairs


def replace(network: nn.Module, norms: set[nn.BatchNorm2d]) -> None:
    """Puts in each BatchNorm's place what it does besides: nothing, or the activation that some of timm's carry."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in norms:
                setattr(parent, name, nn.Sequential(*child.children()))
