"""Parts of a run that a configuration names by `_target_`, and what those of this package may be set to.

A constraint stands here once: the constructor of a part and the composition of a configuration check the same model.
Code of the user's own is a plain `Component`, whose constructor has the last word.
"""

import math
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le, Len
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from asd.config.messages import TAGS, Says, explain

UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, bytes that are no UTF-8
WORD_PATTERN = r"^[\w+=-][\w.+=-]{0,99}$"

Count = Annotated[int, Ge(1)]
FftLength = Annotated[int, Ge(2), Le(65536)]
Seed = Annotated[int, Ge(0), Le(2**31 - 1)]
Share = Annotated[float, Ge(0.0), Le(1.0)]
Word = Annotated[
    str,
    StringConstraints(pattern=WORD_PATTERN),
    Says("up to 100 letters, digits and _ . + = -, no dot in front"),  # it names a folder
]


def checked_path(value: Any) -> Any:
    """A path as typed, with `~` expanded.

    Raises:
        ValueError: Bytes that are no UTF-8: no file of ours could hold the name.
    """
    if isinstance(value, str) and UNWRITABLE.search(value):
        raise ValueError(f"{ascii(value)[1:-1]}: the path has control characters or invalid UTF-8; rename the folder")
    return os.path.expanduser(value) if isinstance(value, str) else value


UserPath = Annotated[str, Field(min_length=1), BeforeValidator(checked_path), Says("a path")]


class Settings(BaseModel):
    """Settings that are checked as a whole and never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, populate_by_name=True, allow_inf_nan=False, defer_build=True
    )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Checked settings.

        Raises:
            ValueError: Every mistake, in words.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError(explain(error, cls, values)) from None

    def plain(self) -> dict[str, Any]:
        """As plain values that YAML and checkpoints keep: what was given, without defaults that were not."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Component(Settings):
    """An object that is instantiated from its `_target_`, with the other keys as arguments.

    Attributes:
        target: Whole name of a class or function, such as mynet.Net.
    """

    model_config = ConfigDict(extra="allow")

    target: Annotated[str, StringConstraints(min_length=3), Says("the whole name of a class, such as mynet.Net")] = (
        Field(alias="_target_")
    )

    @property
    def arguments(self) -> dict[str, Any]:
        """What its constructor is given, but for what the framework adds."""
        return {key: value for key, value in self.plain().items() if key != "_target_"}


