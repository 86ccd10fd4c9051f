"""A trained backbone as a thing that embeds clips."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.backends import cudnn

from asd.data.decoding import FULL_SCALE
from asd.data.waveforms import WaveformBank
from asd.features.input import Input
from asd.models.compiling import multiplies_bf16
from asd.models.folding import fold_batchnorm
from asd.scoring.deterministic import MOST_CLIPS, compute_each
from asd.scoring.neighbours import unit_embeddings

CLIPS_AT_ONCE_ON_GPU = 64
PRECISIONS: dict[str | int, torch.dtype] = {32: torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Embedder:
    """A trained network that maps clips to the unit embeddings of their pieces.

    Attributes:
        backbone: In evaluation mode.
        input: Windows of waveform to pieces.
        stride: Positions from one piece of a clip to the next.
        device: Where the network is.
        precision: What it computes in.
    """

    backbone: nn.Module
    input: Input
    stride: int
    device: torch.device
    precision: torch.dtype = torch.float32

    @classmethod
    def of_network(
        cls,
        backbone: nn.Module,
        input: Input,
        *,
        stride: int,
        device: torch.device,
        precision: str | int = 32,
        channels_last: bool = False,
    ) -> "Embedder":
        """A trained network made ready: in evaluation mode, BatchNorm folded, on its device.

        Args:
            backbone: Pieces to embeddings.
            input: Windows of waveform to pieces.
            stride: Positions from one piece of a clip to the next.
            device: Where to compute.
            precision: 32, "bf16", or "auto": bf16 on a GPU that has instructions for it.
            channels_last: Memory layout of the network.
        """
        backbone.eval()
        one = input(torch.linspace(-1, 1, input.window_length).unsqueeze(0))
        folded = fold_batchnorm(backbone, torch.linspace(-1, 1, one.numel()).view(one.shape))
        if channels_last:
            folded.to(memory_format=torch.channels_last)
        return cls(folded.to(device), input, stride, device, embedding_precision(precision, device))

    def extract(self, bank: WaveformBank) -> Iterator[Tensor]:
        """The unit embeddings of each clip's pieces, (pieces, embedding_dim) on the CPU, in the order of the bank.

        On the CPU a clip is computed alone and on one thread, as many clips at a time as there are threads: the same
        clip gives the same bytes, whatever else is scored. On a GPU as many as fill it go together; the last bits may
        then depend on the neighbours.
        """
        together = CLIPS_AT_ONCE_ON_GPU if self.device.type == "cuda" else 1
        groups = runs_of_one_length(bank.lengths.numpy(), together)
        embed = partial(self.embed_together, bank)
        for embeddings in compute_each(embed, groups, device=self.device, at_most=MOST_CLIPS):
            yield from embeddings

    @torch.inference_mode()
    def embed_together(self, bank: WaveformBank, clips: Sequence[int]) -> Sequence[Tensor]:
        """The unit embeddings of clips of one length, (pieces, embedding_dim) each, on the CPU."""
        margin = self.input.margin
        rows = torch.tensor(clips)
        length = int(bank.lengths[clips[0]]) + 2 * margin
        padded = bank.raw_windows(rows, torch.full_like(rows, -margin), length, pad=self.input.pad)
        samples = padded.to(self.device, non_blocking=True).float()
        pieces = self.input.of_clips(samples, self.stride, FULL_SCALE)
        in_full = self.precision is torch.float32
        with (
            torch.autocast(self.device.type, self.precision, enabled=not in_full),
            cudnn.flags(enabled=True, allow_tf32=False) if self.device.type == "cuda" else nullcontext(),
        ):
            embeddings = self.backbone(pieces)
        return unit_embeddings(embeddings).cpu().chunk(len(clips))

    def seconds(self, n_samples: int) -> NDArray[np.float64]:
        """When the pieces of a clip of so many samples are: the middle of each piece's first column, (pieces,)."""
        positions = np.array(self.input.positions(n_samples, self.stride))
        return positions * self.input.hop_length / self.input.sample_rate


def name_of(precision: torch.dtype) -> str:
    """float32 or bfloat16."""
    return str(precision).removeprefix("torch.")


def runs_of_one_length(lengths: np.ndarray, at_most: int) -> Iterator[list[int]]:
    """Rows in their order, in groups of neighbours of one length."""
    group: list[int] = []
    for row, length in enumerate(lengths.tolist()):
        if group and (length != lengths[group[0]] or len(group) == at_most):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def embedding_precision(precision: str | int, device: torch.device) -> torch.dtype:
    """What 32, "bf16" or "auto" is on a device."""
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" and multiplies_bf16(device) else 32
    return PRECISIONS[precision]
