"""Temporal pooling of log-mel energies and a distribution of them (Guan et al., ICASSP 2023)."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field

from asd.config.components import Count, FftLength, Settings, Share
from asd.methods.clip_vector import ClipVectorConfig, ClipVectorMethod, Vector


class PooledInput(Settings):
    """The log-mel energies of a clip.

    Attributes:
        sample_rate: Of the recordings, in Hz.
        n_fft: Length of the Fourier transform and of its Hann window, in samples; even.
        hop_length: From one column to the next, in samples.
        n_mels: Mel filters, Slaney's scale and normalisation.
        pad: What lies beyond a clip's ends: its mirror image ("reflect") or silence ("zeros").
    """

    sample_rate: Count
    n_fft: FftLength
    hop_length: Count
    n_mels: Count
    pad: Literal["reflect", "zeros"]


class TemporalPoolingConfig(ClipVectorConfig):
    """Keys of conf/method/temporal_pooling.yaml."""

    r: Share = Field(description="weight of each rank, as a share of the one before; 1: mean over time, 0: maximum")
    deviation: bool = Field(False, description="whether the deviation over time of each band is a feature too")
    input: PooledInput

    @property
    def system(self) -> str:
        """Features and scorer."""
        return f"pooling{self.r:g}{'+deviation' if self.deviation else ''}-{self.scorer.word}"


class TemporalPoolingMethod(ClipVectorMethod[TemporalPoolingConfig]):
    """The energies of each mel band, pooled over time by their rank."""

    Config = TemporalPoolingConfig

    @property
    def sample_rate(self) -> int:
        """Of the input."""
        return self.config.input.sample_rate

    @property
    def min_samples(self) -> int:
        """A clip that can be mirrored at its ends."""
        return self.config.input.n_fft // 2 + 1

    def vector(self) -> Vector:
        """The pooled log-mel energies, in dB."""
        from asd.features.temporal_pooling import pooled_log_mel

        return partial(pooled_log_mel, r=self.config.r, deviation=self.config.deviation, **self.config.input.plain())
