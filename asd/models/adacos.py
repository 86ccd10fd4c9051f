"""AdaCos heads: softmax over scaled cosines to one or many centres a class, or to a subspace of each class.

AdaCos is Zhang et al., CVPR 2019 (arXiv 1905.00292); sub-clusters are Wilkinghoff, IJCNN 2021; subspaces are AdaProj
(arXiv 2403.14179). None has a margin, and the scale follows from the number of centres instead of being tuned.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asd.models.backbone import check_sizes
from asd.models.head import Head

SMALLEST_SQUARE = 1e-12  # below float32's resolution of a squared cosine: keeps the slope of a root finite at 0


class AdaCos(Head):
    """Cross-entropy of scaled cosines to the centres of the classes, for mixed clips too.

    A class k has M centres and the probability p_k = Σ_m softmax(s · cos θ)_{k,m}; the loss is −Σ_k y_k ln p_k with the
    soft label y of a mixed clip. M = 1 is AdaCos, M = 16 sub-cluster AdaCos.

    Args:
        embedding_dim: Length of an embedding.
        n_classes: Classes, at least 2.
        sub_clusters: M, the centres of a class.
        scale: s, which multiplies the cosines; None: √2 · ln(classes · M − 1).
        dynamic_scale: Whether the scale follows the angles of each training batch (AdaCos eq. 15), from `scale` on.
        trained_centers: Whether the centres learn; otherwise they stay where chance put them.

    Raises:
        ValueError: An argument out of range, or two classes of one centre each, whose scale would be 0.
    """

    def __init__(
        self,
        *,
        embedding_dim: int,
        n_classes: int,
        sub_clusters: int = 1,
        scale: float | None = None,
        dynamic_scale: bool = False,
        trained_centers: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(embedding_dim=embedding_dim, sub_clusters=sub_clusters)
        first_scale = initial_scale(n_classes, sub_clusters, scale)
        self.n_classes = n_classes
        self.sub_clusters = sub_clusters
        self.dynamic_scale = dynamic_scale
        self.register_buffer("scale", torch.tensor(first_scale))
        self.scale: Tensor
        weight = nn.init.xavier_uniform_(torch.empty(n_classes * sub_clusters, embedding_dim))
        self.weight = nn.Parameter(weight, requires_grad=trained_centers)

    def cosines(self, embedding: Tensor) -> Tensor:
        """Cosines to each centre, in float32 even under autocast.

        Args:
            embedding: (pieces, embedding_dim) of any length and precision.

        Returns:
            (pieces, classes, sub_clusters) in [−1, 1] but for rounding.
        """
        dtype = torch.promote_types(self.weight.dtype, torch.float32)
        with torch.autocast(embedding.device.type, enabled=False):
            cosines = F.normalize(embedding.to(dtype)) @ F.normalize(self.weight.to(dtype)).T
        return cosines.unflatten(1, (self.n_classes, self.sub_clusters))

    def class_scores(self, embedding: Tensor) -> Tensor:
        """ln p of each class: (pieces, embedding_dim) to (pieces, classes)."""
        return self.log_probability(self.cosines(embedding))

    def log_probability(self, cosines: Tensor) -> Tensor:
        """ln p_k = LSE_m(s · cos θ_{k,m}) − LSE over all: (pieces, classes, sub_clusters) to (pieces, classes)."""
        of_class = (self.scale.to(cosines.dtype) * cosines).logsumexp(dim=2)
        return of_class.log_softmax(dim=1)

    def forward(self, embedding: Tensor, label: Tensor, partner_label: Tensor, mix_weight: Tensor) -> Tensor:
        """The loss of each piece of a mixed clip (asd.models.head)."""
        cosines = self.cosines(embedding)
        if self.dynamic_scale and self.training:
            self.follow(cosines.detach(), torch.where(mix_weight > 0.5, partner_label, label))
        log_probability = self.log_probability(cosines)
        own = F.nll_loss(log_probability, label, reduction="none")
        partner = F.nll_loss(log_probability, partner_label, reduction="none")
        return torch.lerp(own, partner, mix_weight.to(own.dtype))

    @torch.no_grad()
    def follow(self, cosines: Tensor, label: Tensor) -> None:
        """Sets the scale by a batch: s ← ln B / cos(min(π/4, median θ_y)), AdaCos eq. 13–15.

        B is the batch's mean of Σ exp(s · cos θ) over the centres of other classes; θ_y is the angle to the nearest
        centre of a piece's own class (our choice for several centres). The label of a mixed piece is the louder one.

        Args:
            cosines: (pieces, classes, sub_clusters).
            label: (pieces,) int64.
        """
        is_own = F.one_hot(label, self.n_classes).bool()
        exponents = (self.scale * cosines).masked_fill(is_own.unsqueeze(2), -torch.inf)
        log_b = exponents.flatten().logsumexp(dim=0) - math.log(len(label))
        nearest = cosines.amax(dim=2).gather(1, label.unsqueeze(1)).clamp(-1, 1)
        median = nearest.acos().median()
        self.scale.copy_(log_b / median.clamp(max=math.pi / 4).cos())


class AdaProj(AdaCos):
    """AdaCos with a subspace for each class: cosines to an embedding's own projections (AdaProj eq. 4–6).

    Class k owns D vectors w_d of length 1. An embedding z projects to Σ_d (z · w_d) w_d; its cosine with the class is
    that between z and its projection, so that the loss leaves it free within the subspace.

    Args:
        embedding_dim: Length of an embedding.
        n_classes: Classes, at least 2.
        subspace_dim: D, the vectors of a class.
        scale: s, as of `AdaCos`; None: √2 · ln(classes − 1), and from three classes on.
        dynamic_scale: As of `AdaCos`.
        trained_centers: Whether the vectors learn.
    """

    def __init__(
        self,
        *,
        embedding_dim: int,
        n_classes: int,
        subspace_dim: int = 32,
        scale: float | None = None,
        dynamic_scale: bool = False,
        trained_centers: bool = True,
    ) -> None:
        check_sizes(subspace_dim=subspace_dim)
        super().__init__(
            embedding_dim=embedding_dim,
            n_classes=n_classes,
            sub_clusters=1,
            scale=scale,
            dynamic_scale=dynamic_scale,
            trained_centers=trained_centers,
        )
        weight = nn.init.xavier_uniform_(torch.empty(n_classes * subspace_dim, embedding_dim))
        self.weight = nn.Parameter(weight, requires_grad=trained_centers)

    def cosines(self, embedding: Tensor) -> Tensor:
        """Cosines between embeddings and their projections, (pieces, classes, 1) in [0, 1] but for rounding.

        With a_d = z · w_d the projection P has z · P = Σ a_d² and ‖P‖² = aᵀ G a, where G is the Gram matrix of the
        class's vectors: P itself, as long as the embedding for each class, is never needed.
        """
        dtype = torch.promote_types(self.weight.dtype, torch.float32)
        with torch.autocast(embedding.device.type, enabled=False):
            vectors = F.normalize(self.weight.to(dtype)).unflatten(0, (self.n_classes, -1))
            along = torch.einsum("pe,cde->cpd", F.normalize(embedding.to(dtype)), vectors)
            gram = vectors @ vectors.mT
            squared_length = (along @ gram * along).sum(dim=2).clamp(min=SMALLEST_SQUARE)
            return (along.square().sum(dim=2) / squared_length.sqrt()).T.unsqueeze(2)


def initial_scale(n_classes: int, sub_clusters: int, scale: float | None) -> float:
    """The scale as given, or √2 · ln(centres − 1) (AdaCos eq. 11).

    Raises:
        ValueError: Fewer than two classes, a scale out of range, or none for two centres.
    """
    if n_classes < 2:
        raise ValueError(f"n_classes={n_classes}: must be at least 2, there is nothing to tell apart otherwise")
    if scale is not None:
        if not 0 < scale < math.inf:
            raise ValueError(f"scale={scale}: must be a positive number")
        return float(scale)
    if n_classes * sub_clusters < 3:
        raise ValueError("two centres would have the scale √2 · ln(2 − 1) = 0: set loss.scale, or loss.sub_clusters=16")
    return math.sqrt(2) * math.log(n_classes * sub_clusters - 1)
