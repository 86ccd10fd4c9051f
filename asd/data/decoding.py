"""One recording as samples of one channel at one rate, or what is wrong with it.

Samples are counted in steps of 16 bit: full scale is 32768. Recordings whose samples are whole steps are int16, bit by
bit; all others are float32 of the same unit, which holds 24-bit and float32 recordings exactly.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from asd.data.clips import WHOLE
from asd.system.amounts import duration
from asd_runtime.containers import open_whole
from asd_runtime.waveform import SIXTEEN_BIT, check_audible, check_frames, check_peak, narrowed

FULL_SCALE = 32768
FRAMES_AT_ONCE = 1 << 20  # of a long recording: its other channels are never held as a whole

Channel = int | Literal["error", "mean"]


@dataclass(frozen=True)
class Decoding:
    """How recordings become waveforms.

    Attributes:
        sample_rate: Of the waveforms, in Hz.
        min_samples: Fewest samples of a waveform.
        channel: What is used of a recording with several channels: their "mean", one by its number from 0, or "error".
        resample: Whether recordings of other rates are resampled (soxr, quality VHQ), instead of refused.
        max_samples: Most samples of a recording that is decoded at all; None: any number.
    """

    sample_rate: int
    min_samples: int
    channel: Channel = "error"
    resample: bool = False
    max_samples: int | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What the samples of a usable recording depend on."""
        return self.sample_rate, self.channel, self.resample


@dataclass(frozen=True)
class Recording:
    """A decoded file.

    Attributes:
        samples: (samples,) int16 or float32, in steps of 16 bit.
        sample_rate: Of the file, in Hz.
        n_frames: Samples of the file, at its own rate.
    """

    samples: np.ndarray
    sample_rate: int
    n_frames: int


def read_clip(path: Path, decoding: Decoding, part: tuple[int, int] = WHOLE) -> np.ndarray:
    """Reads one recording, or a part of it, as a waveform.

    Args:
        path: The file.
        decoding: How it becomes a waveform.
        part: The first sample, and that after the last one, at the file's own rate; −1: its end.

    Returns:
        (samples,) int16 where all of them are whole steps of 16 bit, else float32; full scale is 32768 in both.

    Raises:
        ValueError: The file is missing, damaged, truncated, of another format, too short, or silent from end to end.
    """
    try:
        samples = cut(read_recording(path, decoding), *part, decoding.sample_rate)
        check_waveform(samples, decoding.min_samples)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return samples


def from_array(samples: np.ndarray, sample_rate: int, decoding: Decoding) -> np.ndarray:
    """`read_clip` of sound in memory.

    Args:
        samples: (samples,) or (samples, channels) int16, or floats of full scale 1.
        sample_rate: In Hz.
        decoding: What a run asks of its recordings.

    Raises:
        ValueError: Samples of another shape or type, or unusable as a file of them would be.
    """
    block = np.asarray(samples)
    block = block[:, None] if block.ndim == 1 else block
    if block.ndim != 2 or not (block.dtype == np.int16 or np.issubdtype(block.dtype, np.floating)):
        raise ValueError(
            f"samples of shape {np.shape(samples)} and type {block.dtype}: give (samples,) or (samples, channels), "
            "int16 or floats of full scale 1"
        )
    check_format(sample_rate, block.shape[1], decoding)
    scale = 1 if block.dtype == np.int16 else FULL_SCALE
    values = one_channel(block, decoding.channel)
    if values.dtype != np.int16:
        values = values.astype(np.float64)  # float16 ends at twice full scale
        check_peak(values * (scale / FULL_SCALE))
        values = narrowed((values * scale).astype(np.float32))
    if sample_rate != decoding.sample_rate:
        values = resampled(values, sample_rate, decoding.sample_rate)
    check_waveform(values, decoding.min_samples)
    return values


def read_recording(path: Path, decoding: Decoding) -> Recording:
    """Reads a file, of which clips may be parts.

    Raises:
        ValueError: It cannot be used; the message does not name it.
    """
    if path.exists() and not path.is_file():
        raise ValueError("cannot be read as sound (not a regular file)")
    try:
        with open_whole(path) as sound:
            check_format(sound.samplerate, sound.channels, decoding)
            rate, promised = sound.samplerate, sound.frames
            check_frames(promised)
            check_length(promised / rate, decoding)
            samples = read_channel(sound, decoding.channel)
    except (OSError, soundfile.SoundFileError) as error:
        raise ValueError(f"cannot be read as sound ({error})") from None
    n_frames = len(samples)
    if n_frames < promised:
        raise ValueError("truncated; its header promises more sound than the file holds. Copy it again")
    if rate != decoding.sample_rate and n_frames:
        samples = resampled(samples, rate, decoding.sample_rate)
    return Recording(samples, rate, n_frames)


