"""Mixing on the raw waveform."""

import numpy as np
import pytest
import torch

from asd.features.mixup import mix


def test_mix_against_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    windows, partners = random.uniform(-1, 1, (2, 5, 40))
    weight = np.array([0.0, 0.1, 0.3, 0.499, 1.0])
    expected = [
        [(1 - weight[row]) * windows[row, at] + weight[row] * partners[row, at] for at in range(40)] for row in range(5)
    ]
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-15)):
        arguments = (torch.tensor(windows, dtype=dtype), torch.tensor(partners, dtype=dtype))
        mixed = mix(*arguments, torch.tensor(weight, dtype=torch.float32 if dtype is torch.float32 else dtype))
        assert mixed.dtype is dtype
        np.testing.assert_allclose(mixed.numpy(), expected, atol=tolerance)


def test_weight_is_the_partners() -> None:
    windows, partners = torch.zeros(2, 3), torch.ones(2, 3)
    assert mix(windows, partners, torch.tensor([0.0, 0.25])).tolist() == [[0.0] * 3, [0.25] * 3]


def test_unmixed_windows_stay_bit_by_bit() -> None:
    windows = torch.rand(4, 100)
    assert torch.equal(mix(windows, torch.rand(4, 100), torch.zeros(4)), windows)


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match=r"partners \(2, 4\)"):
        mix(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2))
    with pytest.raises(ValueError, match=r"weight \(3,\)"):
        mix(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3))
