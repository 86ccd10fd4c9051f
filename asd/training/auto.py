"""What `auto` stands for: how the steps of a run are computed. Chosen once, and from then on a part of the run.

The choices are in conf/speed/measured.yaml, as they were measured (docs/performance.md).
"""

from dataclasses import dataclass

import torch

from asd.config.schema import SpeedConfig, TrainerConfig
from asd.models.compiling import multiplies_bf16, why_not_compiled
from asd.runs.ranks import rank


@dataclass(frozen=True)
class Computation:
    """How the steps of a run are computed.

    Attributes:
        compile: Whether the network is compiled; "cudagraphs": and runs as one launch on a GPU.
        precision: Of Lightning's Trainer.
    """

    compile: bool | str
    precision: str | int


def resolve_auto(
    asked: Computation,
    begun: Computation | None,
    *,
    speed: SpeedConfig,
    trainer: TrainerConfig,
    network: str,
    n_steps: int,
) -> Computation:
    """`auto` as what it is for a run; one that has begun goes on as it began.

    Args:
        asked: Where either may be "auto".
        begun: Of a run that has begun.
        speed: What was measured.
        trainer: Says the device.
        network: Name of the backbone.
        n_steps: Length of the training; one too short to win back the time of compiling is not compiled.

    Raises:
        ValueError: CUDA graphs without a GPU.
    """
    device = training_device(trainer)
    if asked.compile == "cudagraphs" and device.type != "cuda":
        raise ValueError("compile=cudagraphs: there is no GPU to train on; give compile=true or compile=auto")
    best = begun or quickest(speed, network, device, n_steps)
    return Computation(
        compile=best.compile if asked.compile == "auto" else asked.compile,
        precision=best.precision if asked.precision == "auto" else asked.precision,
    )


def quickest(speed: SpeedConfig, network: str, device: torch.device, n_steps: int) -> Computation:
    """Precision and compiling as measured to be the quickest for a network on a device."""
    measured = speed.cuda if device.type == "cuda" else speed.cpu
    in_bf16 = network in measured.bf16 and multiplies_bf16(device)
    return Computation(
        compile=network in measured.compile and n_steps >= speed.from_steps,
        precision="bf16-mixed" if in_bf16 else "32-true",
    )


def compiler_problem(trainer: TrainerConfig) -> str | None:
    """What keeps this machine from compiling networks for the device that trains, or None."""
    return why_not_compiled(training_device(trainer))


def training_device(trainer: TrainerConfig) -> torch.device:
    """The device that Lightning will choose for this process."""
    if trainer.accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", trainer.devices[rank()] if isinstance(trainer.devices, list) else rank())
