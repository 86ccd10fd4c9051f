"""Where the clips lie changes no window."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asd.data.decoding import Decoding
from asd.data.placement import place
from asd.data.waveforms import WaveformBank
from tests.support.factory import make_machine, scan_machine

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def bank(tmp_path: Path) -> WaveformBank:
    table = scan_machine(make_machine(tmp_path / "data"), "fan")
    return WaveformBank.open(table, tmp_path / "cache", Decoding(16_000, 1), progress=False)


def test_windows_are_the_same_from_memory(bank: WaveformBank) -> None:
    inside = place(bank, "ram", CPU, workers=0)
    assert inside.file is None
    assert inside.samples.data_ptr() != bank.samples.data_ptr()
    clip, start = torch.tensor([0, 3]), torch.tensor([-50, 23_000])
    expected = bank.raw_windows(clip, start, 2000, pad="reflect")
    assert torch.equal(inside.raw_windows(clip, start, 2000, pad="reflect"), expected)


def test_on_a_cpu_the_map_stays(bank: WaveformBank) -> None:
    assert place(bank, "auto", CPU, workers=0) is place(bank, "mmap", CPU, workers=2) is bank


def test_auto_takes_the_gpu_where_the_clips_fit(bank: WaveformBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WaveformBank, "to", lambda self, device: f"on {device}")
    for free, workers, expected in (
        (4 * bank.samples.nbytes, 0, "on cuda"),
        (4 * bank.samples.nbytes - 4, 0, bank),
        (10**12, 1, bank),
    ):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert place(bank, "auto", GPU, workers=workers) == expected


def test_auto_stays_with_the_map_where_the_gpu_is_full_after_all(
    bank: WaveformBank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: WaveformBank, device: torch.device) -> WaveformBank:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(WaveformBank, "to", full)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**12, 10**12))
    assert place(bank, "auto", GPU, workers=0) is bank
    assert "no room for the clips" in capsys.readouterr().out
    with pytest.raises(torch.OutOfMemoryError):
        place(bank, "device", GPU, workers=0)


def test_the_device_must_be_able_to() -> None:
    bank = WaveformBank.from_arrays([np.zeros(5, np.int16)])
    with pytest.raises(ValueError, match=r"data\.bank=device: there is no GPU"):
        place(bank, "device", CPU, workers=0)
    with pytest.raises(ValueError, match=r"data\.workers=2: workers cannot read a GPU"):
        place(bank, "device", GPU, workers=2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_bank_on_the_gpu(bank: WaveformBank) -> None:
    assert place(bank, "device", GPU, workers=0).samples.is_cuda
