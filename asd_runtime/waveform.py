"""Sound as 16-bit samples: arrays of any usual type, and recordings, or what is wrong with them."""

import os
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_runtime.framing import FULL_SCALE

UNKNOWN_LENGTH = 0x7FFF0000  # and above: what programs write that write to a pipe and cannot know
MAX_CHUNKS = 1000  # of a WAV file that are looked at before its samples


class TooLongError(ValueError):
    """Sound of more samples than are taken."""


def to_int16(samples: NDArray[np.generic]) -> NDArray[np.int16]:
    """A waveform as 16-bit samples, the numbers that a WAV file of it would hold.

    Args:
        samples: (samples,) int16, or floats in [−1, 1].

    Raises:
        ValueError: Another shape or type, values that are not finite, or floats beyond ±1.
    """
    array = np.asarray(samples)
    if array.ndim != 1:
        raise ValueError(f"samples of shape {array.shape}: give one channel, (samples,)")
    if array.dtype == np.int16:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"samples of type {array.dtype}: give int16, or floats in [-1, 1]")
    if not np.isfinite(array).all():
        raise ValueError("samples that are NaN or infinite")
    if len(array) and np.abs(array).max() > 1:
        raise ValueError(f"floating-point samples reach {np.abs(array).max():g}; full scale is 1. Scale them down")
    rounded = np.rint(array.astype(np.float64) * FULL_SCALE)
    return np.clip(rounded, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def read_recording(path: Path) -> tuple[NDArray[np.int16], int]:
    """The samples of a recording and its rate in Hz.

    Raises:
        ValueError: The file is missing, damaged, truncated or has several channels.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: cannot be read as sound (not a regular file)")
    try:
        return read_sound(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as sound ({error})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_sound(path: Path, *, max_samples: int | None = None) -> tuple[NDArray[np.int16], int]:
    """The samples of a regular file, whatever libsndfile reads, and its rate in Hz; messages do not name the file.

    Args:
        path: Of the file.
        max_samples: More are refused before they are decoded.

    Raises:
        TooLongError: It has more samples.
        ValueError: It is no sound, truncated, or has several channels.
    """
    try:
        missing = missing_bytes(path)
        with soundfile.SoundFile(path) as sound:
            channels, promised, rate = sound.channels, sound.frames, sound.samplerate
            if channels != 1:
                raise ValueError(f"{channels} channels; give 1")
            if max_samples is not None and promised > max_samples:
                raise TooLongError(f"{promised} samples; at most {max_samples} are taken")
            samples = sound.read(dtype="float64" if sound.subtype in ("FLOAT", "DOUBLE") else "int16")
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: the name is that of a format without header
        raise ValueError(f"cannot be read as sound ({getattr(error, 'error_string', error)})") from None
    if missing or len(samples) < promised:
        raise ValueError("truncated; its header promises more sound than the file holds")
    return to_int16(samples), rate


def missing_bytes(path: Path) -> int:
    """Bytes that a WAV file's header promises and the file does not hold; soundfile reads the rest silently."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        for _ in range(MAX_CHUNKS):
            chunk = file.read(8)
            if len(chunk) < 8:
                break
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return 0 if length >= UNKNOWN_LENGTH else max(0, file.tell() + length - size)
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0
