"""ArcFace: section classification with an additive angular margin (Report 2.1), for mixed clips too."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asd.config.components import ArcFaceSettings
from asd.models.backbone import check_sizes
from asd.models.head import Head

# Below float32's resolution of sin²θ: it keeps the root's slope finite at cos θ = ±1 and changes nothing else.
SMALLEST_SQUARED_SINE = 1e-12


class ArcFace(Head):
    """Centres of the classes on the unit sphere, and the loss that pulls embeddings to them.

    Args:
        embedding_dim: Length of an embedding.
        n_classes: Classes: the sections of the machine.
        margin: This and what follows: asd/config/components, ArcFaceSettings.
        scale: s.
        sub_centers: Centres of a class.
        mixed_loss: What a mixed clip learns.

    Raises:
        ValueError: An argument out of range.
    """

    def __init__(
        self,
        *,
        embedding_dim: int,
        n_classes: int,
        margin: float,
        scale: float,
        sub_centers: int = 1,
        mixed_loss: str = "both",
    ) -> None:
        super().__init__()
        check_sizes(embedding_dim=embedding_dim)
        if n_classes < 2:
            raise ValueError(f"n_classes={n_classes}: must be at least 2, there is nothing to tell apart otherwise")
        ArcFaceSettings.of({"margin": margin, "scale": scale, "sub_centers": sub_centers, "mixed_loss": mixed_loss})
        self.n_classes = n_classes
        self.sub_centers = sub_centers
        self.margin = margin
        self.scale = scale
        self.mixed_loss = mixed_loss
        self.weight = nn.Parameter(torch.empty(n_classes * sub_centers, embedding_dim))
        nn.init.xavier_uniform_(self.weight)

    def cosines(self, embedding: Tensor) -> Tensor:
        """Cosines between embeddings and classes, in float32 even under autocast.

        Args:
            embedding: (pieces, embedding_dim) of any length and precision.

        Returns:
            (pieces, classes) cosine to the nearest centre of each class, in [−1, 1] but for rounding.
        """
        dtype = torch.promote_types(self.weight.dtype, torch.float32)
        with torch.autocast(embedding.device.type, enabled=False):
            cosines = F.normalize(embedding.to(dtype)) @ F.normalize(self.weight.to(dtype)).T
        return cosines.unflatten(1, (self.n_classes, self.sub_centers)).amax(dim=2)

    def logits(self, embedding: Tensor, label: Tensor) -> Tensor:
        """The scaled cosines, with the margin on each piece's own class and on no other (ArcFace eq. 3).

        Args:
            embedding: (pieces, embedding_dim).
            label: (pieces,) class of each piece, int64.

        Returns:
            (pieces, classes) logits.
        """
        return self.cosine_logits(self.cosines(embedding), label)

    def cosine_logits(self, cosines: Tensor, label: Tensor) -> Tensor:
        """The logits from cosines (pieces, classes) and labels (pieces,)."""
        is_own = label.unsqueeze(1) == torch.arange(self.n_classes, device=label.device)
        return self.scale * torch.where(is_own, add_margin(cosines, self.margin), cosines)

    def forward(self, embedding: Tensor, label: Tensor, partner_label: Tensor, mix_weight: Tensor) -> Tensor:
        """The loss of each piece of a mixed clip (Report 2.1, 2.3).

        Args:
            embedding: (pieces, embedding_dim).
            label: (pieces,) class of the clip, int64.
            partner_label: (pieces,) class of the clip that was mixed in, int64.
            mix_weight: (pieces,) λ, the weight of the clip that was mixed in, in [0, 1]; 0 for one that is not mixed.

        Returns:
            (pieces,) losses.
        """
        cosines = self.cosines(embedding)
        logits = self.cosine_logits(cosines, label)
        loss = F.cross_entropy(logits, label, reduction="none")
        if self.mixed_loss == "main":
            return loss
        if self.mixed_loss == "both":
            logits = self.cosine_logits(cosines, partner_label)
        partner_loss = F.cross_entropy(logits, partner_label, reduction="none")
        return torch.lerp(loss, partner_loss, mix_weight.to(loss.dtype))

    def class_scores(self, embedding: Tensor) -> Tensor:
        """What tells the classes apart, (pieces, classes): the cosines."""
        return self.cosines(embedding)


def add_margin(cosine: Tensor, margin: float) -> Tensor:
    """cos θ becomes cos(θ + m) (ArcFace eq. 3).

    Beyond θ = π − m, where cos(θ + m) would rise again, it is cos θ − m · sin m, as in ArcFace's reference code: the
    value falls with θ everywhere.

    Args:
        cosine: cos θ, any shape, in [−1, 1] but for rounding.
        margin: m, in radians.
    """
    sine = ((1 - cosine) * (1 + cosine)).clamp(min=SMALLEST_SQUARED_SINE).sqrt()
    moved = cosine * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine >= -math.cos(margin), moved, cosine - margin * math.sin(margin))
