"""kill -9 anywhere: the same commands, typed again, end with the same bytes of weights and scores."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from asd.config.compose import plan
from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from tests.support.disturbance import PHASES, Configs, Kill, digests, finish, start

KILLED = -9

# 5 + 5 steps, and every file that both phases and the scoring write: the cache of the waveforms first.
STEPS = [("step", n) for n in (0, 2, 4, 6, 9)]
HALF_WRITTEN = [("write", n) for n in (0, 2, 3, 5, 7, 10, 13, 16, 20)]
NAMED = [("named", n) for n in (1, 4, 8, 12, 18, 24)]
POINTS = STEPS + HALF_WRITTEN + NAMED


def compose(script: str, *overrides: str) -> Any:
    """A configuration whose data and runs are not looked for: they are not there yet when it is made."""
    return plan(script, overrides)[1].configs[0]


def configs(name: str, workers: int) -> Configs:
    """Both phases and the scoring."""
    tiny = [f"name={name}", "machine=fan", "data=folder", "data.root=data", "backbone=small", "batch_size=4"]
    tiny += ["trainer.max_steps=5", "trainer.accelerator=cpu", f"data.workers={workers}", "save.every_n_steps=2"]
    return [
        ("train", compose("train", *tiny, "progress=false")),
        ("finetune", compose("finetune", *tiny, "progress=false")),
        ("evaluate", compose("evaluate", f"name={name}", "accelerator=cpu", "progress=false")),
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Filled by the first test: the digests of a run that nobody disturbed."""
    return {}


def wait_for_workers_to_leave(place: Path) -> None:
    """The workers of a killed run notice within seconds that it is gone."""
    deadline = time.monotonic() + 30
    while processes := at_work_in(place):
        assert time.monotonic() < deadline, f"left behind: {processes}"
        time.sleep(0.1)


def at_work_in(place: Path) -> list[str]:
    """The processes whose working directory is a folder, but for this one and the servers that it starts."""
    found, here = [], str(os.getpid())
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if os.readlink(process / "cwd") == str(place) and here not in (process.name, parent):
                found.append(process.name)
    return found


def check_point(workplace: Path, undisturbed: dict[str, str], point: tuple[str, int], workers: int) -> None:
    """Kills at a point, types the commands again, compares."""
    if not undisturbed:
        assert finish(start(workplace, configs("whole", 0))) == 0
        undisturbed.update(digests(workplace, "whole"))
        shutil.rmtree(workplace / "outputs")
    work = configs("main", workers)
    assert finish(start(workplace, work, Kill(*point))) == KILLED, "the point was never reached"
    wait_for_workers_to_leave(workplace)
    assert finish(start(workplace, work)) == 0
    assert digests(workplace, "main") == undisturbed
    for phase in PHASES:
        run = RunFolder(workplace / f"outputs/main/fan/small-512x32-s0/{phase}")
        assert [line["epoch"] for line in read_record(run)] == [0, 1, 2]
        assert not run.lock.exists()
    assert not list((workplace / "outputs" / "main").rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[0]}{point[1]}")
def test_killed_anywhere(workplace: Path, undisturbed: dict[str, str], point: tuple[str, int], workers: int) -> None:
    check_point(workplace, undisturbed, point, workers)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("point", [("step", 3), ("write", 4), ("named", 9)], ids=lambda p: f"{p[0]}{p[1]}")
def test_killed_at_a_few_points(workplace: Path, undisturbed: dict[str, str], point: tuple[str, int]) -> None:
    check_point(workplace, undisturbed, point, 2)


@pytest.mark.slow
@pytest.mark.ci
def test_killed_again_and_again(workplace: Path, undisturbed: dict[str, str]) -> None:
    if not undisturbed:
        assert finish(start(workplace, configs("whole", 0))) == 0
        undisturbed.update(digests(workplace, "whole"))
    work = configs("main", 0)
    codes = [finish(start(workplace, work, Kill("named", 9)))]
    while codes[-1] == KILLED and len(codes) < 100:
        codes.append(finish(start(workplace, work, Kill("named", 9))))
    assert codes[-1] == 0
    assert len(codes) > 3
    assert digests(workplace, "main") == undisturbed
