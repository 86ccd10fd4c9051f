"""One run on several devices: the same batch, the same loss, one process that writes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from asd.data.sampling import BatchIndices, RankSlice
from asd.models.sync_batchnorm import synchronise
from asd.runs.folder import RunFolder
from asd.runs.lock import hold
from asd.runs.manifest import differences, is_done
from asd.runs.ranks import Follower, hold_together
from tests.cli.test_scripts import ROOT
from tests.support.factory import make_machine
from tests.support.jobs import compose

TINY = ["experiment=smoke", "data=folder", "data.root=data", "progress=false", "machine=fan"]
TWO = ["trainer=ddp", "trainer.max_epochs=-1", "trainer.accelerator=cpu"]


class Plan:
    """Steps of six clips."""

    n_steps_per_epoch = 3

    def indices(self, step: int) -> BatchIndices:
        """Numbers that tell where they come from."""
        return BatchIndices(*(np.arange(6) + 10 * field + 100 * step for field in range(6)))


def test_shares_make_the_whole() -> None:
    whole = Plan().indices(2)
    shares = [RankSlice(Plan(), rank, 3).indices(2) for rank in range(3)]
    for field in ("clip", "partner", "section", "partner_section", "mix_weight", "position"):
        parts = [getattr(share, field) for share in shares]
        assert [len(part) for part in parts] == [2, 2, 2]
        assert np.array_equal(np.concatenate(parts), getattr(whole, field))


def test_unequal_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=6 cannot be shared out equally among 4 devices"):
        RankSlice(Plan(), 0, 4).indices(0)


def networks() -> tuple[nn.Module, nn.Module]:
    """The same network twice: with batch normalisation of every kind we have."""
    from timm.layers import BatchNormAct2d

    torch.manual_seed(0)
    one = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), BatchNormAct2d(4), nn.Flatten())
    one += nn.Sequential(nn.LazyLinear(3), nn.BatchNorm1d(3))
    one(torch.randn(2, 1, 6, 6))
    for layer in one.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    import copy

    return one, copy.deepcopy(one)


def loss_of(network: nn.Module, batch: Tensor) -> Tensor:
    """Some loss that no sample has to itself."""
    return network(batch).square().mul(torch.tensor([1.0, 2.0, 3.0])).tanh().mean()


def check_alike(one: nn.Module, other: nn.Module) -> None:
    """The same gradients and statistics."""
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")
    for a, b in zip(one.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_alone_it_is_torchs_own_normalisation() -> None:
    one, other = networks()
    assert synchronise(other) == 3
    batch = torch.randn(8, 1, 6, 6)
    losses = [loss_of(network, batch) for network in (one, other)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    check_alike(one, other)
    one.eval(), other.eval()
    torch.testing.assert_close(one(batch), other(batch))
    assert one.state_dict().keys() == other.state_dict().keys()


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"BatchNorm3d is not known on several devices: use trainer\.devices=1"):
        synchronise(nn.Sequential(nn.BatchNorm3d(2)))


def half_of_a_batch(rank: int, meeting: str) -> None:
    """What one of two processes does: half the batch, the mean of the gradients."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    one, other = networks()
    synchronise(other)
    torch.manual_seed(1)
    batch = torch.randn(8, 1, 6, 6)
    loss_of(one, batch).backward()
    loss_of(other, batch[rank * 4 : rank * 4 + 4]).backward()
    for parameter in other.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= 2
    check_alike(one, other)
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_normalise_as_one(tmp_path: Path) -> None:
    mp.spawn(half_of_a_batch, args=(str(tmp_path / "meeting"),), nprocs=2)


def test_only_the_first_process_holds_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "run")
    monkeypatch.setattr("asd.runs.ranks.die_with_parent", lambda: None)
    with hold(folder):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with hold_together(folder) as lock:
            assert isinstance(lock, Follower)
            lock.check()
        monkeypatch.setenv("LOCAL_RANK", "0")
        with pytest.raises(ValueError, match="is being worked on"), hold_together(folder):
            pass
    with hold_together(folder):
        assert folder.lock.exists()


def test_the_number_of_devices_counts(job: Callable[..., Any], workplace: Path) -> None:
    lines = differences(job("train", "trainer.devices=2").plain(), job("train").plain())
    assert lines == ["trainer.devices: 1 → 2"]


def test_a_batch_that_cannot_be_shared_is_refused_at_once(job: Callable[..., Any], workplace: Path) -> None:
    with pytest.raises(ValueError, match="batch_size=4 cannot be shared out equally among 3 devices"):
        job("train", "trainer.devices=3")


@pytest.mark.parametrize("word", ["trainer.devices=2", "+trainer.num_nodes=2"])
def test_a_baseline_keeps_to_one_device(workplace: Path, word: str) -> None:
    words = ["machine=fan", "data=folder", "data.root=data", "method=autoencoder", word]
    with pytest.raises(ValueError, match=r"this method trains on one device, give trainer\.devices=1"):
        compose("train", *words)


def train(name: str, *arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Types a training."""
    command = [sys.executable, str(ROOT / "train.py"), *TINY, f"name={name}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)


def record(name: str) -> list[dict[str, Any]]:
    """What a training recorded."""
    path = Path(f"outputs/{name}/fan/small-512x32-s0/train/metrics.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.ci
def test_two_processes_learn_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_machine(tmp_path / "data")
    for name, options in (("one", ["trainer.max_steps=8"]), ("two", ["trainer.max_steps=8", *TWO])):
        done = train(name, *options)
        assert done.returncode == 0, done.stderr
    one, two = record("one"), record("two")
    assert [line["epoch"] for line in two] == [line["epoch"] for line in one]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], rel=1e-4)
    assert [line["accuracy"] for line in two] == [line["accuracy"] for line in one]
    folder = RunFolder(Path("outputs/two/fan/small-512x32-s0/train"))
    assert is_done(folder)
    assert not folder.lock.exists()
    refused = train("two", "trainer.max_steps=8")
    assert refused.returncode == 1
    assert "trainer.devices: 2 → 1" in refused.stderr


@pytest.mark.slow
def test_several_devices_in_a_sweep_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_machine(tmp_path / "data")
    options = [*TWO, "trainer.max_steps=40", "save.every_n_steps=3"]
    assert train("whole", *options).returncode == 0
    command = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, "name=main", *options]
    folder = RunFolder(Path("outputs/main/fan/small-512x32-s0/train"))
    with subprocess.Popen(command) as sweep:
        while not folder.previous_checkpoint.exists():
            assert sweep.poll() is None
        sweep.terminate()
        assert sweep.wait(60) == 143
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "going on at step" in again.stdout
    assert [line["loss"] for line in record("main")] == [line["loss"] for line in record("whole")]
    assert os.path.exists(folder.log)
