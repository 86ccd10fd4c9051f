"""The configuration of a run on disk, read as data: no code that it names is looked up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from asd.runs.folder import RunFolder


class Recorded(BaseModel):
    """Plain values, of which the ones that others ask for are named; the rest is kept as it is."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)


class RecordedPart(Recorded):
    """A part of a run: its network, input or method.

    Attributes:
        target: Whole name of its class; empty where it has none.
        name: What the run's folder is called after it, where that is not the name of the class.
    """

    target: str = Field(default="", alias="_target_")
    name: str = ""

    @property
    def word(self) -> str:
        """What it is called in a run's address; empty where the run has no such part."""
        return self.name or self.target.rpartition(".")[2].lower()


class RecordedInput(RecordedPart):
    """How a waveform became pieces.

    Attributes:
        sample_rate: In Hz.
        hop_length: Samples from one column of a spectrogram to the next; None where pieces have no columns.
        n_frames: Columns of a piece.
        n_mels: Filters of a log-mel spectrogram.
    """

    sample_rate: int | None = None
    hop_length: int | None = None
    n_frames: int | None = None
    n_mels: int | None = None


class RecordedData(Recorded):
    """Where the recordings were.

    Attributes:
        name: The reader's.
        root: Their folder, or their table.
        table: Their table, where there is one.
        edition: Of the challenge; None where the run is older than the choice.
        fingerprint: Hash of their content.
    """

    name: str = ""
    root: str
    table: str | None = None
    edition: str | None = None
    fingerprint: str | None = None

    @property
    def folder(self) -> Path:
        """What the paths of clips start from: the root, or the folder of the table."""
        return Path(self.root).parent if self.table else Path(self.root)


class RecordedTrainer(Recorded):
    """How long a training was to be.

    Attributes:
        max_steps: Of the optimizer; 0 where nothing is trained, −1 where epochs are counted.
    """

    max_steps: int = -1


class RecordedMixup(Recorded):
    """How clips were mixed.

    Attributes:
        probability: Share of the clips that were.
    """

    probability: float = 0.0


class RecordedConfig(Recorded):
    """What a run's config.yaml says.

    Attributes:
        name: Of the grid.
        seed: Of the run.
        phase: train or finetune.
        method: How it became a detector.
        data: Its recordings.
        trainer: Its length.
        backbone: Its network.
        input: What its network hears.
        mixup: Its augmentation.
        sample_rate: Of a method without an input, in Hz.
        logger: Its loggers by name.
    """

    name: str
    seed: int
    phase: str
    method: RecordedPart
    data: RecordedData
    trainer: RecordedTrainer = RecordedTrainer()
    backbone: RecordedPart = Field(default_factory=RecordedPart)
    input: RecordedInput = Field(default_factory=RecordedInput)
    mixup: RecordedMixup | None = None
    sample_rate: int | None = None
    logger: dict[str, dict[str, Any] | None] = {}

    _values: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def read(cls, run: RunFolder) -> Self:
        """The configuration of a run, in today's form.

        Raises:
            ValueError: The file is damaged, or of another shape.
        """
        return cls.of(run.read_config(), str(run.config))

    @classmethod
    def of(cls, values: Mapping[str, Any], source: str = "the configuration") -> Self:
        """The configuration that plain values of today's form hold; `source` is what messages call them."""
        try:
            found = cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise ValueError(f"{source}: {key}: {first['msg']}") from None
        found._values.update(values)
        return found

    @property
    def values(self) -> dict[str, Any]:
        """All of it as plain values."""
        return self._values

    @property
    def rate(self) -> int | None:
        """What its recordings are heard at, in Hz."""
        return self.input.sample_rate or self.sample_rate
