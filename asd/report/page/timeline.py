"""The score of each piece over time, drawn under the spectrogram of the clip on the same axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 1000, 100  # of the drawing, in its own units
MAX_POINTS = 100  # of one curve; a baseline has hundreds of windows


@dataclass(frozen=True)
class Timeline:
    """How pieces lie in time, and the scale of the scores.

    Attributes:
        n_frames: Columns of a piece.
        stride: Columns from one piece to the next; the last piece ends with the clip.
        hop_length: Samples of a column.
        sample_rate: In Hz.
        low: The score that is drawn at the lower edge.
        high: The score that is drawn at the upper edge.
    """

    n_frames: int
    stride: int
    hop_length: int
    sample_rate: int
    low: float
    high: float

    def points(self, pieces: Sequence[float], seconds: float | None) -> str:
        """The points of a polyline; without a duration the pieces are taken to be evenly spaced."""
        middles = self.middles(len(pieces), seconds)
        drawn = list(zip(middles, pieces, strict=True))[:: -(-len(pieces) // MAX_POINTS) or 1]
        return " ".join(f"{WIDTH * x:.0f},{self.height(score)}" for x, score in drawn)

    def height(self, score: float) -> int:
        """Where a score is drawn, from the upper edge."""
        share = (score - self.low) / (self.high - self.low)
        return round(HEIGHT * (1 - min(max(share, 0.0), 1.0)))

    def middles(self, n_pieces: int, seconds: float | None) -> list[float]:
        """The middle of each piece as a share of the clip's length."""
        if seconds is not None:
            n_columns = 1 + round(seconds * self.sample_rate) // self.hop_length
            last = n_columns - self.n_frames
            starts = [*range(0, last, self.stride), last]
            if len(starts) == n_pieces:
                return [(start + self.n_frames / 2) / n_columns for start in starts]
        return [(index + 0.5) / n_pieces for index in range(n_pieces)]


def timeline(config: dict[str, Any], scorer: dict[str, Any], pieces: Sequence[float], threshold: float) -> Timeline:
    """The timeline of a run; its scale sets the threshold at a third of the height, so that all its curves compare."""
    sound = config["input"]
    stride = int(scorer.get("stride", sound["n_frames"]))
    low = min([0.0, *pieces])
    high = low + 3 * (threshold - low) if threshold > low else low + 1
    return Timeline(sound["n_frames"], stride, sound["hop_length"], sound["sample_rate"], low, high)
