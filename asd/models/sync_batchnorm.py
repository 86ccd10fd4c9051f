"""Batch normalisation over the batches of all processes that train one network together, on any device.

torch's own is for GPUs alone and, put in the place of timm's layers, loses their activation. Here the statistics are
those of the whole batch, so that two devices learn what one would.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def synchronise(network: nn.Module) -> int:
    """Makes all batch normalisation of a network that of the whole batch; weights and their names stay.

    Returns:
        How many layers.

    Raises:
        ValueError: The network has a kind of batch normalisation that is not known here.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d):
            layer.__class__ = Synchronised
        elif isinstance(layer, nn.BatchNorm2d) and {"act", "drop"} <= dict(layer.named_children()).keys():
            layer.__class__ = SynchronisedAct  # timm's: normalisation, dropout and activation in one
        else:
            raise ValueError(f"{type(layer).__name__} is not known on several devices: use trainer.devices=1")
    return len(layers)


class Synchronised(nn.BatchNorm2d):
    """Batch normalisation with the mean and variance of all processes' batches."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalises (n, channels, …)."""
        if not self.training:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        mean, variance, count = statistics(input)
        self.follow(mean.detach(), variance.detach() * count / (count - 1))
        shape = (1, -1, *(1 for _ in input.shape[2:]))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return ((input - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def follow(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics towards those of a batch."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


class SynchronisedAct(Synchronised):
    """The same with timm's dropout and activation behind it."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalises (n, channels, …) and activates."""
        activated: Tensor = self.get_submodule("act")(self.get_submodule("drop")(super().forward(input)))
        return activated


def statistics(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and (biased) variance of each channel of (n, channels, …) over all processes, and the number of values.

    The variance comes from the distances to the common mean: a mean of squares less a square of means cancels.
    """
    axes = [axis for axis in range(values.ndim) if axis != 1]
    wide = values.float()
    count = total(wide.new_full((), values.numel() // values.shape[1]))
    mean = total(wide.sum(axes)) / count
    shape = (1, -1, *(1 for _ in values.shape[2:]))
    variance = total((wide - mean.view(shape)).square().sum(axes)) / count
    return mean, variance, count


def total(part: Tensor) -> Tensor:
    """The sum over all processes, differentiable; the part itself where there is but one."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return part
    return Total.apply(part)


class Total(torch.autograd.Function):
    """A sum over processes: what depends on it in any of them depends on each part."""

    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        """Adds up."""
        whole = part.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Adds up again."""
        return Total.forward(context, gradient)
