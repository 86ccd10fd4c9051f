"""Sound in steps of 16 bit, or what is wrong with it: arrays of any usual type, and recordings."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_runtime.containers import open_whole
from asd_runtime.framing import FULL_SCALE, Samples

# Coded in at most 16 bit a sample; what they are decoded to fits int16 exactly.
SIXTEEN_BIT = {"PCM_S8", "PCM_U8", "PCM_16", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "ALAC_16"}
# Peaks that a recording may have, ±240 dB around full scale: beyond, float32 spectra lose it or overflow.
QUIETEST, LOUDEST = 1e-12, 1e12
UNKNOWN_FRAMES = 2**62  # libsndfile's count is above this where FLAC's is 0, and its decoder then fails at the end


class TooLongError(ValueError):
    """Sound of more samples than are taken."""


def to_steps(samples: NDArray[np.generic]) -> Samples:
    """A waveform in steps of 16 bit, as training counts them: nothing is rounded to 16 bit.

    Args:
        samples: (samples,) int16, or floats of full scale 1.

    Returns:
        (samples,) int16 where all of them are whole steps, else float32; full scale is 32768 in both.

    Raises:
        ValueError: Another shape or type, values that are not finite, or a peak out of every range.
    """
    array = np.asarray(samples)
    if array.ndim != 1:
        raise ValueError(f"samples of shape {array.shape}: give one channel, (samples,)")
    if array.dtype == np.int16:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"samples of type {array.dtype}: give int16, or floats of full scale 1")
    values = array.astype(np.float64)
    check_audible(check_peak(values))
    return narrowed((values * FULL_SCALE).astype(np.float32))


def narrowed(samples: NDArray[np.generic]) -> NDArray[np.generic]:
    """Samples as int16 where that changes none of them."""
    if samples.dtype == np.int16 or not -FULL_SCALE <= samples.min(initial=0) <= samples.max(initial=0) < FULL_SCALE:
        return samples
    steps = samples.astype(np.int16)
    return steps if np.array_equal(steps, samples) else samples


def check_peak(values: NDArray[np.generic]) -> float:
    """The largest magnitude of samples, in units of full scale.

    Raises:
        ValueError: It is not finite, or too large for spectra in float32.
    """
    peak = float(np.abs(values).max(initial=0))
    if not np.isfinite(peak):
        raise ValueError("holds non-finite values (NaN or infinite)")
    if peak > LOUDEST:
        raise ValueError(f"its samples reach {peak:g} times full scale: more than {LOUDEST:g} is damage")
    return peak


def check_audible(peak: float) -> None:
    """Raises ValueError where a recording's largest magnitude, in units of full scale, is lost in rounding."""
    if 0 < peak < QUIETEST:
        raise ValueError(f"its samples reach {peak:g} of full scale: less than {QUIETEST:g} is nothing but rounding")


def check_frames(promised: int) -> None:
    """Raises ValueError where the header of a recording does not tell how many samples it has."""
    if promised >= UNKNOWN_FRAMES:
        raise ValueError("its header does not say how long it is (FLAC from a pipe); write it to a file anew")


def read_recording(path: Path) -> tuple[NDArray[Any], int]:
    """The samples of a recording, (samples,) int16 or float32 of full scale 1, and its rate in Hz.

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


def read_sound(path: Path, *, max_samples: int | None = None) -> tuple[NDArray[Any], int]:
    """`read_recording` of a regular file, whatever libsndfile reads; messages do not name the file.

    Args:
        path: Of the file.
        max_samples: More are refused before they are decoded.

    Raises:
        TooLongError: It has more samples.
        ValueError: It is no sound, truncated, or has several channels.
    """
    try:
        with open_whole(path) as sound:
            channels, promised, rate = sound.channels, sound.frames, sound.samplerate
            if channels != 1:
                raise ValueError(f"{channels} channels; give 1")
            check_frames(promised)
            if max_samples is not None and promised > max_samples:
                raise TooLongError(f"{promised} samples; at most {max_samples} are taken")
            samples = sound.read(dtype="int16" if sound.subtype in SIXTEEN_BIT else "float64")
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: the name is that of a format without header
        raise ValueError(f"cannot be read as sound ({getattr(error, 'error_string', error)})") from None
    if len(samples) < promised:
        raise ValueError("truncated; its header promises more sound than the file holds")
    steps = to_steps(samples)
    return steps if steps.dtype == np.int16 else steps / np.float32(FULL_SCALE), rate
