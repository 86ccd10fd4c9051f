"""What every test shares: the place of the real recordings, runs to begin with, no leaking environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # the process that hands out the tests loads this file and needs no torch
    from asd.runs.folder import RunFolder
    from tests.support.originals import Originals


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is flushed is looked at, whether it is on the disk is not: tests of power loss keep their own books."""
    monkeypatch.setattr(os, "fsync", os.fstat)  # which refuses a closed file too


@pytest.fixture(autouse=True)
def heard_again() -> Iterator[None]:
    """A command that was told to be quiet leaves its process so; the next test's is another one."""
    yield
    if progress := sys.modules.get("asd.system.progress"):
        progress.be_quiet(False)


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
    from tests.support.factory import make_machine

    make_machine(tmp_path / "data")
    return tmp_path


@pytest.fixture
def offline_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, no measuring of the machine, no file outside the test's folder."""
    from asd.report.wandb.runs import has_account

    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    has_account.cache_clear()
    monkeypatch.setenv("WANDB_X_DISABLE_STATS", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))


@pytest.fixture
def job() -> Callable[..., Any]:
    """Composes the checked configuration of one tiny job, as the script of that name would."""
    from tests.support.jobs import tiny

    return tiny


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Originals:
    """What tests begin with and the session makes once."""
    from tests.support.originals import Originals

    return Originals(tmp_path_factory.mktemp("originals"))


@pytest.fixture
def trained(workplace: Path, originals: Originals) -> RunFolder:
    """A finished tiny run: phase 1 of fan."""
    from asd.experiment import train
    from asd.runs.folder import RunFolder
    from tests.support.jobs import tiny

    originals.lay_out("trained", lambda: train(tiny("train")))
    return RunFolder(Path("outputs/main/fan/small-512x32-s0/train"))


@pytest.fixture
def evaluated(trained: RunFolder, originals: Originals) -> RunFolder:
    """A finished tiny run with its scores and results."""
    from asd.evaluation import evaluate
    from tests.support.jobs import tiny

    originals.lay_out("evaluated", lambda: evaluate(tiny("evaluate")))
    return trained
