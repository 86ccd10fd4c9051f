"""references.npz: the features of a run's training pieces, with which any recording can be scored."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.data.clips import ClipTable
from asd.scoring.scorer import ClipPieces
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

    def of_section(
        self, section: int, class_index: int, name: str, *, without: Collection[int] = ()
    ) -> tuple[ClipPieces, NDArray[np.int64]]:
        """The training pieces of one section, and the rows of `path` that its clips are.

        Args:
            section: Its number.
            class_index: Its place among the classes.
            name: What messages call it.
            without: Rows that are left out.

        Raises:
            ValueError: None is left.
        """
        rows = np.setdiff1d(np.flatnonzero(self.section == section), list(without))
        if not len(rows):
            raise ValueError(
                f"{name}: every training clip is a part of this recording, and none is left to compare it with; score "
                "recordings that were not trained on"
            )
        pieces = np.isin(self.clip, rows)
        clip = np.searchsorted(rows, self.clip[pieces])
        embedding = torch.from_numpy(self.unit[pieces])
        return ClipPieces(name, class_index, embedding, clip, self.is_source[rows]), rows

    def rows_of(self, path: Path) -> tuple[int, ...]:
        """The rows of a recording that is itself a training clip, or of which several are parts; none of a new one."""
        absolute = path.absolute().as_posix()
        return tuple(row for row, known in enumerate(self.path.tolist()) if absolute.endswith(f"/{known}"))

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
