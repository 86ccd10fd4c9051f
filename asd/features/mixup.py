"""Mixup on the raw waveform (Report 2.3)."""

import torch
from torch import Tensor


def mix(windows: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """Adds a part of another clip: (1 − λ) · window + λ · partner (Report 2.3, mixup eq. 1).

    The Fourier transform is linear, so mixing the windows that a piece needs is mixing the clips.

    Args:
        windows: (windows, samples) waveforms in [−1, 1).
        partners: (windows, samples) waveforms of the clips to mix in.
        weight: (windows,) λ, the weight of the partner, in [0, 1].

    Returns:
        (windows, samples) waveforms in [−1, 1).

    Raises:
        ValueError: The shapes do not fit each other.
    """
    if windows.shape != partners.shape or weight.shape != windows.shape[:1]:
        raise ValueError(
            f"windows {tuple(windows.shape)}, partners {tuple(partners.shape)}, weight {tuple(weight.shape)}: "
            "must be (windows, samples) twice and (windows,)"
        )
    return torch.lerp(windows, partners, weight.to(windows.dtype).unsqueeze(1))
