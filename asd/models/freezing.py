"""Freezing named parts of a network: neither their weights nor their statistics move (Report 2.4)."""

import difflib
from collections.abc import Iterable, Sequence

from torch import nn

from asd.config.schema import FREEZE_STRATEGIES
from asd.models.backbone import named_parts


def freeze(backbone: nn.Module, head: nn.Module, names: Sequence[str]) -> tuple[list[str], list[nn.Module]]:
    """Takes the gradient from everything that the names stand for, and puts it into evaluation mode.

    `train()` of a module around them ends the evaluation mode again: call `keep_frozen_in_eval` after it.

    Args:
        backbone: The network.
        head: What is trained on its embeddings.
        names: Strategies — until_last_block: all parts before the last block; backbone: all parts except those that
            make the embedding; arcface: the head — or a backbone's own parts, such as layer4.2. Any combination.

    Returns:
        The names of the frozen parameters, sorted, with `backbone.` or `head.` in front; and the frozen modules.

    Raises:
        ValueError: An unknown name, or nothing of the backbone is left to learn.
    """
    parts = parts_of(backbone)
    modules = [parts[name] for name in frozen_parts(backbone, names)]
    modules += [head] if "arcface" in names else []
    frozen = {id(parameter) for module in modules for parameter in module.parameters()}
    if {"until_last_block", "backbone"} & set(names):
        frozen |= {id(parameter) for parameter in loose_parameters(backbone)}
    if all(id(parameter) in frozen for parameter in backbone.parameters()):
        raise ValueError(f"freeze.parts=[{', '.join(names)}]: nothing of the backbone is left to learn; name fewer")

    frozen_names = []
    for name, parameter in nn.ModuleDict({"backbone": backbone, "head": head}).named_parameters():
        if id(parameter) in frozen:
            parameter.requires_grad_(False)
            frozen_names.append(name)
    keep_frozen_in_eval(modules)
    return sorted(frozen_names), modules


def keep_frozen_in_eval(modules: Iterable[nn.Module]) -> None:
    """Puts frozen modules into evaluation mode, so that BatchNorm's statistics stand still and dropout rests."""
    for module in modules:
        module.eval()


def parts_of(network: nn.Module) -> dict[str, nn.Module]:
    """The parts of a network that can be frozen, by name, in the order of the signal: `parts()`, or its children."""
    parts = getattr(network, "parts", None)
    return dict(parts()) if callable(parts) else dict(named_parts(network))


def last_block_of(network: nn.Module) -> str:
    """The part that is the last block: what the network says, or the last but one of its parts."""
    names = list(parts_of(network))
    return str(getattr(network, "last_block", names[-2] if len(names) > 1 else names[-1]))


def embedding_parts_of(network: nn.Module) -> tuple[str, ...]:
    """The parts that make the embedding: what the network says, or its last part."""
    return tuple(getattr(network, "embedding_parts", list(parts_of(network))[-1:]))


def frozen_parts(backbone: nn.Module, names: Sequence[str]) -> list[str]:
    """The parts of the backbone that strategies and names of parts stand for, in the order of the signal."""
    parts = list(parts_of(backbone))
    chosen: set[str] = set()
    for name in names:
        if name == "until_last_block":
            chosen.update(parts[: parts.index(last_block_of(backbone))])
        elif name == "backbone":
            chosen.update(part for part in parts if part not in embedding_parts_of(backbone))
        elif name in parts:
            chosen.add(name)
        elif name != "arcface":
            raise ValueError(unknown(name, parts))
    return [part for part in parts if part in chosen]


def loose_parameters(backbone: nn.Module) -> list[nn.Parameter]:
    """The backbone's parameters outside of every part, such as a transformer's position embedding."""
    inside = {id(parameter) for part in parts_of(backbone).values() for parameter in part.parameters()}
    return [parameter for parameter in backbone.parameters() if id(parameter) not in inside]


def unknown(name: str, parts: Sequence[str]) -> str:
    """What to say of a name that is neither a strategy nor a part."""
    near = difflib.get_close_matches(name, [*FREEZE_STRATEGIES, *parts], n=1)
    return (
        f"freeze.parts: {name} is neither a strategy nor a part of this network"
        + (f"; did you mean {near[0]}?" if near else ".")
        + f" Strategies: {', '.join(FREEZE_STRATEGIES)}. Parts: {', '.join(parts)}"
    )
