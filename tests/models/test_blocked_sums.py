"""Sums in blocks against plain ones in float64, and that compiled networks use them."""

import shutil

import pytest
import torch
from torch import nn

from asd.models import blocked_sums
from asd.models.blocked_sums import blocked_sum, blocked_variance_and_mean, rows_of_block
from asd.models.compiling import compile_network

SHAPES = [(6, 64, 32, 8), (48, 128, 16, 4), (5, 24, 30, 7)]


def channels_last(*shape: int, mean: float = 0.0) -> torch.Tensor:
    """Random numbers, another spread in each channel."""
    torch.manual_seed(0)
    x = torch.randn(*shape) * torch.linspace(0.1, 3, shape[1]).view(-1, 1, 1) + mean
    return x.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_blocks_agree_with_float64(shape: tuple[int, ...], mean: float) -> None:
    x = channels_last(*shape, mean=mean)
    kept = torch.Size((1, shape[1], 1, 1))
    n_rows = max(1, rows_of_block(x))
    variance, found_mean = blocked_variance_and_mean(x, n_rows, kept)
    expected, expected_mean = torch.var_mean(x.double(), dim=(0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(variance.double(), expected, rtol=2e-5, atol=0)
    torch.testing.assert_close(found_mean.double(), expected_mean, rtol=1e-6, atol=1e-5)
    found = blocked_sum(x - mean, n_rows, torch.Size((shape[1],)))
    torch.testing.assert_close(found.double(), (x - mean).double().sum(dim=(0, 2, 3)), rtol=1e-5, atol=1e-2)


def test_the_variance_of_equal_values_is_zero() -> None:
    x = torch.full((6, 64, 32, 8), 0.1).to(memory_format=torch.channels_last)
    variance, _ = blocked_variance_and_mean(x, 32, torch.Size((64,)))
    assert (variance >= 0).all()
    assert variance.max() < 1e-12


BLOCKS = [((48, 128, 128, 8), 64), ((48, 64, 256, 16), 128), ((48, 256, 32, 2), 32)]


@pytest.mark.parametrize(("shape", "n_rows"), BLOCKS)
def test_a_block_fits_the_first_cache_and_divides_the_map(shape: tuple[int, ...], n_rows: int) -> None:
    assert rows_of_block(torch.empty(shape, device="meta")) == n_rows


@pytest.mark.parametrize("shape", [(2, 8, 4, 4), (1, 64, 9973, 1)])
def test_what_is_small_or_cannot_be_divided_stays(shape: tuple[int, ...]) -> None:
    assert rows_of_block(torch.empty(shape, device="meta")) == 1


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++: nothing can be compiled")
@pytest.mark.filterwarnings("ignore")  # the compiler's own, from version to version others
def test_a_compiled_network_sums_in_blocks_and_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (6, 64, 32, 8)
    counts: list[int] = []
    put = blocked_sums.replace
    monkeypatch.setattr(blocked_sums, "replace", lambda *a: (counts.append(a[-1]), put(*a)))
    monkeypatch.setattr(blocked_sums.BlockedSums, "uuid", lambda self: None)  # no code from another run
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        network.to(memory_format=torch.channels_last)
        if compiled:
            compile_network(network)
        x = channels_last(*shape, mean=2.0).requires_grad_()
        (network(x) * channels_last(*shape)).sum().backward()
        found = {name: weight.grad for name, weight in network.named_parameters()} | {"x": x.grad}
        results.append(found | dict(network.named_buffers()))
    assert counts == [128] * 4  # variance and mean; gradients of PReLU's slope, BatchNorm's shift and scale
    for name, expected in results[0].items():
        assert (results[1][name] - expected).abs().max() <= 1e-4 * expected.abs().max(), name
