"""A stream of windows as scores, states and events."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from asd_runtime.detector import Detector
from asd_runtime.framing import FULL_SCALE, Samples
from asd_runtime.model_file import Domain, Section
from asd_runtime.verdict import Threshold
from asd_runtime.windows import Gap, Window

State = Literal["normal", "alarm", "silent"]
CLIPPED_SHARE = 1e-3  # of samples at full scale: the recording is distorted


@dataclass(frozen=True)
class Alarm:
    """When an alarm begins and ends.

    Attributes:
        on: It begins once every score lay above this for `min_seconds`.
        off: It ends once every score lay at or below this for `min_seconds`; not above `on`.
        min_seconds: Length of either.
    """

    on: float
    off: float
    min_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.off <= self.on:
            raise ValueError(f"an alarm above {self.on:g} that ends below {self.off:g}: the end must not be higher")
        if self.min_seconds < 0:
            raise ValueError(f"min_seconds={self.min_seconds:g}: must not be negative")


@dataclass(frozen=True, eq=False)
class Heard:
    """What is known of one window.

    Attributes:
        seconds: Where it starts in the stream.
        level: Root mean square in dB below full scale; −inf for digital silence.
        score: NaN where it is silent.
        state: After it.
        is_clipped: Whether more than a thousandth of its samples are at full scale.
        samples: (samples,) in steps of 16 bit.
    """

    seconds: float
    level: float
    score: float
    state: State
    is_clipped: bool
    samples: Samples


@dataclass(frozen=True)
class Event:
    """Something to report.

    Attributes:
        event: alarm-begins, alarm-ends, silence-begins, silence-ends, clipping-begins, clipping-ends or gap.
        seconds: Where in the stream, from its beginning.
        score: Of the window; None where there is none.
        peak: Highest score of the alarm that ends.
        reason: Of a gap.
    """

    event: str
    seconds: float
    score: float | None = None
    peak: float | None = None
    reason: str | None = None

    def plain(self) -> dict[str, Any]:
        """For JSON, without what is absent."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class Listener:
    """Scores windows and keeps the state of the alarm.

    Args:
        detector: That scores.
        section: Whose normal sound is compared with.
        alarm: When an alarm begins and ends.
        domain: Whose training clips count.
    """

    def __init__(self, detector: Detector, section: Section, alarm: Alarm, domain: Domain = "both") -> None:
        self.detector = detector
        self.section = section
        self.alarm = alarm
        self.domain = domain
        self.is_alarm = self.is_silent = self.is_clipped = False
        self.since: float | None = None  # the scores have asked for the other state from here on
        self.peak = -math.inf

    def listen(self, stream: Iterable[Window | Gap]) -> Iterator[Heard | Event]:
        """What is heard, window by window, each followed by its events."""
        for part in stream:
            if isinstance(part, Gap):
                self.since = None  # what was before a gap proves nothing about what is after
                yield Event("gap", part.start / self.detector.sample_rate, reason=part.reason)
            else:
                yield from self.hear(part)

    def hear(self, window: Window) -> Iterator[Heard | Event]:
        """One window and its events."""
        rate = self.detector.sample_rate
        seconds, samples = window.start / rate, window.samples
        is_silent = bool(samples.min() == samples.max())
        score = math.nan if is_silent else self.score(samples)
        is_clipped = float((np.abs(samples.astype(np.float32)) >= FULL_SCALE - 1).mean()) > CLIPPED_SHARE
        events = [] if is_silent else list(self.update(score, seconds))
        level = 20 * math.log10(max(float(np.sqrt(np.square(samples / FULL_SCALE).mean())), 1e-12))
        state: State = "silent" if is_silent else "alarm" if self.is_alarm else "normal"
        yield Heard(seconds, level, score, state, is_clipped, samples)
        yield from events
        if is_silent != self.is_silent:
            yield Event(f"silence-{'begins' if is_silent else 'ends'}", seconds)
        if is_clipped != self.is_clipped:
            yield Event(f"clipping-{'begins' if is_clipped else 'ends'}", seconds)
        self.is_silent, self.is_clipped = is_silent, is_clipped

    def score(self, samples: Samples) -> float:
        """The score that the same samples get as a recording."""
        return self.detector.judge(samples, self.section, Threshold(self.alarm.on, "alarm"), self.domain).score

    def update(self, score: float, seconds: float) -> Iterator[Event]:
        """Begins or ends the alarm, with hysteresis and minimum duration."""
        self.peak = max(self.peak, score) if self.is_alarm else score
        wants_change = score <= self.alarm.off if self.is_alarm else score > self.alarm.on
        if not wants_change:
            self.since = None
            return
        self.since = seconds if self.since is None else self.since
        if seconds - self.since < self.alarm.min_seconds:
            return
        self.is_alarm, self.since = not self.is_alarm, None
        peak = None if self.is_alarm else self.peak
        yield Event("alarm-begins" if self.is_alarm else "alarm-ends", seconds, score=score, peak=peak)
