"""Whether a file of sound is whole: the bytes that its header promises against those that are there.

libsndfile reads a truncated file silently as if it ended there, and takes the length 0, which a recorder leaves that
was switched off, for an empty recording. Here the header itself is read: the containers of chunks (RIFF, RIFX, RF64,
W64, AIFF, CAF), AU, NIST SPHERE and Ogg. Of FLAC and MP3 the decoder notices what is missing.
"""

import mmap
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import soundfile

MAX_CHUNKS = 1000  # of a file that are looked at; hostile ones have millions
# Programs that write to a pipe cannot know the length and write one that no file reaches: FFFFFFFF (ffmpeg), 7FFFF000
# (sox), 80000000 (arecord) and values near them, in 64 bits the largest. 0 is what a recorder leaves that was cut off.
UNKNOWN_32 = (range(0x7FFF0000, 0x80010000), range(0xFFFF0000, 0x100000000))
UNKNOWN_64 = (range(2**63 - 2**16, 2**64),)


@dataclass(frozen=True)
class Layout:
    """How a container lays out its chunks.

    Attributes:
        header: Of a chunk, as `struct` reads it: its name and its length.
        first: Bytes before the first chunk.
        align: Chunks start at multiples of this, in bytes.
        counted: Bytes of the header that the length includes.
        sound: The chunks that cannot be done without.
    """

    header: str
    first: int
    align: int = 2
    counted: int = 0
    sound: tuple[bytes, ...] = (b"data",)


