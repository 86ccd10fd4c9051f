"""One network for all machines, taken by a run of each (scope=all)."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import asd
from asd import experiment
from asd.cli import main as cli
from asd.config.compose import Plan
from asd.config.schema import RunConfig
from asd.evaluation import evaluate
from asd.experiment import train
from asd.launch.script import refuse_shared_addresses
from asd.report.page.load import read_grid
from asd.runs.checkpoint import load_checkpoint
from asd.runs.folder import RunFolder, find_runs, runs_below
from asd.runs.lock import hold
from asd.runs.manifest import is_done, read_manifest
from asd.runs.record import read_record
from asd.runs.scores import read_scores
from asd.system.files import write_json
from tests.support.factory import make_machine
from tests.support.jobs import compose, tiny
from tests.training.test_resume import before_step

Job = Callable[..., Any]
LENGTH = "trainer.max_steps=5"


@pytest.fixture
def machines(workplace: Path) -> Path:
    """A data set of two machines."""
    make_machine(workplace / "data", "pump", sections=1)
    return workplace


def job(name: str, *words: str) -> Any:
    """A tiny job of all machines."""
    return tiny(name, "data=dcase", "scope=all", LENGTH, *words)


def run_of(config: RunConfig) -> RunFolder:
    """Its folder."""
    return RunFolder(config.folder())


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    """Of a finished run."""
    assert is_done(run)
    found: dict[str, torch.Tensor] = load_checkpoint(run.checkpoint)["state_dict"]
    return found


def check_same(one: RunFolder, other: RunFolder) -> None:
    """Two runs have the same network, to the bit."""
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["machine=all"],
            "machine=all is the network of all machines: give scope=all with it. A machine that",
        ),
        (["classes=machine"], r"classes=machine with scope=machine: one machine is one class\. Give scope=all"),
        (["scope=everything"], "scope=everything is not allowed: give one of machine, all"),
        (["scope=all"], "scope=all: data.root has one machine, fan: leave scope out, or give the folder"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_refusals(workplace: Path, words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny("train", "data=dcase", *words)


@pytest.mark.parametrize("method", ["autoencoder", "temporal_pooling"])
def test_methods_that_share_nothing_say_so(workplace: Path, method: str) -> None:
    words = ["machine=fan", "data=dcase", "data.root=data", f"method={method}", "scope=all"]
    with pytest.raises(ValueError, match=f"scope=all: method={method} learns each machine by itself. Leave scope out"):
        compose("train", *words)


@pytest.mark.slow
@pytest.mark.ci
def test_each_machine_has_the_common_network_and_its_own_scores(
    machines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fan, pump = job("train", "classes=machine"), job("train", "classes=machine", "machine=pump")
    assert fan.shared is not None
    shared = RunFolder(fan.shared.folder())
    for config in (fan, pump):
        train(config)
        check_same(run_of(config), shared)
    assert capsys.readouterr().out.count("training outputs/main/all/") == 1
    assert load_checkpoint(run_of(fan).checkpoint)["asd"]["classes"] == ["fan", "pump"]
    assert load_checkpoint(run_of(fan).checkpoint)["asd"]["sections"] == [0, 1]
    assert read_record(run_of(fan)) == read_record(shared)
    for config in (fan, pump):
        tuned = job("finetune", "classes=machine", f"machine={config.machine}", "freeze=backbone")
        train(tuned)
        assert tuned.shared is not None
        check_same(run_of(tuned), RunFolder(tuned.shared.folder()))
    evaluate(tiny("evaluate"))
    said = capsys.readouterr().out
    assert "fan: one network for 2 machines (scope=all): fan, pump" in said
    assert " all" not in said.partition("Data:")[0]
    assert not (shared.path / "scores").exists()
    assert [run.machine for run in find_runs("main")] == ["fan"] * 2 + ["pump"] * 2
    assert len(runs_below(Path("outputs/main"), shared=True)) == 6
    assert {run.folder.machine for run in read_grid(Path("outputs/main")).runs} == {"fan", "pump"}
    clip = sorted(Path("data/dev_data/pump").rglob("*test_anomaly*.wav"))[0]
    found = asd.load_run(run_of(pump).path).score(clip)
    table = read_scores(run_of(pump).scores("cosine") / "scores.csv")
    assert table.score[table.clip == clip.relative_to("data").as_posix()].tolist() == [found.score]
    with pytest.raises(ValueError, match="is the network that machines share: give the run of one of them, outputs/"):
        asd.load_run(shared.path)
    with pytest.raises(ValueError, match="machine=all is the network that machines share, which is scored with each"):
        tiny("evaluate", "machine=all")
    assert cli(["status", "main"]) == 0
    assert "main/all/small-512x32-s0/train" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.ci
def test_another_network_is_noticed(machines: Path) -> None:
    train(job("train"))
    with pytest.raises(ValueError, match=r"belongs to another configuration:\n  scope: all → machine\n"):
        tiny("train", "data=dcase", LENGTH)
    with pytest.raises(
        ValueError, match=r"main/all/.* belongs to another configuration:\n  classes: section → machine"
    ):
        job("train", "machine=pump", "classes=machine")
    train(job("train", "machine=all", "overwrite=true"))
    shared = RunFolder(Path("outputs/main/all/small-512x32-s0/train"))
    manifest = read_manifest(shared.manifest)
    assert manifest is not None
    train(job("train"))  # the same bytes again: nothing to do
    write_json(shared.manifest, manifest | {"weights": "others"})
    with pytest.raises(ValueError, match="had before it was trained anew: give overwrite=true to take the present one"):
        job("train")
    write_json(shared.manifest, manifest)
    train(job("train", "overwrite=true"))
    assert read_manifest(shared.manifest) == manifest  # only the machine's run is made anew
    with pytest.raises(ValueError, match="would share the folder outputs/a/all/small-512x32-s0/train"):
        refuse_shared_addresses(
            Plan([job("train", "name=a"), job("train", "name=a", "machine=pump", "seed=0", "batch_size=6")])
        )
    make_machine(Path("data"), "valve", sections=1)
    with pytest.raises(ValueError, match=r"outputs/main/all/.* belongs to another configuration:\n  data.fingerprint"):
        job("train", "machine=pump")


class CrashError(Exception):
    """The end of a process, as far as files are concerned."""


@pytest.mark.slow
@pytest.mark.ci
def test_whatever_ends_it_the_same_command_ends_with_the_same_bytes(machines: Path) -> None:
    config, other = job("train", "name=whole"), job("train", "name=ended")
    train(config)
    whole, ended = run_of(config), run_of(other)
    for step in (0, 3):
        with before_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM)), pytest.raises(SystemExit):
            train(other)
    for name in ("claim", "open_clips", "write_text", "keep_finished", "finish", "write_manifest", "write_status"):
        for late in (False, True):
            if is_done(ended):
                break
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(experiment, name, crashing(getattr(experiment, name), late))
                with pytest.raises(CrashError):
                    train(other)
    train(other)
    check_same(whole, ended)
    assert whole.config.read_text().replace("whole", "ended") == ended.config.read_text()
    for name in ("whole", "ended"):
        evaluate(tiny("evaluate", f"name={name}"))
    for file in ("scores/cosine/scores.csv", "scores/cosine/pieces.npz", "references.npz"):
        assert (whole.path / file).read_bytes() == (ended.path / file).read_bytes()


def crashing(function: Callable[..., Any], late: bool) -> Callable[..., Any]:
    """A function that ends the process before or after it did what it does for a machine's own run."""

    def crash(first: Any, *args: Any, **named: Any) -> Any:
        is_own = "/fan/" in str(getattr(first, "path", first))
        found = function(first, *args, **named) if late or not is_own else None
        if is_own:
            raise CrashError
        return found

    return crash


@pytest.mark.slow
@pytest.mark.ci
def test_a_second_machine_waits_for_the_network(machines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = job("train", "machine=pump")
    assert config.shared is not None
    shared = config.shared

    def train_elsewhere() -> None:
        with hold(RunFolder(shared.folder())) as lock:
            started.set()
            time.sleep(1.5)
            train(shared, lock)

    started = threading.Event()
    thread = threading.Thread(target=train_elsewhere)
    thread.start()
    started.wait()
    train(config)
    thread.join()
    check_same(run_of(config), RunFolder(shared.folder()))
    assert "waiting for the network of all machines: outputs/main/all/" in capsys.readouterr().out
