"""Arrays in .npz files, read without executing anything: every mistake names its file."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd.system.printable import one_line


def read_arrays(path: Path, shapes: Mapping[str, tuple[int, str]]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file.

    Args:
        path: The file.
        shapes: Name of each array to its number of dimensions and the kinds of its values, as numpy's letters.

    Raises:
        ValueError: It is no such file, or lacks an array of that shape.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {name: archive[name] for name in shapes if name in archive.files}
    except FileNotFoundError:
        raise
    except (
        OSError,
        ValueError,
        EOFError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else one_line(error) or type(error).__name__
        raise ValueError(f"{path}: not a whole .npz file of plain arrays ({reason})") from None
    for name, (n_dimensions, kinds) in shapes.items():
        if name not in found:
            raise ValueError(f"{path}: no array {name}")
        if found[name].ndim != n_dimensions or found[name].dtype.kind not in kinds:
            raise ValueError(f"{path}: {name} is {found[name].ndim}-dimensional of {found[name].dtype}")
    return found