LAYOUTS = {
    b"RIFF": Layout("<4sI", 12),
    b"RIFX": Layout(">4sI", 12),
    b"RF64": Layout("<4sI", 12),
    b"BW64": Layout("<4sI", 12),
    b"FORM": Layout(">4sI", 12, sound=(b"SSND", b"BODY")),
    b"caff": Layout(">4sQ", 8, align=1, sound=(b"data", b"pakt")),
    b"riff": Layout("<16sQ", 40, align=8, counted=24, sound=(b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a",)),
}


@dataclass(frozen=True)
class Extent:
    """Where the header says that a stretch of sound lies.

    Attributes:
        start: Its first byte in the file.
        length: Its bytes.
        field: `struct` format of the header's number that says so, "" where it is no single number.
        field_at: Where in the file that number is.
        counted: Bytes that the number includes beyond the sound.
    """

    start: int
    length: int
    field: str = ""
    field_at: int = 0
    counted: int = 0

    @property
    def is_unknown(self) -> bool:
        """Whether the number stands for a length that the writer did not know."""
        if not self.field:
            return False
        unknown = UNKNOWN_64 if struct.calcsize(self.field) == 8 else UNKNOWN_32
        return self.length == 0 or any(self.length + self.counted in values for values in unknown)

    def is_open(self, size: int) -> bool:
        """Whether the sound goes on to the end of a file of `size` bytes, as far as the header tells."""
        passes_end = self.start + self.length > size
        has_number = self.field_at + struct.calcsize(self.field) <= size
        return self.is_unknown and has_number and self.start < size and (passes_end or self.length == 0)

    def missing(self, size: int) -> int:
        """Bytes of the sound that a file of `size` bytes does not hold."""
        return 0 if self.is_unknown else max(0, self.start + self.length - size)


def missing_bytes(path: Path) -> int:
    """Bytes of sound that a file's header promises and the file does not hold, as far as its format tells."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return max((extent.missing(size) for extent in find_sound(file, size)), default=0)


@contextmanager
def open_whole(path: Path) -> Iterator[soundfile.SoundFile]:
    """Opens a recording that holds all the sound that its header promises.

    Where the header was never given the length, the sound goes on to the end of the file.

    Raises:
        ValueError: The file is truncated.
        OSError: It cannot be opened.
        soundfile.SoundFileError: libsndfile cannot read it.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        extents = list(find_sound(file, size))
        if any(extent.missing(size) for extent in extents):
            raise ValueError("truncated; its header promises more sound than the file holds. Copy it again")
        unknown = [extent for extent in extents if extent.is_open(size)]
        if not unknown:
            with soundfile.SoundFile(path) as sound:
                yield sound
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as content:  # changes stay in memory
            for extent in unknown:
                length = struct.pack(extent.field, size - extent.start + extent.counted)
                content[extent.field_at : extent.field_at + len(length)] = length
            with soundfile.SoundFile(MappedFile(content)) as sound:
                yield sound


class MappedFile:
    """A file in memory as soundfile asks for one: unlike an mmap, it may be sought beyond its end."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a byte, counted from the start, from here or from the end."""
        self.at = offset + (0, self.at, len(self.content))[whence]
        return self.at

    def tell(self) -> int:
        """The next byte that is read."""
        return self.at

    def read(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        found = self.content[self.at : self.at + size]
        self.at += len(found)
        return found


def find_sound(file: BinaryIO, size: int) -> Iterator[Extent]:
    """The stretches of sound that a file's header describes; none where its format does not say."""
    base = after_id3(file)
    file.seek(base)
    magic = file.read(4)
    if magic in LAYOUTS:
        yield from in_chunks(file, LAYOUTS[magic], base, size)
    elif magic in (b".snd", b"dns."):
        field = ">I" if magic == b".snd" else "<I"
        start, length = (read_number(file, field) for _ in range(2))
        yield Extent(base + start, length, field, base + 8)
    elif magic == b"NIST":
        yield from in_sphere(file, base)
    elif magic == b"OggS":
        yield from in_pages(file, base, size)


def after_id3(file: BinaryIO) -> int:
    """Where the sound's own header starts: behind the tags that music programs put first (ID3v2, section 3.1)."""
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


def read_number(file: BinaryIO, field: str) -> int:
    """The next number of a file; 0 where the file ends."""
    content = file.read(struct.calcsize(field))
    return int(struct.unpack(field, content)[0]) if len(content) == struct.calcsize(field) else 0


def in_chunks(file: BinaryIO, layout: Layout, base: int, size: int) -> Iterator[Extent]:
    """The chunks of sound of a container; nothing that follows one of unknown length."""
    long_length = Extent(0, 0)
    for name, start, length in chunks(file, layout, base + layout.first):
        if name == b"ds64":  # RF64 keeps the length that 32 bits cannot hold here (EBU Tech 3306, 3.4)
            file.seek(start + 8)
            long_length = Extent(0, read_number(file, "<Q"), "<Q", start + 8)
        if name not in layout.sound:
            continue
        number = layout.header[0] + layout.header[-1]
        found = Extent(start, length, number, start - struct.calcsize(number), layout.counted)
        if length == 0xFFFFFFFF and long_length.field:
            found = Extent(start, long_length.length, long_length.field, long_length.field_at)
        if found.length == 0 and is_chain(file, layout, start, size):
            continue  # empty: other chunks follow
        yield found
        if found.is_unknown:
            return


def chunks(file: BinaryIO, layout: Layout, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and bytes of the content of each chunk."""
    header, size = struct.Struct(layout.header), file.seek(0, os.SEEK_END)
    file.seek(at)
    for _ in range(MAX_CHUNKS):
        if len(head := file.read(header.size)) < header.size:
            return
        name, length = header.unpack(head)
        start, length = at + header.size, max(0, length - layout.counted)
        yield name, start, length
        at = -(-(start + length) // layout.align) * layout.align
        if at >= size:  # a damaged length leads beyond where a file system lets one seek
            return
        file.seek(at)


def is_chain(file: BinaryIO, layout: Layout, at: int, size: int) -> bool:
    """Whether chunks with readable names follow, up to the end of the file."""
    end = at
    for name, start, length in chunks(file, layout, at):
        if not re.fullmatch(rb"[ -~]{4}", name[:4]):
            return False
        end = start + length
    return at < end and abs(size - end) <= layout.align


def in_sphere(file: BinaryIO, base: int) -> Iterator[Extent]:
    """The samples of a NIST SPHERE file, whose header is text."""
    file.seek(base + 8)
    try:
        n_header = int(file.read(8))
    except ValueError:
        return
    text = file.read(min(n_header, 2**16))
    numbers = [re.search(rb"%s -i (\d+)" % key, text) for key in (b"sample_count", b"sample_n_bytes", b"channel_count")]
    count, n_bytes, n_channels = (int(number[1]) if number else 1 for number in numbers)
    if numbers[0]:
        yield Extent(base + n_header, count * n_bytes * n_channels)


def in_pages(file: BinaryIO, base: int, size: int) -> Iterator[Extent]:
    """The pages of an Ogg file (RFC 3533, section 6), as one stretch; the last must say that it is the last."""
    at, is_last = base, True
    file.seek(at)
    while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
        sizes = file.read(head[26])
        at, is_last = at + 27 + head[26] + sum(sizes), bool(head[5] & 4)
        file.seek(at)
    yield Extent(base, at - base if is_last else size - base + 1)
