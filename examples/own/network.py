"""A network of one's own: pieces in, embeddings out. Nothing else is asked of it."""

from torch import Tensor, nn


class TwoLayers(nn.Module):
    """Two strided convolutions and a mean.

    Args:
        embedding_dim: Length of the embedding.
        width: Channels of the first convolution.
    """

    def __init__(self, *, embedding_dim: int, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, width, 5, stride=4), nn.BatchNorm2d(width), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.embedding = nn.Linear(2 * width, embedding_dim)

    def forward(self, pieces: Tensor) -> Tensor:
        """(pieces, 1, bins, frames) to (pieces, embedding_dim)."""
        return self.embedding(self.second(self.first(pieces)).mean(dim=(2, 3)))
