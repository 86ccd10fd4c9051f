"""The score of each piece over time, drawn under the spectrogram of the clip on the same axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from asd.runs.recorded import RecordedInput

WIDTH, HEIGHT = 1000, 100  # of the drawing, in its own units
MAX_POINTS = 100  # of one curve; a baseline has hundreds of windows


@dataclass(frozen=True)
class Columns:
    """The columns of a spectrogram that pieces were cut from.

    Attributes:
        n_frames: Columns of a piece.
        stride: Columns from one piece to the next; the last piece ends with the clip.
        hop_length: Samples of a column.
        sample_rate: In Hz.
    """

    n_frames: int
    stride: int
    hop_length: int
    sample_rate: int

    def middles(self, seconds: float) -> list[float]:
        """The middle of each piece of a clip as a share of the clip's length."""
        n_columns = 1 + round(seconds * self.sample_rate) // self.hop_length
        last = n_columns - self.n_frames
        return [(start + self.n_frames / 2) / n_columns for start in (*range(0, last, self.stride), last)]


@dataclass(frozen=True)
class Timeline:
    """How pieces lie in time, and the scale of the scores.

    Attributes:
        columns: What pieces were cut from; None: they are taken to be evenly spaced.
        low: The score that is drawn at the lower edge.
        high: The score that is drawn at the upper edge.
    """

    columns: Columns | None
    low: float
    high: float

    def points(self, pieces: Sequence[float], seconds: float | None) -> str:
        """The points of a polyline; without a duration the pieces are taken to be evenly spaced."""
        if len(pieces) == 1:
            return f"0,{self.height(pieces[0])} {WIDTH},{self.height(pieces[0])}"
        middles = self.middles(len(pieces), seconds)
        drawn = list(zip(middles, pieces, strict=True))[:: -(-len(pieces) // MAX_POINTS) or 1]
        return " ".join(f"{WIDTH * x:.0f},{self.height(score)}" for x, score in drawn)

    def height(self, score: float) -> int:
        """Where a score is drawn, from the upper edge."""
        share = (score - self.low) / (self.high - self.low)
        return round(HEIGHT * (1 - min(max(share, 0.0), 1.0)))

    def middles(self, n_pieces: int, seconds: float | None) -> list[float]:
        """The middle of each piece as a share of the clip's length."""
        cut = self.columns.middles(seconds) if self.columns and seconds is not None else []
        if len(cut) == n_pieces:
            return cut
        return [(index + 0.5) / n_pieces for index in range(n_pieces)]


def timeline(heard: RecordedInput, stride: int | None, pieces: Sequence[float], threshold: float) -> Timeline:
    """The timeline of a run; its scale sets the threshold at a third of the height, so that all its curves compare."""
    low = min([0.0, *pieces])
    high = low + 3 * (threshold - low) if threshold > low else low + 1
    known = (heard.n_frames, stride, heard.hop_length, heard.sample_rate)
    columns = None if None in known else Columns(*known)  # type: ignore[arg-type]
    return Timeline(columns, low, high)
