"""The MobileNetV2 baseline's network (dcase2021_task2_baseline_mobile_net_v2, keras_model.py): timm's, its padding."""

import timm
import torch
from torch import Tensor, nn

from asd.models.keras import start_like_keras


class MobileNetV2(nn.Module):
    """Section classifier on log-mel images: (height, width) = (columns, mel filters), the image as each of 3 colours.

    Args:
        n_sections: Classes.
        width: Of every layer but the last convolution, which keeps 1280; one of `MOBILENETV2_WIDTHS`.
        epsilon: Of BatchNorm, added to the variance.
        momentum: Of BatchNorm, in Keras' sense: the share of the old statistics that a step keeps.
    """

    def __init__(self, n_sections: int, *, width: float, epsilon: float, momentum: float) -> None:
        super().__init__()
        self.network = timm.create_model(
            f"mobilenetv2_{round(100 * width):03d}",
            num_classes=n_sections,
            pad_type="same",
            bn_eps=epsilon,
            bn_momentum=1 - momentum,
        )
        start_like_keras(self)
        self.to(memory_format=torch.channels_last)  # 1.3 to 1.6 times as fast on a CPU

    def forward(self, windows: Tensor) -> Tensor:
        """Images (n, columns, mels) in dB to logits (n, sections)."""
        return self.network(windows.unsqueeze(1).expand(-1, 3, -1, -1))
