"""Waveforms of all clips of a machine as one array: decoded once, mapped from disk, read by windows.

The cache file holds the samples of all clips end to end (int16), then 16 bytes per clip (its length as int64, the
CRC-32 of its samples as int64) and a seal of 16 bytes (the number of clips, the file's kind and version). It appears
under its name only when it is whole, and is made again when it does not hold what its checksums say.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from asd.data.bad_clips import refuse
from asd.data.clips import ClipTable
from asd.data.decoding import FULL_SCALE, read_waveform, too_short
from asd.system.cores import n_cores
from asd.system.files import alone, remove_leftovers, replacing
from asd.system.progress import progress as show_progress

SEAL = b"asdbank2"  # of what is decoded, too: since 2, clips are not silent from end to end
CLIPS_AT_ONCE = 256

T = TypeVar("T")


class WaveformBank:
    """The samples of many clips, and windows of them.

    Attributes:
        samples: (samples,) int16, all clips end to end, on any device.
        offsets: (clips,) int64, where each clip starts, on the CPU.
        lengths: (clips,) int64, samples of each clip, on the CPU.
        file: What `samples` is mapped from; None where they lie in memory.
    """

    def __init__(self, samples: Tensor, lengths: Tensor, file: Path | None = None) -> None:
        self.samples = samples
        self.lengths = lengths
        self.offsets = lengths.cumsum(0) - lengths
        self.file = file

    @classmethod
    def open(
        cls,
        table: ClipTable,
        cache: Path,
        *,
        sample_rate: int,
        min_samples: int,
        threads: int | None = None,
        progress: bool,
    ) -> "WaveformBank":
        """The bank of a table's clips, row by row: decoded at the first call, mapped from the cache at the next.

        Args:
            table: The clips; they count as the same as long as path, size and time of change are.
            cache: Folder for the decoded samples.
            sample_rate: That the clips must have, in Hz; nothing is resampled.
            min_samples: That a clip must have.
            threads: That decode; one per core where None.
            progress: Whether to show a progress bar.

        Raises:
            BadClipsError: Clips are damaged, silent or of another format; the message names every one of them.
        """
        paths = [table.absolute(row) for row in range(len(table))]
        file = cache.absolute() / f"{table.machine}-{content_key(table, paths, sample_rate)}.bank"
        with ThreadPoolExecutor(threads or n_cores()) as pool:
            lengths = read_lengths(file, len(paths), pool)
            if lengths is None:
                read = partial(read_waveform, sample_rate=sample_rate, min_samples=min_samples)
                with show_progress(f"decoding {table.machine}", len(paths), show=progress) as bar:
                    lengths = make_once(paths, file, read, pool, bar.update)
        if lengths is None:
            raise OSError(f"{file}: does not hold what was just written; is the disk damaged?")
        short = np.flatnonzero(lengths < min_samples)
        refuse({paths[row]: too_short(lengths[row], min_samples) for row in short})
        return cls(map_samples(file, int(lengths.sum())), torch.from_numpy(lengths), file)

    @classmethod
    def from_arrays(cls, arrays: Sequence[np.ndarray]) -> "WaveformBank":
        """A bank in memory.

        Args:
            arrays: (samples,) int16, one per clip.
        """
        lengths = torch.tensor([len(array) for array in arrays], dtype=torch.int64)
        return cls(torch.from_numpy(np.concatenate(arrays).astype(np.int16, casting="safe")), lengths)

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.lengths)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: of a mapped bank the name of the file, not the samples."""
        return {**self.__dict__, "samples": None if self.file else self.samples}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Maps the file again."""
        self.__dict__.update(state)
        if self.file:
            self.samples = map_samples(self.file, int(self.lengths.sum()))

    def to(self, device: torch.device | str) -> "WaveformBank":
        """The bank with its samples on a device; itself where they are there already."""
        samples = self.samples.to(device)
        if samples is self.samples:
            return self
        return WaveformBank(samples, self.lengths)

    def windows(
        self, clip: Tensor, first_sample: Tensor, length: int, *, pad: str, clip_length: Tensor | None = None
    ) -> Tensor:
        """Windows of clips as waveforms in [−1, 1), float32; arguments as of `windows_int16`."""
        raw = self.windows_int16(clip, first_sample, length, pad=pad, clip_length=clip_length)
        return raw.float().mul_(1 / FULL_SCALE)

    def windows_int16(
        self, clip: Tensor, first_sample: Tensor, length: int, *, pad: str, clip_length: Tensor | None = None
    ) -> Tensor:
        """Windows of clips as they were recorded, in one gather.

        What to gather is worked out on the CPU, so that samples on a GPU are gathered without waiting for it.

        Args:
            clip: (windows,) rows of the clips.
            first_sample: (windows,) where each window starts, in samples of its clip; may be negative.
            length: Of the windows, in samples; they may pass the end of the clip.
            pad: What lies beyond a clip's ends: its mirror image ("reflect", the edge not repeated) or "zeros".
            clip_length: (windows,) samples after which a clip counts as ended; all of it where None.

        Returns:
            (windows, length) int16, where the samples lie.

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


