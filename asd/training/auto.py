"""What `auto` stands for: how the steps of a run are computed. Chosen once, and from then on a part of the run.

The choices stand in conf/speed/measured.yaml, as they were measured (docs/performance.md).
"""

from collections.abc import Mapping
from typing import Any

import torch

from asd.models.compiling import why_not_compiled
from asd.runs.folder import RunFolder
from asd.runs.ranks import rank
from asd.system.progress import say


def settle(config: Mapping[str, Any], run: RunFolder, *, n_steps: int) -> dict[str, Any]:
    """The configuration with `compile` and `trainer.precision` as what they are for this run.

    A run that has begun goes on as it began. One too short to win back the time of compiling is not compiled.

    Args:
        config: Where either may be "auto".
        run: Its folder.
        n_steps: Length of the training.

    Raises:
        ValueError: CUDA graphs without a GPU.
    """
    trainer = config["trainer"]
    if "compile" not in config:  # a baseline is computed as its organisers did
        plain = "32-true" if trainer["precision"] == "auto" else trainer["precision"]
        return {**config, "trainer": trainer | {"precision": plain}}
    device = training_device(trainer)
    if config["compile"] == "cudagraphs" and device.type != "cuda":
        raise ValueError("compile=cudagraphs: there is no GPU to train on; give compile=true or compile=auto")
    best = quickest(config, device, n_steps)
    if run.is_begun and run.config.is_file() and not config["overwrite"]:
        begun = run.read_config()
        best = {"compile": begun.get("compile", False), "precision": begun["trainer"]["precision"]}
    given = {"compile": config["compile"], "precision": trainer["precision"]}
    chosen = {key: best[key] if value == "auto" else value for key, value in given.items()}
    return {**config, "compile": chosen["compile"], "trainer": trainer | {"precision": chosen["precision"]}}


def with_compiler(config: Mapping[str, Any], run: RunFolder, *, asked: Any) -> dict[str, Any]:
    """The settled configuration of a run that is about to train, with `compile` as this machine is able to.

    Args:
        config: Settled.
        run: Its folder.
        asked: What `compile` was before: under "auto" a machine that cannot compile computes plainly, and says so.

    Raises:
        ValueError: Compiling was asked for, or the run began with it, and this machine cannot.
    """
    why = why_not_compiled(training_device(config["trainer"])) if config.get("compile") else None
    if why is None:
        return dict(config)
    if run.is_begun and not config["overwrite"]:
        raise ValueError(
            f"{run.path} began compiled, and here {why}. Install a C++ compiler, or go on where there is one"
        )
    if asked != "auto":
        raise ValueError(f"compile={config['compile']}: {why}. Install a C++ compiler, or give compile=false")
    say(f"the network is not compiled, which is slower: {why}")
    return {**config, "compile": False}


def quickest(config: Mapping[str, Any], device: torch.device, n_steps: int) -> dict[str, Any]:
    """Precision and compiling as measured to be the quickest for the network on a device."""
    measured, name = config["speed"][device.type], config["backbone"]["name"]
    in_bf16 = name in measured["bf16"] and multiplies_bf16(device)
    return {
        "precision": "bf16-mixed" if in_bf16 else "32-true",
        "compile": name in measured["compile"] and n_steps >= config["speed"]["from_steps"],
    }


def training_device(trainer: Mapping[str, Any]) -> torch.device:
    """The device that Lightning will choose for this process."""
    if trainer["accelerator"] not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return torch.device("cpu")
    devices = trainer["devices"]
    return torch.device("cuda", devices[rank()] if isinstance(devices, list) else rank())


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16; without them they are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
