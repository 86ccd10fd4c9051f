"""The cache file of decoded clips: made once, checked before each use, mapped by every process.

It holds the samples of all clips end to end (int16; float32 for all where one clip does not fit that), then a row for
each clip (CLIP) and the footer (FOOTER). It appears under its name only when it is whole, and is made again when it
does not hold what its checksums say.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from asd.data.bad_clips import refuse
from asd.data.clips import ClipTable
from asd.data.decoding import Decoding, check_waveform, content_digest, cut, read_recording
from asd.system.files import alone, remove_leftovers, replacing
from asd.system.progress import progress as show_progress

CLIPS_AT_ONCE = 64  # whose checksums one task compares
SEAL = b"asdbank3"  # since 3: float32 where it is needed, digests of the files
CLIP = np.dtype([("length", "<i8"), ("checksum", "<i8"), ("sample_rate", "<i8"), ("digest", "u1", 32)])
FOOTER = np.dtype([("n_clips", "<i8"), ("itemsize", "<i8"), ("checksum", "<i8"), ("seal", "S8")])
DTYPES: dict[int, np.dtype[Any]] = {2: np.dtype(np.int16), 4: np.dtype(np.float32)}

Clips = tuple[np.dtype[Any], np.ndarray]  # the type of the samples, and (clips,) CLIP
T = TypeVar("T")
R = TypeVar("R")


def decode_once(table: ClipTable, file: Path, decoding: Decoding, *, threads: int, progress: bool) -> Clips:
    """What a cache file says of its clips; the file is made where it is missing or damaged.

    Raises:
        BadClipsError: Clips are unusable; the message names every one of them.
    """
    with ThreadPoolExecutor(threads) as pool:
        clips = read_clips(file, len(table), pool)
        if clips is None:
            with alone(file.with_suffix(".making")):  # another process may be making it
                clips = read_clips(file, len(table), pool) or decode_all(table, file, decoding, pool, threads, progress)
    return clips


def read_clips(file: Path, n_clips: int, pool: ThreadPoolExecutor) -> Clips | None:
    """What a cache file says of its clips; None where it is missing, damaged or another's."""
    tail = n_clips * CLIP.itemsize + FOOTER.itemsize
    if not file.is_file() or file.stat().st_size <= tail:
        return None
    content = np.memmap(file, mode="r")
    rows, footer = content[-tail : -FOOTER.itemsize], content[-FOOTER.itemsize :].view(FOOTER)[0]
    if footer["seal"] != SEAL or footer["n_clips"] != n_clips or footer["checksum"] != zlib.crc32(rows.tobytes()):
        return None
    clips, itemsize = np.frombuffer(rows.tobytes(), CLIP), int(footer["itemsize"])
    lengths = clips["length"]
    fits = itemsize in DTYPES and lengths.min() >= 1 and lengths.max() <= len(content)
    if not fits or itemsize * lengths.sum() != len(content) - tail:
        return None
    ends = itemsize * lengths.cumsum()
    spans = np.stack([ends - itemsize * lengths, ends], axis=1)
    parts = range(0, n_clips, CLIPS_AT_ONCE)  # a task for each clip would take longer than its checksum
    found = pool.map(lambda first: checksums(content, spans[first : first + CLIPS_AT_ONCE]), parts)
    same = np.array_equal(clips["checksum"], np.concatenate(list(found)))
    return (DTYPES[itemsize], clips) if same else None


