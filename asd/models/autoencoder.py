"""The autoencoder baseline's network: 640 → 128 ×4 → 8 → 128 ×4 → 640 (dcase2021_task2_baseline_ae, keras_model.py)."""

from itertools import pairwise

from torch import Tensor, nn

from asd.models.keras import start_like_keras


class Autoencoder(nn.Module):
    """Dense layers with BatchNorm and ReLU, the last one bare.

    Args:
        n_inputs: Numbers of a window: columns × mel filters.
        n_hidden: Width of the four layers on either side.
        n_bottleneck: Width of the layer in the middle.
        epsilon: Of BatchNorm, added to the variance.
        momentum: Of BatchNorm, in Keras' sense: the share of the old statistics that a step keeps.
    """

    def __init__(self, n_inputs: int, *, n_hidden: int, n_bottleneck: int, epsilon: float, momentum: float) -> None:
        super().__init__()
        widths = [n_inputs, *[n_hidden] * 4, n_bottleneck, *[n_hidden] * 4]
        self.layers = nn.Sequential()
        for n_in, n_out in pairwise(widths):
            self.layers.append(nn.Linear(n_in, n_out))
            self.layers.append(nn.BatchNorm1d(n_out, eps=epsilon, momentum=1 - momentum))
            self.layers.append(nn.ReLU())
        self.layers.append(nn.Linear(n_hidden, n_inputs))
        start_like_keras(self)

    def forward(self, windows: Tensor) -> Tensor:
        """Windows (n, n_inputs) to their reconstructions (n, n_inputs)."""
        return self.layers(windows)
