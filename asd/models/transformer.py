"""Transformers on patches of a spectrogram, from published weights: what the BEATs and EAT networks share."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from asd.models.backbone import Backbone, check_sizes
from asd.models.lora import Tune, set_tuning
from asd.system.arrays import load_tensors
from asd.system.printable import one_line

PATCH = 16  # mel bands and columns of a patch


class PatchTransformer(Backbone):
    """A network of `layers` on patches; there is none behind the last one, so `freeze=until_last_block` trains that.

    Args:
        network: With the children `layers.0` …
        n_bins: Mel bands.
        n_frames: Columns of a piece.
        embedding_dim: Width of the tokens.
        weights: It starts from; None: from random ones.
        checkpoint: The file that they are from.
        tune: What learns.
        lora_rank: As of `Lora`.
        lora_alpha: As of `Lora`.

    Raises:
        ValueError: A setting out of range, or weights of another network.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        n_bins: int,
        n_frames: int,
        embedding_dim: int,
        weights: Mapping[str, Tensor] | None,
        checkpoint: str | None,
        tune: Tune,
        lora_rank: int,
        lora_alpha: float,
    ) -> None:
        if min(n_bins, n_frames) < PATCH or n_bins % PATCH:
            raise ValueError(
                f"pieces of {n_bins}×{n_frames}: give bands in multiples of {PATCH}, and {PATCH} columns or more"
            )
        if weights is not None:
            try:
                network.load_state_dict(weights)
            except RuntimeError as error:
                raise ValueError(
                    f"checkpoint={checkpoint}: its weights do not fit this network: {one_line(error)}"
                ) from None
        set_tuning(network, tune, rank=lora_rank, alpha=lora_alpha, layers=("query", "value"))
        layers: Any = network.layers
        super().__init__(
            network,
            last_block=f"layers.{len(layers) - 1}",
            embedding_parts=(),
            input_shape=(1, n_bins, n_frames),
            embedding_dim=embedding_dim,
        )


class Attention(nn.Module):
    """Self-attention of several heads.

    Args:
        width: Of the tokens.
        n_heads: Heads, each of width / n_heads.

    Raises:
        ValueError: The heads cannot share the width equally.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        check_sizes(embedding_dim=width, n_heads=n_heads)
        if width % n_heads:
            raise ValueError(f"n_heads={n_heads}: must divide embedding_dim={width}")
        self.n_heads = n_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def heads(self, projected: Tensor) -> Tensor:
        """(pieces, tokens, width) to (pieces, heads, tokens, width / heads)."""
        return projected.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def bias(self, query: Tensor, positions: Tensor | None) -> Tensor | None:
        """What is added to the scaled products of queries and keys (pieces or 1, heads, tokens, tokens).

        Args:
            query: (pieces, heads, tokens, width / heads), not scaled.
            positions: (heads, tokens, tokens) of the network, if it has any.
        """
        return positions

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """(pieces, tokens, width) to the same; `positions` as of `bias`."""
        query, key, value = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        bias = self.bias(query, positions)
        found = F.scaled_dot_product_attention(query, key, value, None if bias is None else bias.to(query.dtype))
        return self.out(found.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention and two dense layers, each added to its input and normalised after it.

    Args:
        attention: Of this layer.
        width: Of the tokens.
        n_hidden: Units between the dense layers.
        residual: Factor of what each result is added to.
        epsilon: Of the normalisations.
    """

    def __init__(
        self, attention: Attention, width: int, *, n_hidden: int, residual: float = 1.0, epsilon: float = 1e-5
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.dense1, self.dense2 = nn.Linear(width, n_hidden), nn.Linear(n_hidden, width)
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.residual = residual

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """(pieces, tokens, width) to the same."""
        x = self.attention_norm(self.residual * x + self.attention(x, positions))
        return self.norm(self.residual * x + self.dense2(F.gelu(self.dense1(x))))


class Published(NamedTuple):
    """A published checkpoint.

    Attributes:
        weights: By name, as `model` of the file; what is no tensor belongs to the pretraining and is left out.
        settings: As `cfg` of the file, where it has any.
    """

    weights: Mapping[str, Tensor]
    settings: Mapping[str, Any]


def read_published(path: str | None, backbone: str) -> Published:
    """A published checkpoint, read as data alone.

    Raises:
        ValueError: None was named, it is not there, names code, or holds something else.
    """
    if path is None:
        raise ValueError(
            f"backbone={backbone} needs weights that you have: backbone.checkpoint=FILE.pt, "
            "or start from random ones with backbone.pretrained=false"
        )
    try:
        found = load_tensors(Path(path))
    except FileNotFoundError:
        raise ValueError(f"checkpoint={path}: no such file") from None
    except ValueError as error:
        raise ValueError(
            f"checkpoint={error}. Only tensors and plain values are read, no NumPy scalars and no settings of fairseq. "
            "Where you trust the file, keep its weights alone: "
            "torch.save({'model': torch.load(FILE, weights_only=False)['model']}, NEW)"
        ) from None
    if not isinstance(found, Mapping) or not isinstance(found.get("model"), Mapping):
        raise ValueError(f"checkpoint={path}: has no weights under 'model'; it is no published checkpoint")
    weights = {str(name): value for name, value in found["model"].items() if isinstance(value, Tensor)}
    settings = found.get("cfg")
    return Published(weights, settings if isinstance(settings, Mapping) else {})


def own_name(name: str, names: Mapping[str, str], layers: str, of_layer: Mapping[str, str]) -> str:
    """Our name of a published weight; as it is where we have none.

    Args:
        name: Theirs.
        names: Of modules outside of the layers, theirs to ours.
        layers: What theirs call the list of layers.
        of_layer: Of modules of a layer, theirs to ours.
    """
    layer = re.fullmatch(rf"{layers}\.(\d+)\.(.+)", name)
    prefix, inner = (f"layers.{layer[1]}.", layer[2]) if layer else ("", name)
    module, _, last = inner.rpartition(".")
    own = (of_layer if layer else names).get(module)
    return name if own is None else f"{prefix}{own}.{last}"
