"""Keys that are allowed one by one and not together. Plain Python: found before torch is imported."""

from collections.abc import Iterator, Mapping
from typing import Any

from asd.models.declared import declared_problems


def refuse_contradictions(config: Mapping[str, Any], script: str) -> None:
    """Compares the keys of a checked configuration with each other.

    Raises:
        ValueError: Keys contradict each other; all of it in one message.
    """
    if script == "evaluate":
        return
    problems = list(trainer_problems(config["trainer"]))
    if "_target_" in config["backbone"]:  # a network of ours, on pieces
        problems += [
            *input_problems(config["input"]),
            *step_problems(config),
            *declared_problems(config["backbone"]),
        ]
    if problems:
        raise ValueError("\n".join(problems))


def input_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Rows of a piece that the Fourier transform does not give (pieces/spectrogram)."""
    n_fft, n_bins, merged = settings["n_fft"], settings["n_bins"], 2 if settings["pair_mean"] else 1
    if n_fft % 2:
        yield f"input.n_fft={n_fft}: must be even, so that a column has a middle sample; give {n_fft + 1}"
    elif n_bins * merged != n_fft // 2 + 1:
        yield (
            f"input.n_bins={n_bins} does not fit input.n_fft={n_fft} with input.pair_mean={settings['pair_mean']}: "
            f"give input.n_fft={2 * (n_bins * merged - 1)} or input.n_bins={(n_fft // 2 + 1) / merged:g}"
        )


def step_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What a training step cannot be."""
    low, high = config["mixup"]["weight"]
    if low > high:
        yield f"mixup.weight=[{low},{high}]: the first must not be above the second; give [{high},{low}]"
    optimizer = config["optimizer"]
    if optimizer["nesterov"] and optimizer["momentum"] == 0:
        yield "optimizer.nesterov=True needs optimizer.momentum above 0: give optimizer.nesterov=false"


def trainer_problems(trainer: Mapping[str, Any]) -> Iterator[str]:
    """Arguments of Lightning's Trainer that do not go together."""
    if trainer["max_epochs"] < 0 and trainer["max_steps"] < 0:
        yield "trainer.max_epochs=-1 and trainer.max_steps=-1: a training needs a length; give one of them, at least 1"
    if trainer["accelerator"] != "cpu":
        return
    if str(trainer["precision"]).startswith("16"):
        yield f"trainer.precision={trainer['precision']} needs a GPU: give 32-true, or another trainer.accelerator"
    devices = trainer["devices"]
    if isinstance(devices, list) or devices == -1:
        yield f"trainer.devices={devices} names GPUs: with trainer.accelerator=cpu give a number of processes"
