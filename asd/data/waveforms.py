"""Waveforms of all clips of a machine as one array: decoded once, mapped from disk, read by windows."""

import hashlib
import os
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.data.bad_clips import clips_key, refuse
from asd.data.bank_file import decode_once
from asd.data.clips import ClipTable
from asd.data.decoding import FULL_SCALE, Decoding, lost_by_resampling, too_short
from asd.system.cores import n_cores
from asd.system.progress import say

CONTENT = "content:"  # what fingerprints of the clips' content begin with; others are of names and sizes


class WaveformBank:
    """The samples of many clips, and windows of them.

    Attributes:
        samples: (samples,) all clips end to end, on any device, in steps of 16 bit: full scale is 32768. int16, or
            float32 for all of them where a clip does not fit that.
        offsets: (clips,) int64, where each clip starts, on the CPU.
        lengths: (clips,) int64, samples of each clip, on the CPU.
        file: What `samples` is mapped from; None where they lie in memory.
        digests: (clips, 32) uint8, SHA-256 of the file of each clip; None where there is no file.
    """

    def __init__(
        self, samples: Tensor, lengths: Tensor, file: Path | None = None, digests: np.ndarray | None = None
    ) -> None:
        self.samples = samples
        self.lengths = lengths
        self.offsets = lengths.cumsum(0) - lengths
        self.file = file
        self.digests = digests

    @classmethod
    def open(
        cls, table: ClipTable, cache: Path, decoding: Decoding, *, threads: int | None = None, progress: bool
    ) -> "WaveformBank":
        """The bank of a table's clips, row by row: decoded at the first call, mapped from the cache at the next.

        Args:
            table: The clips; they count as the same as long as path, size and times of change are.
            cache: Folder for the decoded samples.
            decoding: How recordings become waveforms.
            threads: Number of threads that decode; one per core where None.
            progress: Whether to show a progress bar.

        Raises:
            BadClipsError: Clips are damaged, silent or of another format; the message names every one of them.
        """
        file = cache.absolute() / f"{table.machine}-{clips_key(table, *decoding.identity)}.bank"
        dtype, clips = decode_once(table, file, decoding, threads=threads or n_cores(), progress=progress)
        lengths = clips["length"]
        short = np.flatnonzero(lengths < decoding.min_samples)
        names = table.clip_names
        refuse(table.root, {str(names[row]): too_short(lengths[row], decoding.min_samples) for row in short})
        say_resampled(table.machine, clips["sample_rate"], decoding.sample_rate)
        samples = map_samples(file, int(lengths.sum()), getattr(torch, dtype.name))
        return cls(samples, torch.from_numpy(lengths.copy()), file, clips["digest"])

    @classmethod
    def from_arrays(cls, arrays: Sequence[np.ndarray]) -> "WaveformBank":
        """A bank in memory.

        Args:
            arrays: (samples,) int16 or float32, one per clip, in steps of 16 bit.
        """
        lengths = torch.tensor([len(array) for array in arrays], dtype=torch.int64)
        dtype = np.result_type(*arrays)
        if dtype not in (np.int16, np.float32):
            raise TypeError(f"samples of {dtype}: must be int16 or float32")
        return cls(torch.from_numpy(np.concatenate(arrays)), lengths)

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.lengths)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: of a mapped bank the name of the file, not the samples."""
        return {**self.__dict__, "samples": self.samples.dtype if self.file else self.samples}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Maps the file again."""
        self.__dict__.update(state)
        if self.file:
            self.samples = map_samples(self.file, int(self.lengths.sum()), state["samples"])

    def to(self, device: torch.device | str) -> "WaveformBank":
        """The bank with its samples on a device; itself where they are there already."""
        samples = self.samples.to(device)
        if samples is self.samples:
            return self
        bank = copy(self)
        bank.samples, bank.file = samples, None
        return bank

    def fingerprint(self, table: ClipTable, rows: np.ndarray | None = None) -> str:
        """Identity of clips by the content of their files and by what the table says of them.

        Times of change, the place of the root and the order of the rows do not count.

        Args:
            table: The clips of this bank, row by row.
            rows: A mask of those that count, such as `table.is_train`; all of them where None.
        """
        assert self.digests is not None, "clips that were decoded from no file"
        about = (table.clip_names, table.section, table.domain, table.split, table.label, table.attributes)
        lines = sorted(
            "\0".join(map(str, (*facts, digest.tobytes().hex()))) + "\n"
            for *facts, digest, counts in zip(
                *about, self.digests, np.full(len(self), True) if rows is None else rows, strict=True
            )
            if counts
        )
        return CONTENT + hashlib.sha256(os.fsencode("".join(lines))).hexdigest()

    def windows(
        self, clip: Tensor, first_sample: Tensor, length: int, *, pad: str, clip_length: Tensor | None = None
    ) -> Tensor:
        """Windows of clips as waveforms of full scale 1, float32; arguments as of `raw_windows`."""
        raw = self.raw_windows(clip, first_sample, length, pad=pad, clip_length=clip_length)
        return raw.float().mul_(1 / FULL_SCALE)

    def waveform(self, clip: int) -> NDArray[np.float32]:
        """The waveform of a whole clip, (samples,), in [−1, 1)."""
        row = torch.tensor([clip])
        return self.windows(row, torch.zeros_like(row), int(self.lengths[clip]), pad="zeros")[0].cpu().numpy()

    def raw_windows(
        self, clip: Tensor, first_sample: Tensor, length: int, *, pad: str, clip_length: Tensor | None = None
    ) -> Tensor:
        """Windows of clips as the bank holds them, in one gather.

        What to gather is worked out on the CPU, so that samples on a GPU are gathered without waiting for it.

        Args:
            clip: (windows,) rows of the clips.
            first_sample: (windows,) where each window starts, in samples of its clip; may be negative.
            length: Of the windows, in samples; they may pass the end of the clip.
            pad: What lies beyond a clip's ends: its mirror image ("reflect", the edge not repeated) or "zeros".
            clip_length: (windows,) samples after which a clip counts as ended; all of it where None.

        Returns:
            (windows, length) int16 or float32 in steps of 16 bit (full scale is 32768), where the samples lie.

        Raises:
            ValueError: Another kind of padding.
        """
        if pad not in ("reflect", "zeros"):
            raise ValueError(f"pad={pad}: must be reflect or zeros")
        offset = self.offsets[clip]
        clip_length = self.lengths[clip] if clip_length is None else clip_length
        inside = (first_sample >= 0) & (first_sample + length <= clip_length)
        edge = (~inside).nonzero()[:, 0]
        if len(edge) == len(inside):  # whole clips with both their margins, for example
            return self._padded(offset, first_sample, length, pad, clip_length)
        start = (offset + first_sample).clamp(0, len(self.samples) - length)
        device = self.samples.device
        windows = self.samples.unfold(0, length, 1).index_select(0, start.to(device, non_blocking=True))
        if len(edge):
            padded = self._padded(offset[edge], first_sample[edge], length, pad, clip_length[edge])
            windows[edge.to(device, non_blocking=True)] = padded
        return windows

    def _padded(self, offset: Tensor, first_sample: Tensor, length: int, pad: str, clip_length: Tensor) -> Tensor:
        """Windows that pass an end of their clip, sample by sample."""
        device = self.samples.device
        offset, first_sample, clip_length = (
            each.to(device, non_blocking=True) for each in (offset, first_sample, clip_length)
        )
        at = first_sample[:, None] + torch.arange(length, device=device)
        last = clip_length[:, None] - 1
        if pad == "zeros":
            inside = (at >= 0) & (at <= last)
            return self.samples[offset[:, None] + at.clamp_(min=0).minimum(last)].mul_(inside)
        mirrored = last - (at.remainder((2 * last).clamp(min=1)) - last).abs()
        return self.samples[offset[:, None] + mirrored]


def say_resampled(machine: str, sample_rates: np.ndarray, to: int) -> None:
    """Says on the terminal which recordings were resampled and what that does to them."""
    for rate, count in zip(*np.unique(sample_rates, return_counts=True), strict=True):
        if rate != to:
            say(
                f"{machine}: {count} of {len(sample_rates)} clips are RESAMPLED from {rate} to {to} Hz (soxr, VHQ): "
                + lost_by_resampling(int(rate), to)
            )


def map_samples(file: Path, n_samples: int, dtype: torch.dtype) -> Tensor:
    """The samples at the start of a cache file, read when touched and shared between processes."""
    return torch.from_file(str(file), shared=False, size=n_samples, dtype=dtype)
