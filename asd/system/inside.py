"""Names that files hold, such as a manifest's: they may come from elsewhere, and must not lead out of their folder."""

import os
from pathlib import Path


def inside(folder: Path, name: str) -> Path:
    """The file that a name means within a folder. Links that lie in the folder are followed: they are the user's own.

    Raises:
        ValueError: It leads out of the folder, or to what is no regular file.
    """
    path = Path(os.path.abspath(folder / name))
    if not path.is_relative_to(os.path.abspath(folder)):
        raise ValueError(f"{name}: leads out of {folder}")
    if not path.is_file():
        raise ValueError(f"{name}: no such file in {folder}")
    return path
