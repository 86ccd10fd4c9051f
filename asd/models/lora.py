"""LoRA (Hu et al., ICLR 2022): small matrices that learn beside the layers of a network that does not."""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asd.models.backbone import check_sizes

Tune = Literal["all", "lora", "none"]


class Lora(nn.Linear):
    """A linear layer that does not learn, and a product of two small matrices that does: W x + b + (α / r) · B A x.

    B starts at 0, so that the layer starts as it was.

    Args:
        layer: W and b.
        rank: r, the rows of A.
        alpha: α.
    """

    def __init__(self, layer: nn.Linear, *, rank: int, alpha: float) -> None:
        super().__init__(layer.in_features, layer.out_features)
        self.load_state_dict(layer.state_dict())
        self.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, layer.in_features))
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))
        self.factor = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) to (…, out_features)."""
        return super().forward(x) + self.factor * F.linear(F.linear(x, self.down), self.up)


def set_tuning(network: nn.Module, tune: Tune, *, rank: int, alpha: float, layers: tuple[str, ...]) -> None:
    """Decides what of a network learns.

    Args:
        network: The network.
        tune: "all" of it, "none" of it, or "lora", matrices beside some of its layers.
        rank: As of `Lora`.
        alpha: As of `Lora`.
        layers: Last part of the names of the linear layers that get such matrices.

    Raises:
        ValueError: A setting out of range.
    """
    if tune not in get_args(Tune):
        raise ValueError(f"tune={tune}: must be one of {', '.join(get_args(Tune))}")
    check_sizes(lora_rank=rank)
    if not 0 < alpha < math.inf:
        raise ValueError(f"lora_alpha={alpha}: must be a positive number")
    network.requires_grad_(tune == "all")
    if tune == "lora":
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if name in layers and isinstance(layer, nn.Linear):
                    setattr(parent, name, Lora(layer, rank=rank, alpha=alpha))
