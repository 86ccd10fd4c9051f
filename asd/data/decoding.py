"""One recording as samples, or what is wrong with it. soundfile alone reads truncated files without a word."""

import os
from pathlib import Path

import numpy as np
import soundfile

FULL_SCALE = 32768


def read_waveform(path: Path, *, sample_rate: int, min_samples: int) -> np.ndarray:
    """Reads one recording: mono, of the right rate, whole. PCM 16 stays as it is, bit by bit.

    Args:
        path: A WAV file.
        sample_rate: That it must have, in Hz.
        min_samples: That it must have.

    Returns:
        (samples,) int16.

    Raises:
        ValueError: The file is missing, damaged, of another format, or silent from end to end.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: cannot be read as sound (not a regular file)")
    try:
        missing = missing_bytes(path)
        with soundfile.SoundFile(path) as sound:
            check_format(path, sound, sample_rate)
            promised = sound.frames
            samples = read_int16(path, sound)
    except (OSError, soundfile.SoundFileError) as error:
        raise ValueError(f"{path}: cannot be read as sound ({error})") from None
    if missing or len(samples) < promised:
        raise ValueError(f"{path}: truncated; its header promises more sound than the file holds. Copy it again")
    if len(samples) < min_samples:
        raise ValueError(f"{path}: {too_short(len(samples), min_samples)}")
    if samples.min() == samples.max():
        raise ValueError(f"{path}: silent; all of its {len(samples)} samples are {samples[0]}")
    return samples


def too_short(n_samples: int, min_samples: int) -> str:
    """What is wrong with a short clip."""
    if n_samples == 0:
        return "holds no sound (0 samples)"
    return f"too short, {n_samples} samples; one piece needs {min_samples}"


def missing_bytes(path: Path) -> int:
    """Bytes that a WAV file's header promises and the file does not hold; soundfile reads the rest without a word."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return max(0, file.tell() + length - size)
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def check_format(path: Path, sound: soundfile.SoundFile, sample_rate: int) -> None:
    """Raises ValueError where a recording has several channels or another sampling rate."""
    if sound.channels != 1:
        raise ValueError(f"{path}: {sound.channels} channels; recordings have 1. Extract one channel")
    if sound.samplerate != sample_rate:
        raise ValueError(f"{path}: {sound.samplerate} Hz, expected {sample_rate} Hz. Nothing is resampled here")


def read_int16(path: Path, sound: soundfile.SoundFile) -> np.ndarray:
    """The samples of an open recording as int16.

    Raises:
        ValueError: Floating-point samples that are not finite or beyond ±1.
    """
    if sound.subtype not in ("FLOAT", "DOUBLE"):
        return sound.read(dtype="int16")
    values = sound.read(dtype="float64")
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: holds values that are no numbers (NaN or infinite)")
    if len(values) and np.abs(values).max() > 1:
        raise ValueError(
            f"{path}: floating-point samples reach {np.abs(values).max():g}; full scale is 1. Scale it down"
        )
    return np.clip(np.rint(values * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
