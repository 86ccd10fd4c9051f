"""The whole chain, killed at random moments: the same commands, typed again, end with the same bytes."""

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
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["asd.experiment", "asd.evaluation", "asd.report.page.render", "asd.cli"])

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


def run_chain(place: Path, seconds: float | None, log: Path) -> None:
    """All commands, one after the other, in this process; killed without warning after so many seconds."""
    os.chdir(place)
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if seconds is not None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
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
    os._exit(0)


def chain(place: Path, seconds: float | None, log: Path) -> int:
    """Runs the chain in a process of its own; its exit code, negative for a signal."""
    process = FORKSERVER.Process(target=run_chain, args=(place, seconds, log))
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
    assert chain(whole, None, log) == 0, log.read_text()[-2000:]
    length = time.monotonic() - started
    moments, n_done = random.Random(seed), 0
    while n_done < n_kills:
        code = chain(killed, moments.uniform(0.1, 0.6 * length), log)
        if code == 0:  # it got through: the next kills meet a chain that begins anew
            assert digests(killed) == digests(whole)
            for name in ("outputs", "sub", "d"):
                (killed / name).rename(tmp_path / f"{name}-{n_done}-{moments.random()}")
            continue
        assert code == -signal.SIGKILL, log.read_text()[-2000:]
        n_done += 1
    assert chain(killed, None, log) == 0, log.read_text()[-2000:]
    assert digests(killed) == digests(whole)
    assert leftovers(killed) == []


@pytest.mark.slow
@pytest.mark.ci
def test_the_chain_survives_a_few_kills(tmp_path: Path) -> None:
    check(tmp_path, n_kills=3, seed=1)


@pytest.mark.slow
def test_the_chain_survives_forty_kills(tmp_path: Path) -> None:
    check(tmp_path, n_kills=40, seed=0)
