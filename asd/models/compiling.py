"""Compiling a network: code for the very sizes it meets, made at its first step."""

import torch
from torch import nn

from asd.system.progress import say


def why_not_compiled(device: torch.device) -> str | None:
    """What keeps this machine from compiling networks for a device, or None; found by compiling something small.

    Compilers, their headers and drivers are missing in too many ways to look for each.
    """
    try:
        torch.compile(torch.relu)(torch.zeros(8, device=device))
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return None


def compile_network(network: nn.Module, *, as_cuda_graphs: bool = False) -> None:
    """Compiles a network at its first step; its weights keep their names, so checkpoints load everywhere.

    Args:
        network: Changed in place.
        as_cuda_graphs: Whether a GPU gets all of its work in one launch.
    """
    say("compiling the network at the first step: about a minute, once")
    torch.compiler.reset()  # a sweep's runs in one process: what was compiled for others is not looked at again
    network.compile(dynamic=False, mode="reduce-overhead" if as_cuda_graphs else None)
