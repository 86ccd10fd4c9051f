"""Truncated recordings are found in every container, and streamed ones are read to their end."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd.data.decoding import Decoding, read_clip
from asd_runtime.containers import find_sound
from asd_runtime.waveform import read_recording

RATE = 16_000
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.29.100\0"
ID3 = b"ID3\x04\x00\x00\x00\x00\x01\x02" + bytes(130)  # 128 · 1 + 2 bytes of tags

# Format, subtype, byte order.
KINDS = [
    ("WAV", "PCM_16", "FILE"), ("WAV", "PCM_24", "FILE"), ("WAV", "FLOAT", "FILE"), ("WAV", "PCM_16", "BIG"),
    ("WAV", "IMA_ADPCM", "FILE"), ("WAV", "MS_ADPCM", "FILE"), ("WAV", "ULAW", "FILE"), ("WAVEX", "PCM_16", "FILE"),
    ("RF64", "PCM_16", "FILE"), ("RF64", "FLOAT", "FILE"), ("W64", "PCM_16", "FILE"), ("W64", "DOUBLE", "FILE"),
    ("AIFF", "PCM_16", "FILE"), ("AIFF", "PCM_24", "FILE"), ("AIFF", "FLOAT", "FILE"), ("AIFF", "PCM_16", "LITTLE"),
    ("AU", "PCM_16", "FILE"), ("AU", "PCM_16", "LITTLE"), ("CAF", "PCM_16", "FILE"), ("CAF", "ALAC_16", "FILE"),
    ("NIST", "PCM_16", "FILE"), ("NIST", "ULAW", "FILE"), ("SVX", "PCM_16", "FILE"), ("FLAC", "PCM_16", "FILE"),
    ("FLAC", "PCM_24", "FILE"), ("OGG", "VORBIS", "FILE"), ("OGG", "OPUS", "FILE"), ("MP3", "MPEG_LAYER_III", "FILE"),
]  # fmt: skip


def sound(n: int = 32_000) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, n) + 0.3 * np.sin(np.arange(n) / 5)


def written(form: str, subtype: str = "PCM_16", endian: str = "FILE") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(), RATE, format=form, subtype=subtype, endian=endian)
    return buffer.getvalue()


def read(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    return read_clip(path, Decoding(RATE, 10_000))


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_whole_recordings_are_read_and_truncated_ones_refused(tmp_path: Path, kind: tuple[str, str, str]) -> None:
    content = written(*kind)
    assert len(read(tmp_path / "clip.wav", content)) >= 32_000
    assert len(read(tmp_path / "tagged.wav", ID3 + content)) >= 32_000 if kind[0] in ("WAV", "FLAC") else True
    content = content.rstrip(b"\0") if kind[1] == "ALAC_16" else content  # one byte more than the sound has
    for left in (len(content) - 1, len(content) - 5, int(0.7 * len(content)), len(content) // 2):
        with pytest.raises(ValueError, match="truncated"):
            read(tmp_path / "cut.wav", content[:left])


def test_a_truncated_recording_behind_tags(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="truncated"):
        read(tmp_path / "cut.wav", ID3 + written("WAV")[:-1])


def wav(data_length: int, riff_length: int, *, before: bytes = b"", after: bytes = b"", order: str = "<") -> bytes:
    """A WAV file with the lengths given."""
    samples = (sound() * 20_000).astype(f"{order}i2").tobytes()
    form = struct.pack(f"{order}IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    start = (b"RIFX" if order == ">" else b"RIFF") + struct.pack(f"{order}I", riff_length) + b"WAVEfmt " + form
    return start + before + b"data" + struct.pack(f"{order}I", data_length) + samples + after


STREAMED = {
    "ffmpeg": (0xFFFFFFFF, 0xFFFFFFFF),
    "sox": (0x7FFFF000, 0x7FFFF024),
    "sox, other header": (0x7FFFFFFF - 36, 0x7FFFFFFF),
    "arecord": (0x80000000, 0x80000024),
    "GStreamer": (0, 36),
    "switched off": (0, 0),
    "only the outer length": (0, 64_036),
    "only the data's": (64_000, 0),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("before", [b"", LIST], ids=["", "LIST"])
@pytest.mark.parametrize("who", STREAMED)
def test_streamed_recordings_go_on_to_the_end_of_the_file(tmp_path: Path, who: str, before: bytes, order: str) -> None:
    if order == ">":
        before = before[:4] + before[7:3:-1] + before[8:] if before else b""
    whole = read(tmp_path / "whole.wav", wav(64_000, 64_036, order=order))
    streamed = wav(*STREAMED[who], before=before, order=order)
    assert np.array_equal(read(tmp_path / "clip.wav", streamed), whole)
    if STREAMED[who][0] != 64_000:  # killed within a sample
        assert np.array_equal(read(tmp_path / "odd.wav", streamed[:-1]), whole[:-1])
    assert (tmp_path / "clip.wav").read_bytes() == streamed


def field(content: bytes, name: bytes, at: int, value: bytes) -> bytes:
    """A header with another number some bytes after a name."""
    start = content.index(name) + at
    return content[:start] + value + content[start + len(value) :]


OPEN_LENGTHS: dict[str, Callable[[], list[bytes]]] = {
    "RF64": lambda: [
        field(written("RF64"), b"ds64", 8, struct.pack("<QQQ", value, value, value)) for value in (0, 2**64 - 1)
    ],
    "W64": lambda: [
        field(written("W64"), b"data", 16, struct.pack("<Q", value)) for value in (0, 24, 2**64 - 1, 2**63 - 1)
    ],
    "AIFF": lambda: [field(written("AIFF"), b"SSND", 4, struct.pack(">I", value)) for value in (0, 2**32 - 1)],
    "AU": lambda: [field(written("AU"), b".snd", 8, struct.pack(">I", value)) for value in (0, 2**32 - 1)],
    "CAF": lambda: [field(written("CAF"), b"data", 4, struct.pack(">Q", value)) for value in (0, 2**64 - 1)],
}


def without_n_samples(content: bytes) -> bytes:
    """A FLAC file whose STREAMINFO says 0 samples, which means that nobody knew (RFC 9639, section 8.2)."""
    numbers = int.from_bytes(content[18:26], "big") >> 36 << 36
    return content[:18] + numbers.to_bytes(8, "big") + content[26:]


def test_flac_of_unknown_length_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not say how long it is .* write it to a file anew"):
        read(tmp_path / "clip.wav", without_n_samples(written("FLAC")))


@pytest.mark.parametrize("form", OPEN_LENGTHS)
def test_other_containers_of_unknown_length(tmp_path: Path, form: str) -> None:
    whole = read(tmp_path / "whole.wav", written(form))
    for content in OPEN_LENGTHS[form]():
        assert np.array_equal(read(tmp_path / "clip.wav", content), whole)


@pytest.mark.parametrize("after", [LIST, LIST + LIST, b"id3 \x02\x00\x00\x00ab"])
def test_an_empty_recording_is_not_filled_with_what_follows(tmp_path: Path, after: bytes) -> None:
    head = wav(0, 0)[:44]
    with pytest.raises(ValueError, match=r"holds no sound \(0 samples\)"):
        read(tmp_path / "clip.wav", head + after)


def test_sound_is_whole_though_what_follows_it_is_not(tmp_path: Path) -> None:
    content = wav(64_000, 64_036 + len(LIST), after=LIST)
    whole = read(tmp_path / "whole.wav", content)
    assert np.array_equal(read(tmp_path / "clip.wav", content[:-5]), whole)
    assert np.array_equal(read(tmp_path / "clip.wav", content + b"TAG" + bytes(125)), whole)


def test_a_long_recording_that_was_cut_is_not_taken_for_a_stream(tmp_path: Path) -> None:
    for length in (0x7FFE0000, 0x80020000, 0xF0000000):  # whole hours, less than what stands for "unknown"
        with pytest.raises(ValueError, match="truncated"):
            read(tmp_path / "clip.wav", wav(length, length + 36))


@pytest.mark.parametrize(
    "content", [b".snd" + bytes(3), written("W64")[:56] + b"\xff" * 7 + b"\x7e" + written("W64")[64:]]
)
def test_damaged_numbers_are_said_and_raise_nothing_else(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match="clip"):
        read(tmp_path / "clip.wav", content)
    with pytest.raises(ValueError, match="clip"):
        read_recording(tmp_path / "clip.wav")
    with open(tmp_path / "clip.wav", "rb") as file:  # whose file system bounds where one may seek
        list(find_sound(file, len(content)))


def test_headers_that_end_early_or_lead_nowhere() -> None:
    for content in (
        b"", b"RIFF", written("RF64")[:30], b"OggS" + bytes(5), b"NIST_1A\n   x\n", b".snd\x00", b"ID3\x04",
        b"riff" + bytes(60), b"caff\x00\x01\x00\x00chan" + b"\xff" * 8 + b"data", b"fLaC" + bytes(4),
        b"RIFF\x00\x00\x00\x00WAVE" + (b"junk" + bytes(4)) * 100,
    ):  # fmt: skip
        list(find_sound(io.BytesIO(content), len(content)))
    for end in range(0, 200, 7):  # any beginning of any header
        for form in ("WAV", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "OGG"):
            content = written(form, "VORBIS" if form == "OGG" else "PCM_16")[:end] if end % 35 == 0 else b""
            list(find_sound(io.BytesIO(content), len(content)))
