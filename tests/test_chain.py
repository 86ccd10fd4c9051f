"""The whole chain, killed or without power at any moment: the same commands, typed again, end in the same bytes."""

import hashlib
import multiprocessing
import os
import random
import runpy
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.power import Disk

ROOT = Path(__file__).parents[1]
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["asd.experiment", "asd.evaluation", "asd.report.page.render", "asd.cli"])

Disturbance = Callable[[], Callable[[], None]]  # begins in the process of the chain; gives what happens at its end
NO_POWER = 77  # exit code

SIZES = ["--sections", "2", "--source", "6", "--target", "2", "--test", "2"]
TINY = ["name=k", "machine=fan", "data=folder", "data.root=d", "backbone=small", "batch_size=4", "trainer.max_steps=4"]
TINY += ["trainer.accelerator=cpu", "save.every_n_steps=1", "progress=false"]
SYSTEM = "small-512x32-s0/finetune-none"
CHAIN = [
    ["asd", "data", "simulate", "--root", "d", "--machines", "fan", *SIZES, "--workers", "1", "--quiet"],
    ["train", *TINY],
    ["finetune", *TINY, "freeze=none"],
    ["evaluate", "name=k", "accelerator=cpu", "progress=false"],
    ["asd", "report", "outputs/k", "--media-mb", "1", "--quiet"],
    ["asd", "official", "submit", "outputs/k", "--out", "sub", "--part", "both", "--partial", "--system", SYSTEM],
]


def run_chain(place: Path, log: Path, disturb: Disturbance) -> None:
    """All commands, one after the other, in this process, with something that disturbs them."""
    os.chdir(place)
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    at_the_end = disturb()
    for name, *words in CHAIN:
        sys.argv = [name, *words]
        try:
            if name == "asd":
                from asd.cli import main

                code = main(words)
            else:
                runpy.run_path(str(ROOT / f"{name}.py"), run_name="__main__")
                code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        if code:
            os._exit(code)
    at_the_end()
    os._exit(0)


def undisturbed() -> Callable[[], None]:
    """Nothing happens."""
    return lambda: None


def killed_after(seconds: float) -> Callable[[], None]:
    """Killed without warning after so many seconds."""
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return lambda: None


def without_power(n_operations: int | None, names_at_once: bool) -> Callable[[], None]:
    """The power goes after so many flushes and renames, or, if None, when all is said to be done.

    Args:
        n_operations: How many.
        names_at_once: Which disk of `Disk` it is.
    """
    disk = Disk(Path.cwd(), pytest.MonkeyPatch())

    def lose() -> NoReturn:
        lost = disk.drop_unflushed(names_at_once=names_at_once)
        print(f"lost: {sorted(str(path.relative_to(disk.root)) for path in lost)}", flush=True)
        os._exit(NO_POWER)

    def at_the_end() -> None:
        if n_operations is None:
            lose()

    disk.lose = lose
    disk.stop_after(n_operations)
    return at_the_end


def chain(place: Path, log: Path, disturb: Disturbance = undisturbed) -> int:
    """Runs the chain in a process of its own; its exit code, negative for a signal."""
    process = FORKSERVER.Process(target=run_chain, args=(place, log, disturb))
    process.start()
    process.join(300)
    assert process.exitcode is not None, "still running after five minutes"
    return process.exitcode


def digests(place: Path) -> dict[str, str]:
    """SHA-256 of what the chain made, as far as its bytes are promised: clips, weights, scores, tables, submission."""
    from asd.runs.checkpoint import load_checkpoint

    found = {}
    for pattern in ("d/**/*.wav", "outputs/k/fan/*/*/references.npz", "outputs/k/fan/*/*/scores/*/*.*", "sub/**/*.csv"):
        for path in sorted(place.glob(pattern)):
            if path.name != "manifest.json":
                found[str(path.relative_to(place))] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(place.glob("outputs/k/fan/*/*/checkpoints/last.ckpt")):
        state = load_checkpoint(path)["state_dict"]
        content = b"".join(key.encode() + state[key].numpy().tobytes() for key in sorted(state))
        found[str(path.relative_to(place))] = hashlib.sha256(content).hexdigest()
    with zipfile.ZipFile(next(place.glob("sub/*.zip"))) as archive:
        found |= {info.filename: f"{info.CRC:08x}" for info in archive.infolist()}
    return found


def leftovers(place: Path) -> list[str]:
    """Temporary files and folders, locks and half an archive."""
    return [str(p) for p in place.rglob("*") if p.suffix == ".tmp" or p.name == "lock.json" or ".now-" in p.name]


def check(tmp_path: Path, n_kills: int, seed: int) -> None:
    """Kills the chain so often, at random moments, lets it end, and compares."""
    whole, killed, log = tmp_path / "whole", tmp_path / "killed", tmp_path / "log"
    whole.mkdir()
    killed.mkdir()
    started = time.monotonic()
    assert chain(whole, log) == 0, log.read_text()[-2000:]
    length = time.monotonic() - started
    moments, n_done = random.Random(seed), 0
    while n_done < n_kills:
        code = chain(killed, log, partial(killed_after, moments.uniform(0.1, 0.6 * length)))
        if code == 0:  # it got through: the next kills meet a chain that begins anew
            assert digests(killed) == digests(whole)
            for name in ("outputs", "sub", "d"):
                (killed / name).rename(tmp_path / f"{name}-{n_done}-{moments.random()}")
            continue
        assert code == -signal.SIGKILL, log.read_text()[-2000:]
        n_done += 1
    assert chain(killed, log) == 0, log.read_text()[-2000:]
    assert digests(killed) == digests(whole)
    assert leftovers(killed) == []


@pytest.mark.slow
@pytest.mark.ci
def test_the_chain_survives_a_few_kills(tmp_path: Path) -> None:
    check(tmp_path, n_kills=3, seed=1)


@pytest.mark.slow
def test_the_chain_survives_forty_kills(tmp_path: Path) -> None:
    check(tmp_path, n_kills=40, seed=0)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("names_at_once", [True, False])
def test_nothing_of_a_finished_chain_is_lost_with_the_power(tmp_path: Path, names_at_once: bool) -> None:
    place, log = tmp_path / "place", tmp_path / "log"
    place.mkdir()
    assert chain(place, log, partial(without_power, None, names_at_once)) == NO_POWER, log.read_text()[-2000:]
    assert log.read_text().endswith("\nlost: []\n")


@pytest.mark.slow
def test_the_chain_survives_losses_of_power(tmp_path: Path) -> None:
    """At any of its flushes and renames, on both disks; one after the other, until it gets through."""
    whole, dark, log = tmp_path / "whole", tmp_path / "dark", tmp_path / "log"
    whole.mkdir()
    dark.mkdir()
    assert chain(whole, log) == 0, log.read_text()[-2000:]
    moments = random.Random(0)
    for n_losses in range(24):
        disturb = partial(without_power, moments.randrange(60), bool(n_losses % 2))
        if (code := chain(dark, log, disturb)) == 0:
            break
        assert code == NO_POWER, log.read_text()[-2000:]
    assert n_losses > 4
    assert chain(dark, log) == 0, log.read_text()[-2000:]
    assert digests(dark) == digests(whole)
    assert leftovers(dark) == []
