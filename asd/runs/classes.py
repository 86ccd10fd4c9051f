"""classes.csv: the class of each training clip, where a run tells apart something else than sections."""

import numpy as np
from numpy.typing import NDArray

from asd.data.clips import ClipTable
from asd.runs.folder import RunFolder
from asd.system.files import write_csv
from asd.system.reading import read_csv

COLUMNS = ("clip", "class")


def write_classes(run: RunFolder, table: ClipTable) -> None:
    """Keeps the classes of the training clips."""
    rows = np.flatnonzero(table.is_train)
    classes = np.array(table.classes)[table.class_index[rows]]
    write_csv(run.classes, COLUMNS, zip(table.clip_names[rows], classes, strict=True))


def read_classes(run: RunFolder, table: ClipTable) -> NDArray[np.str_] | None:
    """The class of each clip of a table as a run kept it, (clips,); empty for test clips. None where it keeps none.

    Raises:
        ValueError: A training clip has no class there.
    """
    if not run.classes.is_file():
        return None
    known = {row["clip"]: row["class"] for row in read_csv(run.classes, COLUMNS)}
    names = table.clip_names.tolist()
    found = [known.get(name, "") if train else "" for name, train in zip(names, table.is_train, strict=True)]
    if lost := [name for name, label, train in zip(names, found, table.is_train, strict=True) if train and not label]:
        raise ValueError(
            f"{run.classes}: no class of {lost[0]} and {len(lost) - 1} other training clips; bring back the clips that "
            "the run began with, or give overwrite=true"
        )
    return np.array(found, np.str_)
