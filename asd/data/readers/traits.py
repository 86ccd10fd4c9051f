"""How recordings are made: rates, channels, lengths, levels, clipping, duplicates. Measured on samples, to be quick."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asd.data.readers.contract import Reading

N_HEADERS = 1000
N_LEVELS = 64
LEVEL_SECONDS = 10
N_DIGESTS = 1000
END_BYTES = 1 << 16
LONG_SECONDS = 60  # beyond which a fault may be over before its recording is
SAMPLE_RATE = 16_000  # of the inputs


@dataclass
class SoundTraits:
    """What the headers say, and how a sample of the recordings sounds.

    Attributes:
        n_files: Recordings in all.
        n_headers: Of them, those whose header was read.
        n_levels: Those whose level was measured, over their first ten seconds.
        rates: Files of each rate in Hz.
        channels: Files of each number of channels.
        formats: Files of each format and sample type.
        seconds: Length of each, in seconds.
        rms_dbfs: Level of each, in dB below full scale.
        clipped: Files that reach full scale in two samples in a row.
        silent: Files whose samples are all equal.
        unreadable: Files that cannot be read as sound, and why.
        duplicates: Files with the same size, beginning and end as another, and that one.
    """

    n_files: int
    n_headers: int = 0
    n_levels: int = 0
    rates: Counter[int] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    rms_dbfs: list[float] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        return {
            **asdict(self),
            "rates": dict(self.rates),
            "channels": dict(self.channels),
            "formats": dict(self.formats),
        }

    def lines(self) -> list[str]:
        """The traits for a person."""
        lines = [
            f"sound ({part(self.n_headers, self.n_files, 'headers')}, {part(self.n_levels, self.n_files, 'levels')}):",
            f"  rate      {listed(self.rates, ' Hz')}",
            f"  channels  {listed(self.channels)}",
            f"  format    {listed(self.formats)}",
            f"  length    {spread(self.seconds, 's')}",
            f"  level     {spread(self.rms_dbfs, 'dBFS')}",
        ]
        for name, found in (("clipping", self.clipped), ("silent", self.silent)):
            lines += [f"  {name}  {len(found)} of {self.n_levels}, such as {found[0]}"] if found else []
        for name, why in (("unreadable", self.unreadable), ("same sound", self.duplicates)):
            if why:
                path, reason = next(iter(why.items()))
                lines.append(f"  {name}  {len(why)}, such as {path}: {reason}")
        return lines

    def questions(self) -> dict[str, str]:
        """What the recordings' make leaves to decide, by the key that decides it."""
        asked = {}
        if n_more := max(self.channels, default=1) - 1:
            asked["channel"] = (
                f"{n_more + 1} channels: say which, data.channel=0 … {n_more}, or their mean, data.channel=mean"
            )
        if self.seconds and max(self.seconds) > LONG_SECONDS:
            asked["segment"] = (
                f"recordings of up to {max(self.seconds):.0f} s have one score each: data.reader.segment.seconds=10 "
                f"cuts them into clips"
            )
        return asked

    def keys(self) -> list[str]:
        """What to type so that the recordings' make is accepted, as far as it is no question."""
        return ["data.sample_rate=resample"] if set(self.rates) - {SAMPLE_RATE} else []


def part(n_some: int, n_all: int, what: str) -> str:
    """How many of all were looked at."""
    return f"all {what}" if n_some == n_all else f"{what} of {n_some} of {n_all}"


def listed(counts: Counter[Any], unit: str = "") -> str:
    """Values and how many have each, the commonest first."""
    if len(counts) == 1:
        return f"{next(iter(counts))}{unit}"
    return ", ".join(f"{value}{unit} ({count})" for value, count in counts.most_common(5)) or "–"


def spread(values: Sequence[float], unit: str) -> str:
    """Lowest, middle and highest value."""
    if not values:
        return "–"
    low, middle, high = np.quantile(values, (0, 0.5, 1))
    return f"{low:.4g} {unit}" if low == high else f"{low:.4g} to {high:.4g} {unit}, median {middle:.4g} {unit}"


def measure(readings: Sequence[Reading]) -> SoundTraits:
    """Measures the recordings of all machines."""
    sizes = {
        reading.table.root / str(path): int(size)
        for reading in readings
        for path, size in zip(reading.table.path, reading.table.size, strict=True)
    }
    files = sorted(sizes)
    traits = SoundTraits(len(files))
    for file in evenly(files, N_HEADERS):
        read_header(file, traits)
    for file in evenly(files, N_LEVELS):
        measure_level(file, traits)
    find_duplicates({file: sizes[file] for file in evenly(files, N_DIGESTS)}, traits)
    return traits


def evenly(files: list[Path], most: int) -> list[Path]:
    """All files, or as many as `most` spread evenly over them."""
    if len(files) <= most:
        return files
    return [files[int(at)] for at in np.linspace(0, len(files) - 1, most)]


def read_header(file: Path, traits: SoundTraits) -> None:
    """Adds what a header says."""
    try:
        header = soundfile.info(file)
    except (OSError, soundfile.SoundFileError) as error:
        traits.unreadable[str(file)] = str(error)
        return
    traits.n_headers += 1
    traits.rates[header.samplerate] += 1
    traits.channels[header.channels] += 1
    traits.formats[f"{header.format} {header.subtype}"] += 1
    traits.seconds.append(header.duration)


def measure_level(file: Path, traits: SoundTraits) -> None:
    """Adds level, clipping and silence of the beginning of a recording."""
    try:
        with soundfile.SoundFile(file) as sound:
            samples = sound.read(LEVEL_SECONDS * sound.samplerate, dtype="float64", always_2d=True)
    except (OSError, soundfile.SoundFileError):
        return  # the header's reading says so
    if not len(samples) or not np.isfinite(samples).all():
        return
    traits.n_levels += 1
    if np.ptp(samples, axis=0).max() == 0:
        traits.silent.append(str(file))
        return
    traits.rms_dbfs.append(float(10 * np.log10(np.mean(samples**2))))
    at_full_scale = np.abs(samples) >= 1 - 2**-15
    if (at_full_scale[1:] & at_full_scale[:-1]).any():
        traits.clipped.append(str(file))


def find_duplicates(sizes: dict[Path, int], traits: SoundTraits) -> None:
    """Adds files that have size, beginning and end in common with an earlier one."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for file, size in sizes.items():
        by_size[size].append(file)
    first: dict[tuple[int, bytes], Path] = {}
    for size, files in by_size.items():
        for file in files if len(files) > 1 else ():
            try:
                key = size, ends_digest(file, size)
            except OSError:
                continue
            if first.setdefault(key, file) != file:
                traits.duplicates[str(file)] = f"same size, beginning and end as {first[key]}"


def ends_digest(file: Path, size: int) -> bytes:
    """A digest of the first and last bytes of a file."""
    with open(file, "rb") as stream:
        head = stream.read(END_BYTES)
        stream.seek(max(0, size - END_BYTES))
        return hashlib.blake2b(head + stream.read(END_BYTES)).digest()
