"""Sound and spectrograms beside the page, as many as a budget of megabytes allows."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from asd.data.clips import file_of
from asd.data.decoding import FULL_SCALE, Decoding, read_clip
from asd.report.page.names import clip_slug
from asd.system.files import saying_what_is_free
from asd.system.progress import track

MEGABYTE = 1_000_000
N_FFT, HOP = 1024, 512  # of the pictures; the network's own are finer
ROWS = 256
RANGE_DB = 70  # from the loudest to what is drawn black
N_COLOURS = 128


@dataclass(frozen=True)
class Media:
    """A clip to hear and to see.

    Attributes:
        audio: Path relative to the page.
        image: The spectrogram, likewise.
        seconds: Length of the clip.
        khz: Highest frequency of the spectrogram.
    """

    audio: str
    image: str
    seconds: float
    khz: float


@dataclass
class MediaStore:
    """The media of one machine.

    Attributes:
        root: Of the data.
        budget: Bytes that sound and pictures may take.
        sample_rate: Of the recordings, in Hz.
        used: Bytes that they take.
        n_excluded: How many clips were beyond the budget.
    """

    root: Path
    budget: float
    sample_rate: int
    used: int = 0
    n_excluded: int = 0

    def fill(self, folder: Path, clips: list[str]) -> dict[str, Media]:
        """Writes clips, the most wanted first, until the budget is used up.

        Args:
            folder: Of the page.
            clips: Paths relative to `root`.

        Returns:
            What there is, by the clip's path.
        """
        (folder / "media").mkdir(exist_ok=True)
        kept: dict[str, Media] = {}
        level = loudest([self.read(clip) for clip in clips[:8]])
        for clip in track(clips, "copying recordings"):
            media = self.write(folder, clip, level)
            if media is None:
                break
            kept[clip] = media
        self.n_excluded = len(clips) - len(kept)
        return kept

    def write(self, folder: Path, clip: str, level: float) -> Media | None:
        """The sound (up to 24 bit) and the picture of a clip; None, and no file, where they exceed the budget."""
        samples = self.read(clip)
        name, seconds = f"media/{clip_slug(clip)}", len(samples) / self.sample_rate
        media = Media(f"{name}.flac", f"{name}.png", seconds, self.sample_rate / 2000)
        sound, image = io.BytesIO(), io.BytesIO()  # in memory: libsndfile does not say that a disk is full
        if samples.dtype == np.int16:
            soundfile.write(sound, samples, self.sample_rate, format="FLAC")
        else:
            soundfile.write(sound, samples / FULL_SCALE, self.sample_rate, format="FLAC", subtype="PCM_24")
        picture(samples, level).save(image, "PNG")
        contents = {folder / media.audio: sound.getvalue(), folder / media.image: image.getvalue()}
        size = sum(map(len, contents.values()))
        if self.used + size > self.budget:
            return None
        for path, content in contents.items():
            with saying_what_is_free(path):
                path.write_bytes(content)
        self.used += size
        return media

    def read(self, clip: str) -> NDArray[Any]:
        """The samples of a clip, int16 or float32 in steps of 16 bit."""
        path, *part = file_of(clip)
        decoding = Decoding(self.sample_rate, min_samples=N_FFT, channel="mean", resample=True)
        return read_clip(self.root / path, decoding, (part[0], part[1]))


def decibels(samples: NDArray[Any]) -> NDArray[np.float64]:
    """The spectrogram of a clip, (rows, columns) in dB of full scale, low frequencies first."""
    padded = np.pad(samples / FULL_SCALE, N_FFT // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(N_FFT), axis=1)[:, :-1]) ** 2
    merged = power.reshape(len(power), ROWS, -1).mean(axis=2)
    return 10 * np.log10(merged.T + 1e-10)


def loudest(clips: list[NDArray[Any]]) -> float:
    """A level that little lies above, in dB."""
    return float(np.percentile(np.concatenate([decibels(clip).ravel() for clip in clips]), 99.8)) if clips else 0.0


def picture(samples: NDArray[Any], loudest: float) -> Image.Image:
    """The spectrogram as an image, high frequencies on top, in few colours: small files."""
    level = np.clip((decibels(samples)[::-1] - loudest) / RANGE_DB + 1, 0, 1)
    image = Image.fromarray(np.rint(level * (N_COLOURS - 1)).astype(np.uint8))
    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, N_COLOURS))[:, :3]
    image.putpalette(np.rint(colours * 255).astype(np.uint8).tobytes())
    return image
