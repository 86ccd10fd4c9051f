"""The last feature map of a network as a vector for each frequency band, for a bank of references each."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrequencyBands(nn.Module):
    """A trained backbone whose embedding is what it sees in each frequency band (arXiv 2603.13749).

    Nothing is trained for it: the network's own pooling and embedding are left out.

    Args:
        backbone: Has `feature_map`, as `Backbone` describes it.
        bands: Into how many groups of neighbouring rows the map is cut.

    Raises:
        ValueError: The network says nothing of its feature map.
    """

    def __init__(self, backbone: nn.Module, bands: int) -> None:
        super().__init__()
        if not hasattr(backbone, "feature_map"):
            raise ValueError(
                f"scorer.bands={bands}: {type(backbone).__name__} has no method feature_map (asd/models/backbone.py)"
            )
        self.backbone = backbone
        self.bands = bands

    def forward(self, pieces: Tensor) -> Tensor:
        """Maps pieces to the vectors of their bands.

        Args:
            pieces: As the backbone takes them.

        Returns:
            (pieces, bands · channels): band after band, from low to high frequencies, the mean over its rows and all
            columns. Each has the length 1 / √bands, so that all together have length 1; a band of zeros stays zero.

        Raises:
            ValueError: The map has fewer rows than bands are wanted.
        """
        rows = self.backbone.feature_map(pieces).float().mean(dim=3)  # type: ignore[operator]
        if rows.shape[2] < self.bands:
            raise ValueError(
                f"scorer.bands={self.bands}: the network's last feature map has {rows.shape[2]} rows; give that many "
                "or fewer"
            )
        vectors = torch.stack([band.mean(dim=2) for band in rows.tensor_split(self.bands, dim=2)], dim=1)
        return (F.normalize(vectors, dim=2) / self.bands**0.5).flatten(1)
