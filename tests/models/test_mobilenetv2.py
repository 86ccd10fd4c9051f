"""The MobileNetV2 baseline's network: its shape from the paper's table, its forward pass by plain operations."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asd.models.mobilenetv2 import MobileNetV2

# MobileNetV2 (Sandler et al. 2018), Table 2: expansion, channels, repetitions, stride of the first.
BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
EPSILON = 1e-3


def network(n_sections: int = 6, width: float = 0.5) -> MobileNetV2:
    return MobileNetV2(n_sections, width=width, epsilon=EPSILON, momentum=0.999).eval()


def divisible(channels: float) -> int:
    """Keras' `_make_divisible(v, 8)`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def layers(width: float) -> Iterator[tuple[int, int, int, int, bool]]:
    """(inputs, outputs, expansion, stride, shortcut) of each inverted residual block."""
    n_in = divisible(32 * width)
    for expansion, channels, repetitions, stride in BLOCKS:
        for repetition in range(repetitions):
            n_out, step = divisible(int(channels * width)), stride if repetition == 0 else 1
            yield n_in, n_out, expansion, step, n_in == n_out and step == 1
            n_in = n_out


def n_weights(width: float, n_sections: int) -> int:
    """What Keras counts, moving statistics among it."""
    stem = divisible(32 * width)
    count = 3 * 9 * stem + 4 * stem
    for n_in, n_out, expansion, _, _ in layers(width):
        inner = n_in * expansion
        count += (n_in * inner + 4 * inner) * (expansion > 1) + 9 * inner + 4 * inner + inner * n_out + 4 * n_out
    last = divisible(1280 * width) if width > 1 else 1280
    n_out = divisible(int(320 * width))
    return count + n_out * last + 4 * last + last * n_sections + n_sections


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0, 1.4])
def test_weights_are_counted_as_keras_counts_them(width: float) -> None:
    state = {name: value for name, value in network(width=width).state_dict().items() if "num_batches" not in name}
    assert sum(value.numel() for value in state.values()) == n_weights(width, 6)


def test_the_count_itself_is_the_published_one() -> None:
    assert n_weights(1.0, 1000) == 3_538_984  # Keras Applications' MobileNetV2 for ImageNet
    assert n_weights(0.5, 1000) == 1_987_224


def same(images: Tensor, kernel: Tensor, stride: int, groups: int = 1) -> Tensor:
    """TensorFlow's padding "same": the odd row and column of zeros at the end."""
    size = kernel.shape[-1]
    pads = []
    for length in (images.shape[3], images.shape[2]):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(images, pads), kernel, stride=stride, groups=groups)


def forward(windows: Tensor, state: dict[str, Tensor], width: float) -> Tensor:
    """The network by its definition; weights in the order of the signal."""
    values = iter(value for name, value in state.items() if "num_batches" not in name)

    def normalised(images: Tensor) -> Tensor:
        gamma, beta, mean, variance = (next(values)[:, None, None] for _ in range(4))
        return (images - mean) / (variance + EPSILON).sqrt() * gamma + beta

    images = torch.stack([windows] * 3, dim=1)
    images = normalised(same(images, next(values), 2)).clamp(0, 6)
    for _, _, expansion, stride, shortcut in layers(width):
        inner = normalised(same(images, next(values), 1)).clamp(0, 6) if expansion > 1 else images
        inner = normalised(same(inner, next(values), stride, groups=inner.shape[1])).clamp(0, 6)
        inner = normalised(same(inner, next(values), 1))
        images = images + inner if shortcut else inner
    images = normalised(same(images, next(values), 1)).clamp(0, 6)
    return images.mean(dim=(2, 3)) @ next(values).T + next(values)


def test_forward_equals_plain_operations() -> None:
    torch.manual_seed(0)
    classifier = network().double()
    for name, value in classifier.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_()
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
    windows = torch.randn(3, 64, 128, dtype=torch.float64)
    with torch.no_grad():
        found = classifier(windows)
    torch.testing.assert_close(found, forward(windows, classifier.state_dict(), 0.5), rtol=1e-9, atol=1e-9)
    assert found.shape == (3, 6)
