"""Heads for networks with branches, whose embedding is the embeddings of the branches one behind the other.

Both train further heads beside the main one and change nothing at test time. `head` is a factory of any head, in YAML
a node with `_partial_: true`; it is called with `embedding_dim` and `n_classes`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from asd.models.head import Head

HeadFactory = Callable[..., Head]


class SubspaceLoss(Head):
    """One more head on each branch's own embedding; its loss is added with weight 1.

    Args:
        embedding_dim: Length of an embedding: of all branches together.
        n_classes: Classes.
        n_branches: Branches of equal length that the embedding is made of.
        head: Makes the main head.
        branch_head: Makes the heads of the branches; None: `head`.

    Raises:
        ValueError: Fewer than two branches, or branches of unequal length.
    """

    def __init__(
        self,
        *,
        embedding_dim: int,
        n_classes: int,
        n_branches: int,
        head: HeadFactory,
        branch_head: HeadFactory | None = None,
    ) -> None:
        super().__init__()
        self.branch_dim = branch_length(embedding_dim, n_branches)
        make = branch_head or head
        self.main = head(embedding_dim=embedding_dim, n_classes=n_classes)
        self.of_branch = nn.ModuleList(
            make(embedding_dim=self.branch_dim, n_classes=n_classes) for _ in range(n_branches)
        )

    def class_scores(self, embedding: Tensor) -> Tensor:
        """Those of the main head: (pieces, embedding_dim) to (pieces, classes)."""
        return self.main.class_scores(embedding)

    def forward(self, embedding: Tensor, label: Tensor, partner_label: Tensor, mix_weight: Tensor) -> Tensor:
        """The loss of each piece: of the main head and of every branch; arguments as of any head."""
        loss = self.main(embedding, label, partner_label, mix_weight)
        for head, of_branch in zip(self.of_branch, embedding.split(self.branch_dim, dim=1), strict=True):
            loss = loss + head(of_branch, label, partner_label, mix_weight)
        return loss


class FeatureExchange(Head):
    """Feature exchange between the branches of different pieces (Wilkinghoff, ICASSP 2024, arXiv 2312.09578).

    A second head learns which branches belong together. In half of the pieces each branch b ≥ 1 is replaced by that of
    another piece of the batch, drawn anew for each branch. Its B + 1 blocks of C classes have the label [y, 0, …] for a
    piece as it is, and [0, y_0 / B, …, y_{B−1} / B] for an exchanged one, with y_b of the piece that branch b is from.

    Exchanges are drawn from torch's generator of the embedding's device, in training mode alone.

    Args:
        embedding_dim: Length of an embedding: of all branches together.
        n_classes: C.
        n_branches: B, branches of equal length that the embedding is made of.
        head: Makes the main head.
        exchange_head: Makes the second head, of (B + 1) · C classes; None: `head`.
        probability: Of an exchange.

    Raises:
        ValueError: Fewer than two branches, branches of unequal length, or a probability outside [0, 1].
    """

    def __init__(
        self,
        *,
        embedding_dim: int,
        n_classes: int,
        n_branches: int,
        head: HeadFactory,
        exchange_head: HeadFactory | None = None,
        probability: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"probability={probability}: must lie between 0 and 1")
        self.branch_dim = branch_length(embedding_dim, n_branches)
        self.n_classes = n_classes
        self.n_branches = n_branches
        self.probability = probability
        make = exchange_head or head
        self.main = head(embedding_dim=embedding_dim, n_classes=n_classes)
        self.exchange = make(embedding_dim=embedding_dim, n_classes=(n_branches + 1) * n_classes)

    def class_scores(self, embedding: Tensor) -> Tensor:
        """Those of the main head: (pieces, embedding_dim) to (pieces, classes)."""
        return self.main.class_scores(embedding)

    def forward(self, embedding: Tensor, label: Tensor, partner_label: Tensor, mix_weight: Tensor) -> Tensor:
        """The loss of each piece: of the main head and of the exchange; arguments as of any head."""
        loss = self.main(embedding, label, partner_label, mix_weight)
        return loss + self.exchange_loss(embedding, label, partner_label, mix_weight, self.draw(embedding))

    def draw(self, embedding: Tensor) -> Tensor:
        """The piece that each branch comes from, (pieces, branches): its own one where nothing is exchanged."""
        n, device = len(embedding), embedding.device
        own = torch.arange(n, device=device).unsqueeze(1).expand(n, self.n_branches)
        if not self.training or n < 2:
            return own
        is_exchanged = torch.rand(n, 1, device=device) < self.probability
        shift = torch.randint(1, n, (n, self.n_branches), device=device) * is_exchanged
        shift[:, 0] = 0
        return (own + shift) % n

    def exchange_loss(
        self, embedding: Tensor, label: Tensor, partner_label: Tensor, mix_weight: Tensor, source: Tensor
    ) -> Tensor:
        """The second head's loss of each piece (pieces,), where branch b is that of piece `source[:, b]`.

        The loss of the soft label is the mean of the B losses of its parts, each with the label of one branch's piece.

        Args:
            embedding: (pieces, embedding_dim).
            label: (pieces,) int64.
            partner_label: (pieces,) int64.
            mix_weight: (pieces,).
            source: (pieces, branches), as of `draw`.
        """
        branches = embedding.unflatten(1, (self.n_branches, self.branch_dim))
        exchanged = branches.gather(0, source.unsqueeze(2).expand_as(branches)).flatten(1)
        is_exchanged = (source != source[:, :1]).any(dim=1, keepdim=True)
        block = torch.where(is_exchanged, torch.arange(1, self.n_branches + 1, device=source.device), 0)
        of_part = self.exchange(
            exchanged.repeat_interleave(self.n_branches, dim=0),
            (block * self.n_classes + label[source]).flatten(),
            (block * self.n_classes + partner_label[source]).flatten(),
            mix_weight[source].flatten(),
        )
        return of_part.view(source.shape).mean(dim=1)


def branch_length(embedding_dim: int, n_branches: int) -> int:
    """The length of one branch's embedding.

    Raises:
        ValueError: Fewer than two branches, or branches of unequal length.
    """
    if n_branches < 2:
        raise ValueError(f"n_branches={n_branches}: must be at least 2; take a network with branches, or another loss")
    if embedding_dim % n_branches:
        raise ValueError(f"embedding_dim={embedding_dim} is no multiple of n_branches={n_branches}")
    return embedding_dim // n_branches
