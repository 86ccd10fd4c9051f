"""From step numbers to pieces: the same numbers as mixing whole clips, transforming and cropping."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from asd.data import datamodule
from asd.data.datamodule import MachineDataModule, StepNumbers
from asd.data.decoding import Decoding
from asd.data.sampling import BalancedSource
from asd.data.waveforms import WaveformBank
from asd.features.input import SpectrogramPieces
from tests.support.factory import make_machine, scan_machine

INPUT = SpectrogramPieces(
    sample_rate=16_000, n_fft=2046, hop_length=512, n_frames=32, n_bins=512, scale="linear", pair_mean=True,
    pad="reflect", standardise="piece",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> MachineDataModule:
    root = make_machine(tmp_path_factory.mktemp("data"), sections=3)
    return build(root, tmp_path_factory.mktemp("cache"))


def build(root: Path, cache: Path, workers: int = 0) -> MachineDataModule:
    table = scan_machine(root, "fan")
    bank = WaveformBank.open(table, cache, Decoding(16_000, INPUT.min_samples), progress=False)
    positions = np.array([INPUT.n_positions(int(length)) for length in bank.lengths])
    plan = BalancedSource(table, batch_size=6, mix_range=(0.0, 0.5), mix_probability=1.0, n_positions=positions, seed=3)
    return MachineDataModule(bank, plan, INPUT, workers=workers)


def test_a_batch_is_the_reports_way_done_slowly(data: MachineDataModule) -> None:
    windows = next(iter(data.train_dataloader()))
    batch = data.on_after_batch_transfer(windows, 0)
    draw = data.plan.indices(0)
    clips = [
        data.bank.samples[o : o + n].numpy() / 32768 for o, n in zip(data.bank.offsets, data.bank.lengths, strict=True)
    ]
    for i in range(6):
        weight = draw.mix_weight[i]
        mixed = (1 - weight) * clips[draw.clip[i]] + weight * clips[draw.partner[i]]
        spectrum = np.abs(librosa.stft(mixed, n_fft=2046, hop_length=512, pad_mode="reflect"))
        piece = spectrum.reshape(512, 2, -1).mean(axis=1)[:, draw.position[i] :][:, :32]
        expected = (piece - piece.mean()) / piece.std()
        np.testing.assert_allclose(batch.pieces[i, 0].numpy(), expected, atol=2e-3)
    assert torch.equal(batch.section, torch.from_numpy(draw.section))
    assert torch.equal(batch.partner_section, torch.from_numpy(draw.partner_section))


def test_epochs_go_on_where_the_last_ended() -> None:
    done = [0]
    numbers = StepNumbers(3, done.pop)
    assert list(numbers) == [0, 1, 2]
    done.append(6)
    assert list(numbers) == [6, 7, 8]
    assert len(numbers) == 3


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_change_nothing(tmp_path: Path) -> None:
    root = make_machine(tmp_path / "data")
    alone, helped = (list(build(root, tmp_path / "cache", w).train_dataloader()) for w in (0, 1))
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_worker_gets_the_name_of_the_bank_not_its_samples(data: MachineDataModule) -> None:
    assert len(pickle.dumps(data.bank)) < 5_000


def test_workers_are_left_out_where_their_batches_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Zeros(Dataset[Any]):
        def __getitem__(self, step: int) -> tuple[torch.Tensor, int]:
            return torch.zeros(1 << 18), step  # 1 MiB

    free = shutil.disk_usage("/")._replace(free=64 << 20)
    monkeypatch.setattr(datamodule.shutil, "disk_usage", lambda _: free)
    assert datamodule.workers_that_fit(Zeros(), 0, 2) == 2
    free = free._replace(free=64 << 10)
    assert datamodule.workers_that_fit(Zeros(), 0, 0) == 0
    assert datamodule.workers_that_fit(Zeros(), 0, 2) == 0
    assert "data.workers=2 needs 6.1 MiB of /dev/shm, and 64.0 KiB are free" in capsys.readouterr().out
