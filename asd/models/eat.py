"""EAT (Chen et al., IJCAI 2024, arXiv 2401.03497): a ViT-base on patches of 16 bands × 16 columns, with a CLS token.

Written after the paper and the names and shapes of the published weights of its pretraining, which we may not give on.
Positions are a fixed table of sines (MAE, arXiv 2111.06377), for up to 64 patches in time. The input is
asd.features.fbank with the constants of conf/input/eat.yaml; theirs is padded to 1024 columns, here columns that are
not there have no patch (our choice).
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from asd.models.backbone import check_sizes
from asd.models.lora import Tune
from asd.models.transformer import PATCH, Attention, Layer, PatchTransformer, own_name, read_published

LONGEST = 64  # patches in time that the published table has
EPSILON = 1e-6  # of the normalisations
LONGEST_PERIOD = 10_000.0  # of the positions' sines, over 2π
ENCODER = "modality_encoders.IMAGE"
OWN_NAMES = {f"{ENCODER}.local_encoder.proj": "patches", f"{ENCODER}.context_encoder.norm": "norm"}
OF_LAYER = {
    "attn.proj": "attention.out",
    "norm1": "attention_norm",
    "mlp.fc1": "dense1",
    "mlp.fc2": "dense2",
    "norm2": "norm",
}


class Eat(PatchTransformer):
    """EAT as a backbone.

    Parts: patches, norm, layers.0 …

    Args:
        n_bins: Mel bands.
        n_frames: Columns of a piece, at most 1039; those behind the last whole patch are not looked at.
        embedding_dim: Width of the tokens.
        checkpoint: Published weights of the pretraining (EAT-base_epoch30_pt.pt and the like).
        pretrained: Whether it starts from them, otherwise at random.
        pooling: The embedding: the CLS token ("cls") or the mean of the patches ("mean").
        tune: What learns: "all", "none", or "lora", matrices beside the projections of queries and values.
        lora_rank: Rank of these matrices.
        lora_alpha: Their scale, as a multiple of 1 / rank.
        n_layers: Layers.
        n_heads: Heads of the attention.

    Raises:
        ValueError: A size out of range, or a checkpoint that is missing or not of this network.
    """

    def __init__(
        self,
        *,
        n_bins: int,
        n_frames: int,
        embedding_dim: int = 768,
        checkpoint: str | None = None,
        pretrained: bool = True,
        pooling: Literal["cls", "mean"] = "cls",
        tune: Tune = "lora",
        lora_rank: int = 8,
        lora_alpha: float = 16.0,
        n_layers: int = 12,
        n_heads: int = 12,
    ) -> None:
        check_sizes(n_layers=n_layers)
        if pooling not in ("cls", "mean"):
            raise ValueError(f"pooling={pooling}: must be cls or mean")
        if n_frames // PATCH > LONGEST:
            raise ValueError(f"n_frames={n_frames}: must be below {(LONGEST + 1) * PATCH}, which EAT was trained on")
        if embedding_dim % 4:
            raise ValueError(f"embedding_dim={embedding_dim}: must be a multiple of 4")
        network = Network((n_frames // PATCH, n_bins // PATCH), embedding_dim, n_layers, n_heads, pooling)
        weights = renamed(read_published(checkpoint, "eat").weights) if pretrained else None
        super().__init__(
            network,
            n_bins=n_bins,
            n_frames=n_frames,
            embedding_dim=embedding_dim,
            weights=weights,
            checkpoint=checkpoint,
            tune=tune,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
        )


class Network(nn.Module):
    """The layers of EAT."""

    def __init__(self, grid: tuple[int, int], width: int, n_layers: int, n_heads: int, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.cls = nn.Parameter(torch.randn(1, 1, width))
        self.register_buffer("positions", sines(*grid, width), persistent=False)
        self.positions: Tensor
        self.patches = nn.Conv2d(1, width, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.Sequential(
            *(Layer(Attention(width, n_heads), width, n_hidden=4 * width, epsilon=EPSILON) for _ in range(n_layers))
        )

    def forward(self, pieces: Tensor) -> Tensor:
        """(pieces, 1, bins, frames) to (pieces, width)."""
        patches = self.patches(pieces.mT).flatten(2).transpose(1, 2)  # tokens are in the order of time, then frequency
        cls = self.cls.expand(len(pieces), -1, -1)
        x = self.layers(self.norm(torch.cat([cls, patches + self.positions], dim=1)))
        return x[:, 0] if self.pooling == "cls" else x[:, 1:].mean(dim=1)


def sines(n_time: int, n_frequency: int, width: int) -> Tensor:
    """The positions of the patches, (1, n_time · n_frequency, width).

    A quarter of the width each: sine and cosine of the place in frequency, then of that in time.
    """
    frequency = torch.arange(n_frequency, dtype=torch.float64).repeat(n_time)
    time = torch.arange(n_time, dtype=torch.float64).repeat_interleave(n_frequency)
    rates = LONGEST_PERIOD ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = [at.unsqueeze(1) * rates for at in (frequency, time)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1).float().unsqueeze(0)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published weights under our names, the projections of queries, keys and values apart.

    The decoder and the teacher of the pretraining (`_ema`) are left out, and so are the positions, which are computed;
    what else does not belong is left for `load_state_dict` to refuse.
    """
    own = {}
    for name, value in weights.items():
        if name.startswith((f"{ENCODER}.decoder.", f"{ENCODER}.fixed_positional_encoder.", "_ema")):
            continue
        if name == f"{ENCODER}.extra_tokens":
            own["cls"] = value
        elif ".attn.qkv." in name:
            layer, _, last = name.removeprefix("blocks.").partition(".attn.qkv.")
            for kind, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
                own[f"layers.{layer}.attention.{kind}.{last}"] = part
        else:
            own[own_name(name, OWN_NAMES, "blocks", OF_LAYER)] = value
    return own