def map_samples(file: Path, n_samples: int) -> Tensor:
    """The samples at the start of a cache file, read when touched and shared between processes."""
    return torch.from_file(str(file), shared=False, size=n_samples, dtype=torch.int16)


def content_key(table: ClipTable, paths: list[Path], sample_rate: int) -> str:
    """Identity of the content: where the clips lie, their sizes and times of change."""
    digest = hashlib.sha256(f"{sample_rate}\n".encode())
    for path, size, mtime_ns in zip(paths, table.size, table.mtime_ns, strict=True):
        digest.update(os.fsencode(f"{path}\0{size}\0{mtime_ns}\n"))
    return digest.hexdigest()[:32]


def read_lengths(file: Path, n_clips: int, pool: ThreadPoolExecutor) -> np.ndarray | None:
    """The lengths of a cache file's clips; None where it is missing, damaged or another's."""
    tail = 16 * n_clips + 16
    if not file.is_file() or file.stat().st_size <= tail:
        return None
    content = np.memmap(file, mode="r")
    if content[-16:].tobytes() != seal(n_clips):
        return None
    lengths, checksums = np.frombuffer(content[-tail:-16].tobytes(), np.int64).reshape(2, n_clips)
    if lengths.min() < 1 or lengths.max() > len(content) or 2 * lengths.sum() != len(content) - tail:
        return None
    ends = 2 * lengths.cumsum()
    found = pool.map(lambda start, end: checksum(content[start:end]), ends - 2 * lengths, ends)
    return lengths.copy() if np.array_equal(checksums, np.fromiter(found, np.int64, n_clips)) else None


def checksum(values: np.ndarray) -> int:
    """CRC-32 of an array's bytes: several gigabytes a second on one core."""
    return zlib.crc32(values.data)


def seal(n_clips: int) -> bytes:
    """The last bytes of a cache file."""
    return n_clips.to_bytes(8, "little") + SEAL


def make_once(
    paths: list[Path],
    file: Path,
    read: Callable[[Path], np.ndarray],
    pool: ThreadPoolExecutor,
    advance: Callable[[], Any],
) -> np.ndarray | None:
    """Makes a cache file, or waits for the process that makes it; the lengths of its clips. Arguments: `decode_all`."""
    with alone(file.with_suffix(".making")):
        lengths = read_lengths(file, len(paths), pool)
        if lengths is None:
            remove_leftovers(file.parent, file.name)
            decode_all(paths, file, read, pool, advance)
            lengths = read_lengths(file, len(paths), pool)
    return lengths


def decode_all(
    paths: list[Path],
    file: Path,
    read: Callable[[Path], np.ndarray],
    pool: ThreadPoolExecutor,
    advance: Callable[[], Any],
) -> None:
    """Decodes clips into a cache file.

    Args:
        paths: Of the clips.
        file: To be written.
        read: Decodes one clip.
        pool: Threads that decode.
        advance: Is called after each clip.

    Raises:
        BadClipsError: Clips are unusable; the message names every one of them.
    """
    problems: dict[Path, str] = {}
    lengths: list[int] = []
    checksums: list[int] = []
    with replacing(file) as temporary, open(temporary, "wb") as target:
        clips = in_order(lambda path: attempt(read, path), paths, pool)
        for path, clip in zip(paths, clips, strict=True):
            if isinstance(clip, str):
                problems[path] = clip
            elif not problems:
                target.write(clip.data)
                lengths.append(len(clip))
                checksums.append(checksum(clip))
            advance()
        refuse(problems)
        target.write(np.array([lengths, checksums], dtype=np.int64).tobytes() + seal(len(paths)))


def attempt(read: Callable[[Path], np.ndarray], path: Path) -> np.ndarray | str:
    """What was read, or why it could not be."""
    try:
        return read(path)
    except ValueError as error:
        return str(error).removeprefix(f"{path}: ")


def in_order(work: Callable[[Path], T], paths: list[Path], pool: ThreadPoolExecutor) -> Iterator[T]:
    """Results in the order of the paths; few enough lie in memory at a time."""
    for start in range(0, len(paths), CLIPS_AT_ONCE):
        yield from pool.map(work, paths[start : start + CLIPS_AT_ONCE])
