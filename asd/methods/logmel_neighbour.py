"""Nearest neighbour on the mean log-mel spectrum of a clip: what loudness and colour alone tell."""

from __future__ import annotations

from functools import partial

from pydantic import Field

from asd.config.components import Count
from asd.methods.clip_vector import ClipVectorConfig, ClipVectorMethod, Vector


class LogmelNeighbourConfig(ClipVectorConfig):
    """Keys of conf/method/logmel_neighbour.yaml."""

    sample_rate: Count = Field(description="of the recordings, in Hz")

    @property
    def system(self) -> str:
        """Features and scorer."""
        return f"logmel-{self.scorer.word}"


class LogmelNeighbourMethod(ClipVectorMethod[LogmelNeighbourConfig]):
    """The system of `logmel_neighbour=true` in evaluate.py, as a run."""

    Config = LogmelNeighbourConfig

    @property
    def sample_rate(self) -> int:
        """As configured."""
        return self.config.sample_rate

    @property
    def min_samples(self) -> int:
        """Any sound will do."""
        return 1

    def vector(self) -> Vector:
        """The mean over time of the log-mel energies, in dB."""
        from asd.scoring.logmel import mean_log_mel

        return partial(mean_log_mel, sample_rate=self.config.sample_rate)
