"""Arrays and tensors in files, read without executing anything: every mistake names its file."""

import pickle
import warnings
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd.system.printable import one_line


def read_arrays(
    path: Path, shapes: Mapping[str, tuple[int, str]], optional: Mapping[str, tuple[int, str]] | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file.

    Args:
        path: The file.
        shapes: Name of each array to its number of dimensions and the kinds of its values, as numpy's letters.
        optional: The same of arrays that may be missing.

    Raises:
        ValueError: It is no such file, or lacks an array of that shape.
    """
    wanted = {**(optional or {}), **shapes}
    found = load_arrays(path, wanted)
    for name, (n_dimensions, kinds) in wanted.items():
        if name not in found and name in shapes:
            raise ValueError(f"{path}: no array {name}")
        if name in found and (found[name].ndim != n_dimensions or found[name].dtype.kind not in kinds):
            raise ValueError(f"{path}: {name} is {found[name].ndim}-dimensional of {found[name].dtype}")
    return found


def load_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, whatever their shapes; those of some names, if given.

    Raises:
        ValueError: It is no such file.
    """
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            return {name: archive[name] for name in archive.files if names is None or name in names}
    except FileNotFoundError:
        raise
    except (
        OSError,
        ValueError,
        EOFError,
        AttributeError,
        TypeError,
        MemoryError,  # a head that promises more than there is
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else one_line(error) or type(error).__name__
        raise ValueError(f"{path}: not a whole .npz file of plain arrays ({reason})") from None


def load_tensors(path: Path) -> Any:
    """What `torch.save` wrote, of tensors and plain values.

    Raises:
        ValueError: It is no such file, or names code.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are none of torch's, which are refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch fails in many ways; all of them mean the file is unusable
        # torch's own words advise to load without its check what it refuses
        is_code = isinstance(error, pickle.UnpicklingError)
        reason = "it is damaged, or names code" if is_code else one_line(error) or type(error).__name__
        raise ValueError(f"{path} cannot be loaded: {reason}") from None
