"""On what a figure was measured."""

import platform
from pathlib import Path

import torch

from asd.models.compiling import multiplies_bf16
from asd.runs.manifest import code_version
from asd.system.cores import n_cores


def hardware() -> dict[str, str | int | bool | None]:
    """Processor, its instruction set, cores, GPU."""
    return {
        "cpu": cpu_name(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "bf16_instructions": multiplies_bf16(torch.device("cpu")),
        "cores": n_cores(),
        "allocator": f"{' '.join(platform.libc_ver())}; keep unless a figure says otherwise",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def cpu_name() -> str:
    """What the processor calls itself."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of what a figure depends on."""
    return code_version()
