"""A trained network as a thing that embeds clips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.backends import cudnn

from asd.data.decoding import FULL_SCALE
from asd.data.waveforms import WaveformBank
from asd.features.spectrogram import SpectrogramSettings, clip_pieces, spectrogram_settings
from asd.models.build import build_backbone
from asd.models.folding import fold_batchnorm
from asd.scoring.neighbours import unit_embeddings
from asd.training.auto import multiplies_bf16
from asd.training.checkpoint import load_checkpoint, load_part

CLIPS_AT_ONCE_ON_GPU = 64
PRECISIONS: dict[str | int, torch.dtype] = {32: torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Embedder:
    """A trained network that maps clips to the unit embeddings of their pieces.

    Attributes:
        backbone: In evaluation mode.
        settings: Of the spectrogram.
        sections: Section numbers in the order of the classes.
        device: Where the network lies.
        precision: What it computes in.
    """

    backbone: nn.Module
    settings: SpectrogramSettings
    sections: list[int]
    device: torch.device
    precision: torch.dtype = torch.float32

    def embed(self, bank: WaveformBank, clip: int, *, stride: int) -> Tensor:
        """The unit embeddings of a clip's pieces, (pieces, embedding_dim), on the CPU."""
        return self.embed_together(bank, [clip], stride=stride)[0]

    def embed_all(self, bank: WaveformBank, *, stride: int) -> Iterator[Tensor]:
        """The unit embeddings of each clip of a bank, in its order.

        On the CPU one clip at a time, which is as fast there: the same clip gives the same bytes, whatever else is
        scored. On a GPU as many as fill it; the last bits may then depend on the neighbours.
        """
        at_once = CLIPS_AT_ONCE_ON_GPU if self.device.type == "cuda" else 1
        for clips in runs_of_one_length(bank.lengths.numpy(), at_once):
            yield from self.embed_together(bank, clips, stride=stride)

    @torch.inference_mode()
    def embed_together(self, bank: WaveformBank, clips: Sequence[int], *, stride: int) -> Sequence[Tensor]:
        """The unit embeddings of clips of one length, (pieces, embedding_dim) each, on the CPU."""
        margin = self.settings.n_fft // 2
        rows = torch.tensor(clips)
        length = int(bank.lengths[clips[0]]) + 2 * margin
        padded = bank.windows_int16(rows, torch.full_like(rows, -margin), length, pad=self.settings.pad)
        samples = padded.to(self.device, non_blocking=True).float()
        pieces = clip_pieces(samples, self.settings, stride, FULL_SCALE)
        in_full = self.precision is torch.float32
        with (
            torch.autocast(self.device.type, self.precision, enabled=not in_full),
            cudnn.flags(enabled=True, allow_tf32=False),
        ):
            embeddings = self.backbone(pieces)
        return unit_embeddings(embeddings).cpu().chunk(len(clips))


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


def load_embedder(checkpoint: Path, device: torch.device, precision: str | int = 32) -> Embedder:
    """The network of a checkpoint, which alone is enough.

    Args:
        checkpoint: Of a run.
        device: Where to compute.
        precision: 32, "bf16", or "auto": bf16 on a GPU that has instructions for it.

    Raises:
        ValueError: The checkpoint is missing, damaged or not one of ours.
    """
    content = load_checkpoint(checkpoint)
    config = content["asd"]["config"]
    settings = spectrogram_settings(config["input"])
    backbone = build_backbone(config["backbone"], n_bins=settings.n_bins, n_frames=settings.n_frames)
    load_part(content, "backbone", backbone)
    backbone.eval()
    shape = (1, 1, settings.n_bins, settings.n_frames)
    folded = fold_batchnorm(backbone, torch.linspace(-1, 1, settings.n_bins * settings.n_frames).view(shape))
    if config["channels_last"]:
        folded.to(memory_format=torch.channels_last)
    return Embedder(
        folded.to(device), settings, content["asd"]["sections"], device, embedding_precision(precision, device)
    )


def embedding_precision(precision: str | int, device: torch.device) -> torch.dtype:
    """What 32, "bf16" or "auto" is on a device."""
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" and multiplies_bf16(device) else 32
    return PRECISIONS[precision]