def checksums(content: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """CRC-32 of parts (parts, 2) of bytes, from and to, (parts,) int64."""
    return np.array([zlib.crc32(content[start:stop].data) for start, stop in spans.tolist()], np.int64)


class DecodedClip(NamedTuple):
    """The samples of a clip, the rate of its file in Hz and the SHA-256 of its file."""

    samples: np.ndarray
    sample_rate: int
    digest: bytes


class UnusableClip(NamedTuple):
    """What is wrong with a clip, or, under the path of its file, with all clips that are parts of it."""

    name: str
    why: str


def decode_all(
    table: ClipTable, file: Path, decoding: Decoding, pool: ThreadPoolExecutor, threads: int, progress: bool
) -> Clips:
    """Decodes clips into a cache file.

    Raises:
        BadClipsError: Clips are unusable; the message names every one of them.
        OSError: The file does not hold what was written.
    """
    remove_leftovers(file.parent, file.name)
    problems: dict[str, str] = {}
    with (
        show_progress(f"decoding {table.machine}", len(table), show=progress) as bar,
        replacing(file) as temporary,
        open(temporary, "wb+") as target,
    ):
        bank = BankWriter(target)
        work = partial(decode_file, table, table.clip_names, decoding)
        groups = in_order(work, rows_by_file(table), pool, ahead=2 * threads)
        for clip in chain.from_iterable(groups):
            if isinstance(clip, UnusableClip):
                problems[clip.name] = clip.why
            elif not problems:
                bank.add(clip)
            bar.update()
        refuse(table.root, problems)
        bank.finish()
    clips = read_clips(file, len(table), pool)
    if clips is None:
        raise OSError(f"{file}: does not hold what was just written; is the disk damaged?")
    return clips


def rows_by_file(table: ClipTable) -> list[list[int]]:
    """The rows of each file: a long recording is decoded once for all clips that are parts of it."""
    return [list(rows) for _, rows in groupby(range(len(table)), key=lambda row: table.path[row])]


def decode_file(
    table: ClipTable, names: np.ndarray, decoding: Decoding, rows: list[int]
) -> list[DecodedClip | UnusableClip]:
    """The clips of one file."""
    path = table.absolute(rows[0])
    try:
        recording = read_recording(path, decoding)
        digest = content_digest(path)
    except (ValueError, OSError) as error:
        return [UnusableClip(str(table.path[rows[0]]), str(error))]
    found: list[DecodedClip | UnusableClip] = []
    for row in rows:
        try:
            samples = cut(recording, table.start[row], table.stop[row], decoding.sample_rate)
            check_waveform(samples, decoding.min_samples)
            found.append(DecodedClip(samples, recording.sample_rate, digest))
        except ValueError as error:
            found.append(UnusableClip(str(names[row]), str(error)))
    return found


def in_order(work: Callable[[T], R], items: Iterable[T], pool: ThreadPoolExecutor, *, ahead: int) -> Iterator[R]:
    """Results in the order of the items, of which at most `ahead` wait in memory."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class BankWriter:
    """Writes a cache file, clip after clip.

    Args:
        target: Open for reading and writing.
    """

    def __init__(self, target: BinaryIO) -> None:
        self.target = target
        self.clips: list[tuple[int, int, int, np.ndarray]] = []
        self.dtypes: list[np.dtype[Any]] = []

    def add(self, clip: DecodedClip) -> None:
        """Writes one clip as it is."""
        samples = np.ascontiguousarray(clip.samples)
        self.target.write(samples.data)
        digest = np.frombuffer(clip.digest, np.uint8)
        self.clips.append((len(samples), zlib.crc32(samples.data), clip.sample_rate, digest))
        self.dtypes.append(samples.dtype)

    def finish(self) -> None:
        """Writes what is said of the clips; no clip may follow."""
        clips, dtype = np.array(self.clips, CLIP), np.result_type(*self.dtypes)
        if any(each != dtype for each in self.dtypes):
            self.widen(clips)
        rows = clips.tobytes()
        footer = np.array([(len(clips), dtype.itemsize, zlib.crc32(rows), SEAL)], FOOTER)
        self.target.write(rows + footer.tobytes())

    def widen(self, clips: np.ndarray) -> None:
        """Turns the int16 among the samples into float32, in place: from the last clip on, where there is room."""
        lengths, sizes = clips["length"], [dtype.itemsize for dtype in self.dtypes]
        start, wide = int(lengths @ sizes), 4 * int(lengths.sum())
        for row in reversed(range(len(clips))):
            start, wide = start - int(lengths[row]) * sizes[row], wide - 4 * int(lengths[row])
            self.target.seek(start)
            narrow = np.frombuffer(self.target.read(int(lengths[row]) * sizes[row]), self.dtypes[row])
            samples = narrow.astype(np.float32)
            self.target.seek(wide)
            self.target.write(samples.data)
            clips["checksum"][row] = zlib.crc32(samples.data)
        self.target.seek(4 * int(lengths.sum()))
