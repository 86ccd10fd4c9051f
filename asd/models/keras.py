"""What Keras does where the organisers' code says nothing, and its weights in our networks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asd.system.arrays import load_arrays, load_tensors

ARRAYS_OF_BLOCK = 6  # kernel, bias, gamma, beta, moving mean, moving variance


def start_like_keras(network: nn.Module) -> None:
    """Draws the weights anew: Glorot's uniform distribution for every kernel, 0 for every bias."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def load_weights(network: nn.Module, path: Path) -> None:
    """Puts the weights of a file into a network.

    Args:
        network: Of a baseline.
        path: `.npz`, the arrays of a Keras autoencoder in order: `np.savez(path, *model.get_weights())`; or a state
            dict of the network's own names, saved by `torch.save`.

    Raises:
        ValueError: The file cannot be read, or is another network's.
    """
    try:
        if path.suffix == ".npz":
            arrays = load_arrays(path)
            state = dense_state([arrays[f"arr_{number}"] for number in range(len(arrays))])
        else:
            state = load_tensors(path)
        network.load_state_dict(state)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"weights={path} does not fit: {error}. Give np.savez(FILE.npz, *model.get_weights()) of the organisers' "
            f"autoencoder, or a state dict with the names {', '.join(list(network.state_dict())[:7])}, …"
        ) from None


def dense_state(arrays: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """The state of an Autoencoder from `get_weights()` of the organisers' one.

    Args:
        arrays: For each Dense layer its kernel (inputs, outputs) and bias, each but the last followed by its
            BatchNormalization's gamma, beta, moving mean and moving variance.

    Raises:
        ValueError: That is not their number.
    """
    n_blocks, left = divmod(len(arrays), ARRAYS_OF_BLOCK)
    if left != 2:
        raise ValueError(f"{len(arrays)} arrays; an autoencoder has 6 for each hidden layer and 2 for the last")
    state: dict[str, Tensor] = {}
    for block in range(n_blocks + 1):
        kernel, bias, *statistics = arrays[block * ARRAYS_OF_BLOCK : (block + 1) * ARRAYS_OF_BLOCK]
        name = f"layers.{3 * block}"
        state |= {f"{name}.weight": tensor(kernel.T), f"{name}.bias": tensor(bias)}
        names = ("weight", "bias", "running_mean", "running_var") if statistics else ()
        norm = f"layers.{3 * block + 1}"
        state |= {f"{norm}.{key}": tensor(value) for key, value in zip(names, statistics, strict=True)}
        state |= {f"{norm}.num_batches_tracked": torch.tensor(0)} if statistics else {}
    return state


def tensor(array: np.ndarray) -> Tensor:
    """A float32 tensor with memory of its own."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32).copy())
