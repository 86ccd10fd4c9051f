"""references.npz: the features of a run's training pieces, with which any recording can be scored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.data.clips import ClipTable
from asd.scoring.scorer import NO_REFERENCE, ClipPieces
from asd.system.arrays import read_arrays
from asd.system.files import replacing


@dataclass(frozen=True, eq=False)
class StoredReferences:
    """The training pieces of all sections of a run.

    Attributes:
        unit: (pieces, dim) unit embeddings, float32.
        clip: (pieces,) row of `path`.
        path: (clips,) of the training clips, relative to the data's root.
        section: (clips,) section numbers.
        is_source: (clips,) whether the clip is of the source domain.
    """

    unit: NDArray[np.float32]
    clip: NDArray[np.int64]
    path: NDArray[np.str_]
    section: NDArray[np.int64]
    is_source: NDArray[np.bool_]

    @classmethod
    def of_clips(cls, table: ClipTable, features: list[Tensor]) -> "StoredReferences":
        """The training clips of a table, with the features of each of its clips."""
        rows = np.flatnonzero(table.is_train)
        return cls(
            unit=torch.cat([features[row] for row in rows]).numpy(),
            clip=np.repeat(np.arange(len(rows)), [len(features[row]) for row in rows]),
            path=table.path[rows],
            section=table.section[rows].astype(np.int64),
            is_source=table.is_source[rows],
        )

    def of_section(self, section: int, class_index: int, name: str) -> tuple[ClipPieces, NDArray[np.int64]]:
        """The training pieces of one section, and the rows of `path` that its clips are."""
        rows = np.flatnonzero(self.section == section)
        pieces = np.isin(self.clip, rows)
        clip = np.searchsorted(rows, self.clip[pieces])
        embedding = torch.from_numpy(self.unit[pieces])
        return ClipPieces(name, class_index, embedding, clip, self.is_source[rows]), rows

    def row_of(self, path: Path) -> int:
        """The row of a recording that is itself a training clip, else NO_REFERENCE."""
        absolute = path.absolute().as_posix()
        rows = [row for row, known in enumerate(self.path) if absolute.endswith(f"/{known}")]
        return rows[0] if rows else NO_REFERENCE

    def write(self, path: Path) -> None:
        """Keeps them."""
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file, unit=self.unit, clip=self.clip, path=self.path, section=self.section, is_source=self.is_source
            )


def read_references(path: Path) -> StoredReferences:
    """Reads what `StoredReferences.write` wrote.

    Raises:
        ValueError: The file is missing or damaged.
    """
    shapes = {"unit": (2, "f"), "clip": (1, "iu"), "path": (1, "U"), "section": (1, "iu"), "is_source": (1, "b")}
    try:
        return StoredReferences(**read_arrays(path, shapes))
    except (OSError, ValueError) as error:
        raise ValueError(f"{error}: run evaluate.py with overwrite=true") from None
