"""Where the decoded clips lie while a network trains: mapped from disk, in memory, or on the GPU."""

import torch

from asd.data.waveforms import WaveformBank
from asd.system.progress import say

# Of the GPU's free memory, what auto gives to the clips: networks of one machine share the rest.
SHARE_OF_GPU = 0.25


def place(bank: WaveformBank, where: str, device: torch.device, *, workers: int) -> WaveformBank:
    """The bank where `data.bank` wants it; its windows are the same everywhere.

    Args:
        bank: Mapped from its file.
        where: "mmap", "ram", "device", or "auto": on the GPU if it fits and no workers read ahead, else mapped.
        device: That the network trains on.
        workers: Processes that read ahead.

    Raises:
        ValueError: "device" without a GPU, or with workers, which cannot read from one.
    """
    if where == "ram":
        return WaveformBank(bank.samples.clone(), bank.lengths)
    if where == "device":
        check_device(device, workers)
        return bank.to(device)
    if where == "auto" and device.type == "cuda" and workers == 0 and fits(bank, device):
        try:
            return bank.to(device)
        except torch.OutOfMemoryError:  # another run took what was free a moment ago
            say("the GPU has no room for the clips: they stay mapped from disk")
    return bank


def check_device(device: torch.device, workers: int) -> None:
    """Raises ValueError where the clips cannot lie on the device that trains."""
    if device.type != "cuda":
        raise ValueError("data.bank=device: there is no GPU to train on; give data.bank=auto, mmap or ram")
    if workers:
        raise ValueError(f"data.bank=device with data.workers={workers}: workers cannot read a GPU; give 0")


def fits(bank: WaveformBank, device: torch.device) -> bool:
    """Whether the samples take no more than their share of what is free."""
    free, _ = torch.cuda.mem_get_info(device)
    return bank.samples.nbytes <= SHARE_OF_GPU * free
