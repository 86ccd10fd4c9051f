"""What every test shares: the place of the real recordings, runs to begin with, no leaking environment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd.evaluation import evaluate
from asd.experiment import train
from asd.report.wandb.runs import has_account
from asd.runs.folder import RunFolder
from tests.support.factory import make_machine
from tests.support.jobs import tiny
from tests.support.originals import Originals


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
def job() -> Callable[..., Any]:
    """Composes the checked configuration of one tiny job, as the script of that name would."""
    return tiny


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Originals:
    """What tests begin with and the session makes once."""
    return Originals(tmp_path_factory.mktemp("originals"))


@pytest.fixture
def trained(workplace: Path, originals: Originals) -> RunFolder:
    """A finished tiny run: phase 1 of fan."""
    originals.lay_out("trained", lambda: train(tiny("train")))
    return RunFolder(Path("outputs/main/fan/small-512x32-s0/train"))


@pytest.fixture
def evaluated(trained: RunFolder, originals: Originals) -> RunFolder:
    """A finished tiny run with its scores and results."""
    originals.lay_out("evaluated", lambda: evaluate(tiny("evaluate")))
    return trained
