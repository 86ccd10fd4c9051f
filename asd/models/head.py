"""The contract of a head: from embeddings and the labels of mixed clips to the loss of each piece.

A head of your own is a subclass named by `loss._target_` (docs/extend.md). Its constructor takes `embedding_dim`,
`n_classes` and its own settings by keyword.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Head(nn.Module, ABC):
    """Computes in float32, also under autocast, whatever the precision of the embeddings."""

    @abstractmethod
    def forward(self, embedding: Tensor, label: Tensor, partner_label: Tensor, mix_weight: Tensor) -> Tensor:
        """The loss of each piece of a mixed clip.

        Args:
            embedding: (pieces, embedding_dim) of any length.
            label: (pieces,) class of the clip, int64.
            partner_label: (pieces,) class of the clip that was mixed in, int64.
            mix_weight: (pieces,) weight of the clip that was mixed in, in [0, 1]; 0 for one that is not mixed.

        Returns:
            (pieces,) losses.
        """

    @abstractmethod
    def class_scores(self, embedding: Tensor) -> Tensor:
        """How well each class fits, for the accuracy: (pieces, embedding_dim) to (pieces, classes), higher = better."""
