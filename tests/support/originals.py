"""Working directories that take long to make: made once a session, copied for every test that begins with one."""

import shutil
from collections.abc import Callable
from pathlib import Path


class Originals:
    """Keeps a copy of each, which no test works in.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lay_out(self, name: str, make: Callable[[], object]) -> None:
        """Fills the working directory.

        Args:
            name: Of what is made.
            make: Makes it here, where none of that name is kept yet.
        """
        kept = self.folder / name
        if kept.exists():
            shutil.copytree(kept, ".", dirs_exist_ok=True)
            return
        make()
        shutil.copytree(".", kept)
