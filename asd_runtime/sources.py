"""Where a stream of sound comes from: a pipe of raw PCM, a folder of recordings that grows, a microphone."""

import importlib
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from asd_runtime.waveform import read_recording, to_steps
from asd_runtime.windows import Block, Gap

BLOCK_SECONDS = 0.5
QUEUE_BLOCKS = 120  # a minute of sound that waits to be scored; what comes after is lost, and said
SETTLED_SECONDS = 5.0  # ffmpeg writes in blocks of 32 kB: at 8 kHz one in two seconds
GONE = -1
RETRY_SECONDS = 2.0
DRIFT = 0.02  # share by which a device's rate may differ from what it says
DRIFT_AFTER_SECONDS = 60.0


def pipe(stream: BinaryIO, sample_rate: int) -> Iterator[Block | Gap]:
    """Signed 16-bit little-endian mono samples from a pipe, until it ends.

    Raises:
        ValueError: The pipe holds a file with a header instead of raw samples.
    """
    n_bytes = 2 * int(BLOCK_SECONDS * sample_rate)
    rest, is_first = b"", True
    while data := stream.read(n_bytes):
        if is_first and data[:4] in (b"RIFF", b"fLaC", b"OggS"):
            raise ValueError("the pipe holds a sound file, not raw samples: ffmpeg … -f s16le -ac 1 -ar RATE -")
        is_first, data = False, rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield Block(np.frombuffer(data[:whole], "<i2").astype(np.int16))
    if rest:
        yield Gap("the pipe ended in the middle of a sample")


def recordings(
    path: Path, sample_rate: int, *, follow: bool, poll_seconds: float = 1.0, settled_seconds: float = SETTLED_SECONDS
) -> Iterator[Block | Gap]:
    """A recording, or those of a folder in the order of their names; unusable ones are said and passed over.

    Args:
        path: A file or a folder.
        sample_rate: That they must have, in Hz.
        follow: Whether to wait for more files. Each is read once its size has not changed for `settled_seconds`.
        poll_seconds: Between two looks at the folder.
        settled_seconds: After which a file is taken to be whole.

    Raises:
        ValueError: There is no such file or folder.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    done: set[Path] = set()
    sizes: dict[Path, tuple[int, float]] = {}  # and since when
    while True:
        for file in [path] if path.is_file() else sound_files(path):
            if file in done:
                continue
            size = size_of(file)
            known, since = sizes.setdefault(file, (size, time.monotonic()))
            if not follow or size == GONE or (size == known and time.monotonic() - since >= settled_seconds):
                done.add(file)
                yield from recording(file, sample_rate)
            elif size != known:
                sizes[file] = size, time.monotonic()
        if not follow:
            return
        time.sleep(poll_seconds)


def sound_files(folder: Path) -> list[Path]:
    """The WAV files of a folder, which recorders write in capitals too, in the order of their names."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() == ".wav")


def size_of(path: Path) -> int:
    """Bytes of a file; `GONE` where somebody took it away since the folder was read."""
    try:
        return path.stat().st_size
    except OSError:
        return GONE


def recording(path: Path, sample_rate: int) -> Iterator[Block | Gap]:
    """One recording: a stream of its own between gaps."""
    try:
        samples, rate = read_recording(path)
        samples = to_steps(samples)
        if rate != sample_rate:
            raise ValueError(f"{path}: {rate} Hz, expected {sample_rate} Hz. Nothing is resampled here")
    except ValueError as error:
        yield Gap(str(error))
        return
    step = int(BLOCK_SECONDS * sample_rate)
    yield Gap(f"recording {path.name}")
    for first in range(0, len(samples), step):
        yield Block(samples[first : first + step])


def microphone(sample_rate: int, device: str | int | None = None, backend: Any = None) -> Iterator[Block | Gap]:
    """Sound of a microphone, for ever: a device that vanishes is said, and opened again when it is back.

    Args:
        sample_rate: In Hz.
        device: Name or number; None: the default one.
        backend: The module sounddevice.

    Raises:
        ValueError: sounddevice is not installed.
    """
    if backend is None:
        try:
            backend = importlib.import_module("sounddevice")
        except (ImportError, OSError) as error:
            raise ValueError(
                f"a microphone needs sounddevice and PortAudio ({error}): "
                "in the checkout, pip install './runtime[listen]'"
            ) from None
    while True:
        try:
            yield from open_microphone(sample_rate, device, backend)
        except backend.PortAudioError as error:
            yield Gap(f"the microphone is gone: {error}")
            time.sleep(RETRY_SECONDS)


def open_microphone(sample_rate: int, device: str | int | None, backend: Any) -> Iterator[Block | Gap]:
    """Sound of a microphone until it fails."""
    waiting: queue.Queue[Block | Gap] = queue.Queue(QUEUE_BLOCKS)
    lost = 0

    def take(data: np.ndarray, frames: int, _: Any, status: Any) -> None:
        nonlocal lost
        try:
            if status:
                waiting.put_nowait(Gap(f"the device lost sound ({status})"))
            if lost:
                waiting.put_nowait(Gap("scoring was too slow", lost))
                lost = 0
            waiting.put_nowait(Block(data[:, 0].copy()))
        except queue.Full:
            lost += frames

    block = int(BLOCK_SECONDS * sample_rate)
    settings = {"samplerate": sample_rate, "channels": 1, "dtype": "int16", "blocksize": block, "device": device}
    began, received, is_said = time.monotonic(), 0, False
    with backend.InputStream(callback=take, **settings) as stream:
        while True:
            try:
                part = waiting.get(timeout=4 * BLOCK_SECONDS)
            except queue.Empty:
                if not stream.active:
                    raise backend.PortAudioError("the stream has ended") from None
                continue
            yield part
            received += len(part.samples) if isinstance(part, Block) else part.samples
            seconds = time.monotonic() - began
            rate = received / seconds
            if not is_said and seconds > DRIFT_AFTER_SECONDS and abs(rate / sample_rate - 1) > DRIFT:
                is_said = True
                yield Gap(f"the device gives {rate:.0f} samples a second, not {sample_rate}")
