"""The autoencoder baseline's network, by NumPy alone, and its weights from Keras."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from asd.models.autoencoder import Autoencoder
from asd.models.keras import load_weights, start_like_keras

WIDTHS = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
EPSILON = 1e-3


def network(**changes: float) -> Autoencoder:
    settings = {"n_hidden": 128, "n_bottleneck": 8, "epsilon": EPSILON, "momentum": 0.99} | changes
    return Autoencoder(640, **settings).eval()  # type: ignore[arg-type]


def keras_arrays(seed: int = 0) -> Iterator[np.ndarray]:
    """What `get_weights()` of the organisers' autoencoder gives: made-up values of the right shapes, in its order."""
    random = np.random.default_rng(seed)
    for number, (n_in, n_out) in enumerate(pairwise(WIDTHS)):
        yield (random.normal(size=(n_in, n_out)) / np.sqrt(n_in)).astype(np.float32)
        yield random.normal(0, 0.1, n_out).astype(np.float32)
        if number < 9:
            yield random.uniform(0.5, 2, n_out).astype(np.float32)  # gamma
            yield random.normal(0, 0.3, n_out).astype(np.float32)  # beta
            yield random.normal(0, 5, n_out).astype(np.float32)  # moving mean
            yield random.uniform(0.01, 30, n_out).astype(np.float32)  # moving variance


def forward(windows: np.ndarray, arrays: list[np.ndarray]) -> np.ndarray:
    """The organisers' network by its definition: Dense, BatchNormalization, ReLU; Dense."""
    hidden = windows.astype(np.float64)
    for block in range(9):
        kernel, bias, gamma, beta, mean, variance = (a.astype(np.float64) for a in arrays[6 * block : 6 * block + 6])
        hidden = hidden @ kernel + bias
        hidden = np.maximum(gamma * (hidden - mean) / np.sqrt(variance + EPSILON) + beta, 0)
    return hidden @ arrays[54].astype(np.float64) + arrays[55]


def test_forward_equals_numpy(tmp_path: Path) -> None:
    arrays = list(keras_arrays())
    np.savez(tmp_path / "official.npz", *arrays)
    windows = np.random.default_rng(1).normal(-40, 15, (50, 640)).astype(np.float32)
    autoencoder = network()
    load_weights(autoencoder, tmp_path / "official.npz")
    with torch.no_grad():
        found = autoencoder(torch.from_numpy(windows)).numpy()
        exact = autoencoder.double()(torch.from_numpy(windows).double()).numpy()
    expected = forward(windows, arrays)
    np.testing.assert_allclose(exact, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    score, official = (np.square(windows - found)).mean(), np.square(windows - expected).mean()
    assert score == pytest.approx(official, rel=1e-6)


def test_epsilon_matters() -> None:
    torch.manual_seed(0)
    one = network()
    torch.manual_seed(0)
    other = network(epsilon=1e-5)
    windows = torch.full((1, 640), 1.0)
    assert not torch.equal(one(windows), other(windows))


def test_weights_are_counted_as_keras_counts_them() -> None:
    """`model.summary()`: 269,992 in all, 2,064 of them the moving statistics."""
    state = {name: value for name, value in network().state_dict().items() if "num_batches" not in name}
    assert sum(value.numel() for value in state.values()) == 269_992
    assert sum(value.numel() for name, value in state.items() if "running" in name) == 2_064


def test_statistics_move_as_keras_moves_them() -> None:
    """moving = momentum · moving + (1 − momentum) · batch."""
    autoencoder = network(momentum=0.9).train()
    windows = torch.randn(64, 640)
    first = autoencoder.layers[0](windows)
    autoencoder(windows)
    expected = 0.9 * torch.zeros(128) + 0.1 * first.mean(dim=0)
    torch.testing.assert_close(autoencoder.layers[1].running_mean, expected)
    still = network(momentum=1.0).train()
    before = still.layers[1].running_mean.clone()
    still(windows)
    assert torch.equal(still.layers[1].running_mean, before)


def test_the_start_is_glorots() -> None:
    kernels = [layer.weight for layer in network().layers if isinstance(layer, torch.nn.Linear)]
    for kernel in kernels:
        limit = (6 / sum(kernel.shape)) ** 0.5
        assert 0.9 * limit < kernel.abs().max() <= limit
    assert all(not layer.bias.any() for layer in network().layers if isinstance(layer, torch.nn.Linear))
    convolution = torch.nn.Conv2d(16, 16, 3, groups=16, bias=False)
    start_like_keras(convolution)
    assert convolution.weight.abs().max() <= (6 / (9 + 9 * 16)) ** 0.5  # Keras: (3, 3, 16, 1)


def test_a_state_dict_of_our_own_names(tmp_path: Path) -> None:
    one, other = network(), network()
    torch.save(one.state_dict(), tmp_path / "state.pt")
    load_weights(other, tmp_path / "state.pt")
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    arrays = list(keras_arrays())
    np.savez(tmp_path / "short.npz", *arrays[:-1])
    np.savez(tmp_path / "wide.npz", *arrays[:-2], np.zeros((128, 320), np.float32), np.zeros(320, np.float32))
    np.savez(tmp_path / "named.npz", kernel=arrays[0])
    torch.save({"layers.0.weight": torch.zeros(3)}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "page.npz").write_bytes(b"<html>")
    (tmp_path / "page.pt").write_bytes(b"<html>")
    for name in ("short.npz", "wide.npz", "named.npz", "other.pt", "list.pt", "page.npz", "page.pt", "nothing.pt"):
        with pytest.raises(ValueError, match=rf"weights=.*{name} (does not fit|cannot be loaded)"):
            load_weights(network(), tmp_path / name)


def test_a_file_of_weights_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path(tmp_path / "executed").touch, ())

    torch.save({"layers.0.weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"evil\.pt"):
        load_weights(network(), tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()
