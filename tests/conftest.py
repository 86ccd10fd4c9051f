"""What every test shares: the place of the real recordings, one thread, no leaking environment."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings and published figures; skips where it is absent."""
    folder = Path(os.environ.get("ASD_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared recordings at {folder} (set ASD_SHARED)")
    return folder / "data"
