"""What every test shares: the place of the real recordings, one thread, no leaking environment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest

from asd.config import CONF
from asd.config.compose import checked
from asd.report.wandb.mirror import has_account
from tests.support.factory import make_machine

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings and published figures; skips where it is absent."""
    folder = Path(os.environ.get("ASD_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared recordings at {folder} (set ASD_SHARED)")
    return folder / "data"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with a tiny data set in data/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    monkeypatch.setenv("ASD_DATA", "data")
    make_machine(tmp_path / "data")
    return tmp_path


@pytest.fixture
def offline_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, no measuring of the machine, no file outside the test's folder."""
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    has_account.cache_clear()
    monkeypatch.setenv("WANDB_X_DISABLE_STATS", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    """Composes the checked configuration of one tiny job, as the script of that name would."""

    def compose(name: str, *overrides: str) -> dict[str, Any]:
        tiny = ["data=folder", "data.root=data", "backbone=small", "batch_size=4", "trainer.max_steps=2"]
        tiny += ["trainer.accelerator=cpu", "progress=false", "machine=fan"]
        if name == "evaluate":
            tiny = ["progress=false", "accelerator=cpu"]
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return checked(hydra.compose(name, [*tiny, *overrides]), name)

    return compose
