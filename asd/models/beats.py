"""BEATs (Chen et al., ICML 2023, arXiv 2212.09058): a transformer on patches of 16 bands × 16 columns.

Written after the paper and the names and shapes of the published weights, which are not ours to give. Positions come
from a convolution over the tokens and from a gated relative bias of the attention (WavLM, arXiv 2110.13900); residuals
are scaled as in DeepNet (arXiv 2203.00555). The embedding is the mean over the tokens of the last layer (our choice).
The input is asd.features.fbank with the constants of conf/input/beats.yaml.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asd.models.backbone import check_sizes
from asd.models.lora import Tune
from asd.models.transformer import PATCH, Attention, Layer, PatchTransformer, own_name, read_published

N_BUCKETS = 320  # of relative positions, half of them for each direction
MAX_DISTANCE = 800  # tokens; what is farther shares the last bucket
CONVOLUTION, GROUPS = 128, 16  # kernel of the positions, in tokens, and its groups
# What the published settings must be for this network to be theirs.
PUBLISHED = {
    "layer_norm_first": False,
    "deep_norm": True,
    "gru_rel_pos": True,
    "relative_position_embedding": True,
    "num_buckets": N_BUCKETS,
    "max_distance": MAX_DISTANCE,
    "activation_fn": "gelu",
}
OWN_NAMES = {
    "patch_embedding": "patches",
    "layer_norm": "patch_norm",
    "post_extract_proj": "projection",
    "encoder.pos_conv.0": "convolution",
    "encoder.layer_norm": "norm",
}
OF_LAYER = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.out",
    "self_attn.grep_linear": "attention.gate",
    "self_attn": "attention",
    "self_attn_layer_norm": "attention_norm",
    "fc1": "dense1",
    "fc2": "dense2",
    "final_layer_norm": "norm",
}


class Beats(PatchTransformer):
    """BEATs as a backbone.

    Parts: patches, patch_norm, projection, convolution, norm, bias, layers.0 …

    Args:
        n_bins: Mel bands.
        n_frames: Columns of a piece; those behind the last whole patch are not looked at.
        embedding_dim: Width of the tokens.
        checkpoint: Published weights (BEATs_iter3.pt and the like).
        pretrained: Whether it starts from them, otherwise at random.
        tune: What learns: "all", "none", or "lora", matrices beside the projections of queries and values.
        lora_rank: Rank of these matrices.
        lora_alpha: Their scale, as a multiple of 1 / rank.
        n_layers: Layers.
        n_heads: Heads of the attention.
        patch_dim: Width of a patch before it becomes a token.

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
        tune: Tune = "lora",
        lora_rank: int = 8,
        lora_alpha: float = 16.0,
        n_layers: int = 12,
        n_heads: int = 12,
        patch_dim: int = 512,
    ) -> None:
        check_sizes(n_layers=n_layers, patch_dim=patch_dim)
        if embedding_dim % GROUPS:
            raise ValueError(f"embedding_dim={embedding_dim}: must be a multiple of {GROUPS}")
        network = Network(embedding_dim, n_layers, n_heads, patch_dim)
        weights = None
        if pretrained:
            published = read_published(checkpoint, "beats")
            for name, value in PUBLISHED.items():
                if published.settings.get(name, value) != value:
                    raise ValueError(f"checkpoint={checkpoint}: has {name}={published.settings[name]}, not {value}")
            weights = renamed(published.weights)
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
    """The layers of BEATs."""

    def __init__(self, width: int, n_layers: int, n_heads: int, patch_dim: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, patch_dim, PATCH, stride=PATCH, bias=False)
        self.patch_norm = nn.LayerNorm(patch_dim)
        self.projection = nn.Linear(patch_dim, width)
        self.convolution = nn.Conv1d(width, width, CONVOLUTION, padding=CONVOLUTION // 2, groups=GROUPS)
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Embedding(N_BUCKETS, n_heads)
        residual = (2 * n_layers) ** 0.25
        self.layers = nn.Sequential(
            *(
                Layer(GatedAttention(width, n_heads), width, n_hidden=4 * width, residual=residual)
                for _ in range(n_layers)
            )
        )

    def forward(self, pieces: Tensor) -> Tensor:
        """(pieces, 1, bins, frames) to (pieces, width)."""
        patches = self.patches(pieces.mT).flatten(2).transpose(1, 2)  # tokens are in the order of time, then frequency
        x = self.projection(self.patch_norm(patches))
        x = self.norm(x + F.gelu(self.convolution(x.transpose(1, 2))[..., :-1]).transpose(1, 2))
        positions = self.bias(buckets(x.shape[1], x.device)).permute(2, 0, 1)
        for layer in self.layers:
            x = layer(x, positions)
        return x.mean(dim=1)


class GatedAttention(Attention):
    """Attention whose relative bias is scaled by a gate of each query (WavLM eq. 3–6)."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__(width, n_heads)
        self.gate = nn.Linear(width // n_heads, 8)
        self.gate_scale = nn.Parameter(torch.ones(1, n_heads, 1, 1))

    def bias(self, query: Tensor, positions: Tensor | None) -> Tensor | None:
        """(pieces, heads, tokens, tokens): a (b · scale − 1) + 2 times the bias, with the gates a and b of a query."""
        assert positions is not None
        a, b = self.gate(query).unflatten(3, (2, 4)).sum(dim=4).sigmoid().split(1, dim=3)
        return (a * (b * self.gate_scale - 1) + 2) * positions


def buckets(n_tokens: int, device: torch.device) -> Tensor:
    """The bucket of each pair of tokens (query, key): near distances have one each, farther ones share on a log scale.

    The first half is for keys at or before the query, the second for those behind it (T5, arXiv 1910.10683).
    """
    at = torch.arange(n_tokens, device=device)
    ahead = at - at.unsqueeze(1)
    distance, half = ahead.abs(), N_BUCKETS // 2
    exact = half // 2
    ratio = (distance.clamp(min=1).float() / exact).log() / math.log(MAX_DISTANCE / exact)
    far = (exact + (ratio * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (ahead > 0)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published weights under our names: one table of relative positions, the convolution's norm multiplied in.

    Every layer of theirs names the table of the first one; a classifier of a fine-tuned network (`predictor`) is left
    out, and what else does not belong is left for `load_state_dict` to refuse.
    """
    own = {}
    for name, value in weights.items():
        if name.endswith("relative_attention_bias.weight"):
            own["bias.weight"] = weights.get("encoder.layers.0.self_attn.relative_attention_bias.weight", value)
        elif name == "encoder.pos_conv.0.weight_v":
            length = value.square().sum(dim=(0, 1), keepdim=True).sqrt()
            own["convolution.weight"] = value / length * weights.get("encoder.pos_conv.0.weight_g", length)
        elif not name.startswith("predictor.") and name != "encoder.pos_conv.0.weight_g":
            own[own_name(name, OWN_NAMES, "encoder.layers", OF_LAYER).replace("grep_a", "gate_scale")] = value
    return own