class NamedComponent(Component):
    """A component after which a folder is called.

    Attributes:
        name: Part of the folder's name; not an argument.
    """

    name: Word | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What its constructor is given."""
        return {key: value for key, value in super().arguments.items() if key != "name"}

    @property
    def word(self) -> str:
        """Its name, or its class in lower case."""
        return self.name or self.target.rpartition(".")[2].lower()


class ArcFaceSettings(Component):
    """ArcFace (Report 2.1).

    Attributes:
        margin: m, the angle added between an embedding and the centre of its own class, in radians (Table 3).
        scale: s, which multiplies the cosines (Table 3).
        sub_centers: Centres of a class, of which the nearest counts (Sub-center ArcFace).
        mixed_loss: What a mixed clip learns: both labels by their weights, each with the margin ("both"); its own alone
            ("main"); both, with the margin on its own only ("margin_on_main").
    """

    model_config = ConfigDict(extra="forbid")

    target: Literal["asd.models.arcface.ArcFace"] = Field("asd.models.arcface.ArcFace", alias="_target_")
    margin: Annotated[
        float, Ge(0.0), Le(math.pi / 2), Says("a number from 0 to 1.5708, an angle in radians, not in degrees")
    ]
    scale: Annotated[float, Ge(1e-6), Le(1e6)]
    sub_centers: Count = 1
    mixed_loss: Literal["both", "main", "margin_on_main"] = "both"


class SpectrogramSettings(NamedComponent):
    """How a waveform becomes pieces of its spectrogram (Report 1.2, Table 3).

    Attributes:
        sample_rate: Of the recordings, in Hz.
        n_fft: Length of the Fourier transform and of its Hann window, in samples; even.
        hop_length: From one column to the next, in samples.
        n_frames: Columns of a piece.
        n_bins: Rows of a piece: n_fft / 2 + 1, or half as many with `pair_mean`.
        scale: Magnitude as it is ("linear"), squared ("power") or its logarithm ("log").
        pair_mean: Whether neighbouring rows are averaged, two by two.
        pad: What lies beyond a clip's ends: its mirror image ("reflect") or silence ("zeros").
        standardise: One mean and deviation for each piece ("piece"), for each of its rows ("frequency"), only the mean
            of each row over time ("time_mean", Wilkinghoff, ICASSP 2023), or "none".
    """

    model_config = ConfigDict(extra="forbid")

    target: Literal["asd.features.input.SpectrogramPieces"] = Field(
        "asd.features.input.SpectrogramPieces", alias="_target_"
    )
    sample_rate: Count
    n_fft: FftLength
    hop_length: Count
    n_frames: Count
    n_bins: Count
    pair_mean: bool
    scale: Literal["linear", "power", "log"]
    pad: Literal["reflect", "zeros"]
    standardise: Literal["piece", "frequency", "time_mean", "none"]

    @model_validator(mode="after")
    def check_bins(self) -> Self:
        """The rows must be those that the Fourier transform gives."""
        require_even(self.n_fft)
        merged = 2 if self.pair_mean else 1
        if self.n_bins * merged != self.n_fft // 2 + 1:
            raise ValueError(
                f"input.n_bins={self.n_bins} does not fit input.n_fft={self.n_fft} with input.pair_mean="
                f"{self.pair_mean}: give input.n_fft={2 * (self.n_bins * merged - 1)} or "
                f"input.n_bins={(self.n_fft // 2 + 1) / merged:g}"
            )
        return self

    @property
    def window_length(self) -> int:
        """Samples that the columns of one piece need."""
        return (self.n_frames - 1) * self.hop_length + self.n_fft


MOBILENETV2_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.4)  # that timm has


class LogMelSettings(Settings):
    """How a waveform becomes windows of log-mel energies (the organisers' baselines).

    Attributes:
        name: What the run's folder is called after it.
        sample_rate: Of the recordings, in Hz.
        n_fft: Length of the Fourier transform and of its Hann window, in samples; even.
        hop_length: From one column to the next, in samples.
        n_mels: Mel filters, Slaney's scale and normalisation.
        power: Of the magnitude; 2 gives energies.
        pad: What lies beyond a clip's ends: its mirror image ("reflect") or silence ("zeros").
        n_frames: Columns of a window.
        frame_hop: From one training window of a clip to the next, in columns.
    """

    name: Word = "logmel"
    sample_rate: Count
    n_fft: FftLength
    hop_length: Count
    n_mels: Count
    power: Annotated[float, Ge(1e-3), Le(10.0)]
    pad: Literal["reflect", "zeros"]
    n_frames: Count
    frame_hop: Count

    @model_validator(mode="after")
    def check_n_fft(self) -> Self:
        """A column needs a middle sample."""
        require_even(self.n_fft)
        return self

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that gives a whole window and can be padded."""
        whole_window = (self.n_frames - 1) * self.hop_length
        return max(whole_window, self.n_fft // 2 + 1 if self.pad == "reflect" else 1)


def require_even(n_fft: int) -> None:
    """Raises ValueError where a Fourier transform has no middle sample."""
    if n_fft % 2:
        raise ValueError(f"input.n_fft={n_fft}: must be even, so that a column has a middle sample; give {n_fft + 1}")


class NeighbourSettings(NamedComponent):
    """Cosine distance to the nearest training pieces (Report 1, Table 3).

    Attributes:
        stride: Columns from one piece of a clip to the next.
        n_neighbors: K, the number of nearest references that count (Table 3).
        aggregation: What makes one clip's score of its pieces' scores.
        references: Domains of the training clips searched; `nearest` scores a piece against each domain apart and
            keeps the smaller score.
    """

    model_config = ConfigDict(extra="forbid")

    target: Literal["asd.scoring.cosine.CosineNeighbours"] = Field(
        "asd.scoring.cosine.CosineNeighbours", alias="_target_"
    )
    stride: Count = 16
    n_neighbors: Count
    aggregation: Literal["mean", "max"]
    references: Literal["both", "source", "target", "nearest"]


class SgdSettings(Component):
    """Stochastic gradient descent, torch's own (Report 2.4, Table 3).

    Attributes:
        lr: Learning rate.
        momentum: Share of the last update that is kept.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: L2 penalty of the weights.
    """

    model_config = ConfigDict(extra="allow")

    target: Literal["torch.optim.SGD"] = Field("torch.optim.SGD", alias="_target_")
    lr: Annotated[float, Ge(1e-12), Le(1e3)]
    momentum: Annotated[float, Ge(0.0), Le(1.0)] = 0.0
    nesterov: bool = False
    weight_decay: Annotated[float, Ge(0.0)] = 0.0

    @model_validator(mode="after")
    def check_nesterov(self) -> Self:
        """Nesterov's momentum needs some."""
        if self.nesterov and self.momentum == 0:
            raise ValueError("optimizer.nesterov=True needs optimizer.momentum above 0: give optimizer.nesterov=false")
        return self


class AdamSettings(Component):
    """Adam, torch's own.

    Attributes:
        lr: Learning rate.
        betas: Decay of the mean and of the mean square of the gradients.
        eps: Added to the denominator.
    """

    model_config = ConfigDict(extra="allow")

    target: Literal["torch.optim.Adam"] = Field("torch.optim.Adam", alias="_target_")
    lr: Annotated[float, Ge(0.0), Le(1e3)]
    betas: Annotated[list[Annotated[float, Ge(0.0), Le(0.999999999)]], Len(2, 2)] = [0.9, 0.999]
    eps: Annotated[float, Gt(0.0), Le(1.0)] = 1e-8


OURS = (ArcFaceSettings, SpectrogramSettings, NeighbourSettings, SgdSettings, AdamSettings)
TAGS |= {model.model_fields["target"].default: model for model in OURS}


def _mapping(value: Any) -> Any:
    """A component is a mapping with a _target_."""
    if isinstance(value, Mapping) and "_target_" not in value:
        raise ValueError("a component needs _target_, the whole name of a class, such as mynet.Net")
    return value


def one_of(*models: type[Component], other: type[Component] = Component) -> Any:
    """A component whose settings are checked here if it is one of these, and by its own constructor if it is not."""
    choices: Any = Annotated[other, Tag("other")]
    for model in models:
        choices = choices | Annotated[model, Tag(model.model_fields["target"].default)]
    known = {model.model_fields["target"].default for model in models}

    def tag(value: Any) -> str:
        target = value.get("_target_") if isinstance(value, Mapping) else getattr(value, "target", None)
        return str(target) if target in known else "other"

    return Annotated[choices, Discriminator(tag), BeforeValidator(_mapping)]
