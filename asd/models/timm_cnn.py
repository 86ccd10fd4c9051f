"""ResNet-50, EfficientNet-B0 and whatever else timm has, from scratch, with one input channel."""

import difflib
from typing import Any

import timm
import torch
from torch import Tensor, nn

from asd.models.backbone import Backbone, check_sizes, named_parts

# Ours to set: one channel in, the embedding out, and no weights from elsewhere (Report 2.4).
OURS = ("in_chans", "num_classes", "pretrained", "pretrained_cfg", "checkpoint_path", "features_only")


class TimmCnn(Backbone):
    """A network of timm whose classifier makes the embedding (Report 2.2).

    Args:
        model: timm's name, such as resnet50 or efficientnet_b0.
        n_bins: Rows of a piece.
        n_frames: Columns of a piece.
        embedding_dim: Length of the embedding.
        options: What the network takes besides, such as drop_path_rate.

    Raises:
        ValueError: A size below 1, an unknown model, an option that it does not take or that is ours to set, or a
            network that does not map a piece to an embedding.
    """

    def __init__(self, *, model: str, n_bins: int, n_frames: int, embedding_dim: int, **options: Any) -> None:
        check_sizes(n_bins=n_bins, n_frames=n_frames, embedding_dim=embedding_dim)
        network = create(model, embedding_dim, options)
        embedding_part = part_of_classifier(model, network)
        super().__init__(
            network,
            last_block=last_block(network, embedding_part),
            embedding_parts=(embedding_part,),
            input_shape=(1, n_bins, n_frames),
            embedding_dim=embedding_dim,
        )
        check_shape(model, self)

    def feature_map(self, pieces: Tensor) -> Tensor:
        """What timm calls the features: the last block's output, of EfficientNet with the convolution behind it.

        Raises:
            ValueError: They are no map of channels, rows and columns, such as those of a transformer.
        """
        found: Tensor = self.network.forward_features(pieces)  # type: ignore[operator]
        if found.ndim != 4 or found.shape[1] != self.network.num_features:
            raise ValueError(
                f"the features of timm's network are {tuple(found.shape)}, no (pieces, channels, rows, columns): "
                "take another scorer than bands, or a convolutional backbone"
            )
        return found


def create(model: str, embedding_dim: int, options: dict[str, Any]) -> nn.Module:
    """timm's network with random weights."""
    if not timm.is_model(model):  # before create_model, which fetches names such as hf-hub:…
        near = difflib.get_close_matches(model, timm.list_models(), n=5)
        raise ValueError(f"model={model}: not a network of timm {timm.__version__}; near it: {', '.join(near) or '–'}")
    for name in OURS:
        if name in options:
            raise ValueError(f"{name}={options[name]}: cannot be set; networks start from scratch, with one channel")
    try:
        return timm.create_model(model, pretrained=False, in_chans=1, num_classes=embedding_dim, **options)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"model={model} with {options or 'no options'}: {error}") from error


def part_of_classifier(model: str, network: nn.Module) -> str:
    """The name of the part that holds timm's classifier."""
    classifier = network.get_classifier()  # type: ignore[operator]
    for name, part in named_parts(network):
        if any(module is classifier for module in part.modules()):
            return name
    raise ValueError(f"model={model}: it has no single classifier that could make the embedding; take another network")


def last_block(network: nn.Module, embedding_part: str) -> str:
    """The last part of a Sequential that is more than a normalisation; without any, the last before the embedding.

    ResNet-50: layer4.2. EfficientNet-B0: blocks.6.0.
    """
    candidates = []
    for name, part in named_parts(network):
        if name != embedding_part and any(weight.ndim > 1 for weight in part.parameters()):
            candidates.append(name)
    inside = [name for name in candidates if "." in name]
    return (inside or candidates)[-1]


def check_shape(model: str, backbone: Backbone) -> None:
    """Raises ValueError unless one piece becomes one embedding; tensors without data make it free."""
    state = {name: value.to("meta") for name, value in (*backbone.named_parameters(), *backbone.named_buffers())}
    piece = torch.empty(1, *backbone.input_shape, device="meta")
    size = "×".join(map(str, backbone.input_shape[1:]))
    backbone.eval()  # BatchNorm does not take a single value otherwise
    try:
        embedding = torch.func.functional_call(backbone, state, (piece,))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"model={model} does not take pieces of {size}: {error}") from error
    backbone.train()
    if embedding.shape != (1, backbone.embedding_dim):
        raise ValueError(f"model={model} does not give one embedding for a piece of {size}; take another network")
