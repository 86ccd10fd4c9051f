"""Long recordings as clips of one length: parts of files, which stay where they are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from asd.data.readers.contract import Clip


@dataclass(frozen=True)
class Segment:
    """The length of clips that recordings are cut into.

    Attributes:
        seconds: Length of a clip; None: recordings stay whole.
        hop: From one start to the next, in seconds; None: as `seconds`. A larger one leaves sound out.

    Raises:
        ValueError: A length that is not above 0, or a hop without a length.
    """

    seconds: float | None = None
    hop: float | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.seconds is None and self.hop is not None:
            raise ValueError(f"data.reader.segment.hop={self.hop}: give data.reader.segment.seconds too")
        for name in ("seconds", "hop"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"data.reader.segment.{name}={value}: give seconds above 0")

    def note(self) -> str:
        """What is done, in a sentence."""
        hop = self.hop or self.seconds
        gap = " (the sound between is not used)" if hop > self.seconds else ""  # type: ignore[operator]
        return f"recordings longer than {self.seconds:g} s are cut into clips of that length every {hop:g} s{gap}"


def cut(clips: Iterable[Clip], root: Path, segment: Segment, excluded: dict[str, str]) -> list[Clip]:
    """Cuts the clips that are longer than a segment.

    Args:
        clips: Files, or parts of them.
        root: What their paths are relative to.
        segment: Their length; clips stay whole where it has none.
        excluded: Takes the files whose length cannot be read, with the reason.
    """
    if segment.seconds is None:
        return list(clips)
    parts: list[Clip] = []
    for clip in clips:
        try:
            header = soundfile.info(root / clip.file.path)
        except (OSError, soundfile.SoundFileError) as error:
            excluded[clip.file.path] = f"cannot be read as sound ({error})"
            continue
        parts += _parts(clip, header.frames, header.samplerate, segment)
    return parts


def _parts(clip: Clip, n_frames: int, rate: int, segment: Segment) -> Iterator[Clip]:
    """The parts of one clip; the last one ends with it, so that no sound is lost and all are of one length."""
    stop = n_frames if clip.stop < 0 else clip.stop
    length = round((segment.seconds or 0) * rate)
    hop = max(1, round((segment.hop or segment.seconds or 0) * rate))
    last = stop - length
    if last <= clip.start or length < 1:
        yield clip
        return
    starts = list(range(clip.start, last + 1, hop))
    if starts[-1] + length < stop and hop <= length:
        starts.append(last)
    for start in starts:
        yield clip._replace(start=start, stop=start + length)
