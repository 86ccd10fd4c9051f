"""A head of one's own: AdaCos with a fixed scale (Zhang et al., 2019)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FixedAdaCos(nn.Module):
    """Cross-entropy on s · cos θ with s = √2 · ln(C − 1).

    Args:
        embedding_dim: Length of an embedding; filled in.
        n_classes: Number of classes, C; filled in.
        smallest_scale: s where there are too few classes for the formula.
    """

    def __init__(self, *, embedding_dim: int, n_classes: int, smallest_scale: float = 1.0) -> None:
        super().__init__()
        self.scale = max(smallest_scale, math.sqrt(2) * math.log(max(n_classes - 1, 1)))
        self.centres = nn.Parameter(torch.randn(n_classes, embedding_dim))

    def class_scores(self, embedding: Tensor) -> Tensor:
        """Cosines, (pieces, classes); the accuracy is counted by them."""
        return F.normalize(embedding.float()) @ F.normalize(self.centres.float()).T

    def forward(self, embedding: Tensor, label: Tensor, partner_label: Tensor, mix_weight: Tensor) -> Tensor:
        """The loss of each piece of a mixed clip, (pieces,)."""
        logits = self.scale * self.class_scores(embedding)
        own = F.cross_entropy(logits, label, reduction="none")
        return torch.lerp(own, F.cross_entropy(logits, partner_label, reduction="none"), mix_weight)