def check_format(sample_rate: int, n_channels: int, decoding: Decoding) -> None:
    """Raises ValueError where a recording has a rate or channels that the decoding does not provide for."""
    if n_channels > 1 and decoding.channel == "error":
        raise ValueError(
            f"{n_channels} channels, and one is used: data.channel=mean takes their mean, data.channel=0 the first"
        )
    if isinstance(decoding.channel, int) and not 0 <= decoding.channel < n_channels:
        raise ValueError(f"has no channel {decoding.channel}: data.channel must be from 0 to {n_channels - 1}")
    if sample_rate != decoding.sample_rate and not decoding.resample:
        raise ValueError(
            f"{sample_rate} Hz, expected {decoding.sample_rate} Hz: data.sample_rate=resample converts it; "
            + lost_by_resampling(sample_rate, decoding.sample_rate)
        )


def check_length(seconds: float, decoding: Decoding) -> None:
    """Raises ValueError where a recording is longer than its caller has memory for."""
    if decoding.max_samples is not None and seconds * decoding.sample_rate > decoding.max_samples:
        longest = decoding.max_samples / decoding.sample_rate
        raise ValueError(
            f"{duration(seconds)} of sound; at most {duration(longest)} are taken as one clip. Cut it into clips as "
            f"long as those of the training: ffmpeg -i FILE -f segment -segment_time 10 clip-%05d.wav"
        )


def lost_by_resampling(sample_rate: int, to: int) -> str:
    """What another rate does to the sound, in words."""
    if to < sample_rate:
        return f"nothing above {to / 2000:g} kHz is left of it"
    return f"it has nothing above {sample_rate / 2000:g} kHz, unlike recordings made at {to} Hz"


def read_channel(sound: soundfile.SoundFile, channel: Channel) -> np.ndarray:
    """The samples of one channel of an open recording, or of their mean.

    Raises:
        ValueError: There are non-finite values, or peaks out of every range.
    """
    dtype, unit = ("int16", FULL_SCALE) if sound.subtype in SIXTEEN_BIT else ("float64", 1)
    blocks, n_read, peak = [], FRAMES_AT_ONCE, 0.0
    while n_read == FRAMES_AT_ONCE:
        block = read_block(sound, dtype)
        n_read = len(block)
        values = one_channel(block, channel)
        if values.dtype != np.int16:
            peak = max(peak, check_peak(values / unit))
            values = (values * (FULL_SCALE / unit)).astype(np.float32)
        blocks.append(values)
    check_audible(peak)
    return narrowed(np.concatenate(blocks))


def read_block(sound: soundfile.SoundFile, dtype: str) -> np.ndarray:
    """The next (frames, channels) of a recording, fewer at its end.

    Raises:
        ValueError: The decoder does not understand what follows.
    """
    try:
        return np.asarray(sound.read(FRAMES_AT_ONCE, dtype=dtype, always_2d=True))
    except soundfile.SoundFileError as error:
        raise ValueError(f"damaged or truncated; cannot be read as sound to its end ({error})") from None


def one_channel(block: np.ndarray, channel: Channel) -> np.ndarray:
    """(frames,) of (frames, channels)."""
    if channel == "mean" and block.shape[1] > 1:
        with np.errstate(invalid="ignore", over="ignore"):  # what comes of them is refused
            return np.asarray(block.mean(axis=1, dtype=np.float64))
    return np.ascontiguousarray(block[:, channel if isinstance(channel, int) else 0])


def resampled(samples: np.ndarray, sample_rate: int, to: int) -> np.ndarray:
    """Samples at another rate, float32: soxr's VHQ, within 0.01 dB up to 0.9 of what the lower one holds."""
    import soxr  # few need it

    return np.asarray(soxr.resample(samples.astype(np.float32), sample_rate, to, quality="VHQ"))


def cut(recording: Recording, start: int, stop: int, sample_rate: int) -> np.ndarray:
    """A part of a recording.

    Args:
        recording: Decoded as a whole.
        start: First sample, at the file's rate.
        stop: The sample after the last one, at the file's rate; −1: the end.
        sample_rate: That the recording was resampled to, in Hz.

    Raises:
        ValueError: The file does not reach there.
    """
    if (start, stop) == WHOLE:
        return recording.samples
    stop = recording.n_frames if stop == WHOLE[1] else stop
    if not 0 <= start < stop <= recording.n_frames:
        raise ValueError(f"asks for samples {start} to {stop} of a file of {recording.n_frames}")
    first, last = (round(at * sample_rate / recording.sample_rate) for at in (start, stop))
    return recording.samples[first:last]


def check_waveform(samples: np.ndarray, min_samples: int) -> None:
    """Raises ValueError where samples are too few or hold no sound."""
    if len(samples) < min_samples or len(samples) == 0:
        raise ValueError(too_short(len(samples), min_samples))
    low, high = samples.min(), samples.max()
    if low == high:
        unit = "" if samples.dtype == np.int16 or not low else f"/{FULL_SCALE} of full scale, as far as float32 tells"
        raise ValueError(f"silent; all of its {len(samples)} samples are {float(low):g}{unit}")


def too_short(n_samples: int, min_samples: int) -> str:
    """What is wrong with a short clip."""
    if n_samples == 0:
        return "holds no sound (0 samples)"
    return f"too short, {n_samples} samples; one piece needs {min_samples}"


def content_digest(path: Path) -> bytes:
    """SHA-256 of a file's bytes: the same wherever it lies and whenever it was written."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
