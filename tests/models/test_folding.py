"""Folding changes the work, not the embedding."""

import pytest
import torch
from torch import nn

from asd.models.folding import fold_batchnorm
from tests.support.backbones import BACKBONES, build, noise


def trained(name: str) -> nn.Module:
    """A network whose statistics and affine weights are not those of a fresh BatchNorm."""
    network = build(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_the_embedding_stays_and_the_norms_go(name: str) -> None:
    network = trained(name)
    folded = fold_batchnorm(network, noise(1, 1, 64, 32))
    assert folded is not network
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    pieces = noise(5, 1, 64, 32, seed=1)
    expected = network(pieces)
    torch.testing.assert_close(folded(pieces), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


class Forked(nn.Module):
    """A convolution that feeds its BatchNorm and something else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return (self.norm(y) + y).mean((2, 3))


@torch.no_grad()
def test_a_network_that_cannot_be_folded_stays_as_it_is() -> None:
    network = Forked().eval()
    network.norm.running_mean.fill_(3.0)
    assert fold_batchnorm(network, noise(1, 1, 8, 8)) is network
