"""scores.csv: every training and test clip of a machine exactly once, with its score."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asd.data.clips import ClipTable
from asd.system.files import write_csv
from asd.system.printable import one_line
from asd.system.reading import read_csv

if TYPE_CHECKING:
    from asd.scoring.metrics import TestClips


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The columns of scores.csv, (clips,) each.

    Attributes:
        clip: Path relative to the data's root; of a part of a file with its samples, as in long.wav[0:160000].
        machine: The machine.
        section: Section numbers.
        domain: source, target, or unknown where it is hidden.
        split: train or test.
        label: normal, anomaly, or unknown.
        score: Higher = more anomalous.
    """

    clip: NDArray[np.str_]
    machine: NDArray[np.str_]
    section: NDArray[np.int64]
    domain: NDArray[np.str_]
    split: NDArray[np.str_]
    label: NDArray[np.str_]
    score: NDArray[np.float64]

    @classmethod
    def of_clips(cls, table: ClipTable, score: NDArray[np.float64]) -> "ScoreTable":
        """The scores of the clips of a table, in its order."""
        machine = np.full(len(table), table.machine)
        return cls(table.clip_names, machine, table.section, table.domain, table.split, table.label, score)

    @property
    def is_train(self) -> NDArray[np.bool_]:
        """Which clips are training clips."""
        return self.split == "train"

    def with_score(self, score: NDArray[np.float64]) -> "ScoreTable":
        """The same clips with other scores."""
        return replace(self, score=score)

    def select(self, mask: NDArray[np.bool_]) -> "ScoreTable":
        """The clips that a mask chooses."""
        return ScoreTable(*(getattr(self, field.name)[mask] for field in fields(self)))

    def test_clips(self) -> "TestClips":
        """The test clips whose label is known."""
        from asd.scoring.metrics import TestClips  # scikit-learn takes long to import

        rows = (self.split == "test") & (self.label != "unknown")
        return TestClips(self.clip[rows], self.section[rows], self.domain[rows], self.label[rows], self.score[rows])


def write_scores(path: Path, table: ScoreTable) -> None:
    """Writes the table; numbers read back as the same bits."""
    columns = [getattr(table, field.name).tolist() for field in fields(ScoreTable)]
    write_csv(path, [field.name for field in fields(ScoreTable)], zip(*columns, strict=True))


def read_scores(path: Path) -> ScoreTable:
    """Reads what `write_scores` wrote.

    Raises:
        ValueError: The file holds anything else.
    """
    names = [field.name for field in fields(ScoreTable)]
    rows = read_csv(path, names)
    columns: dict[str, Any] = {name: np.array([row[name] for row in rows], dtype=np.str_) for name in names}
    try:
        numbers = {"section": columns["section"].astype(np.int64), "score": columns["score"].astype(np.float64)}
    except ValueError as error:
        raise ValueError(f"{path}: a section or a score is no number ({one_line(error)})") from None
    return ScoreTable(**{**columns, **numbers})
