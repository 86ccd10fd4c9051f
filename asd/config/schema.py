"""What each key of a configuration may hold."""

import math
from collections.abc import Mapping
from typing import Any

from asd.config.rules import ANYTHING, COUNT, FLAG, NULL, PATH, WORD, AnyOf, Choice, ListOf, Number, Rule, Text, or_null

LENGTH = AnyOf((COUNT, Choice((-1,))))  # −1: not given
SEED = Number(0, 2**31 - 1, whole=True)
DEVICES = AnyOf((COUNT, Choice((-1, "auto")), ListOf(Number(0, whole=True), least=1)))
PRECISIONS = ("auto", "32-true", "32", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true", "64", 32, 64)
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")

# The arguments of Lightning's Trainer. Left out is what the framework sets itself, what would end a training before its
# schedule does, and what belongs to things that it does not have, such as sharded models.
TRAINER: dict[str, Rule] = {
    "accelerator": Choice(("auto", "cpu", "gpu", "cuda", "mps")),
    "benchmark": or_null(FLAG),
    "detect_anomaly": FLAG,
    "deterministic": Choice((True, False, "warn", None)),
    "devices": DEVICES,
    "gradient_clip_algorithm": Choice(("norm", "value", None)),
    "gradient_clip_val": or_null(Number(1e-12)),
    "inference_mode": FLAG,
    "log_every_n_steps": or_null(COUNT),
    "max_epochs": LENGTH,
    "max_steps": LENGTH,
    "num_nodes": COUNT,
    "precision": Choice(PRECISIONS),
    "profiler": Choice(("simple", "advanced", "pytorch", None)),
    "strategy": Choice(STRATEGIES),
}

_POLICY = ("error", "skip")
_DATA: dict[str, Rule] = {
    "data.root": Text(meaning="the path of a folder"),
    "data.cache": PATH,
    "data.on_bad_clip": Choice(_POLICY),
}

_LOGGER: dict[str, Rule] = {
    "logger.kind": Choice(("csv", "wandb")),
    "logger.project": PATH,
    "logger.entity": or_null(PATH),
    "logger.mode": Choice(("auto", "online", "offline")),
    "logger.clips_mb": Number(0, 10_000),
}

_TRAINING: dict[str, Rule] = {
    "name": WORD,
    "machine": Text(WORD.pattern, "the name of one machine; several are a sweep, -m machine=fan,pump"),
    "seed": SEED,
    "overwrite": FLAG,
    "phase": Choice(("train",)),
    "sampling": Choice(("source", "target_step")),
    "batch_size": Number(2, 65536, whole=True),
    "mixup.weight": ListOf(Number(0, 1), 2),
    "mixup.probability": Number(0, 1),
    "optimizer.lr": Number(1e-12, 1e3),
    "optimizer.momentum": Number(0, 1),
    "optimizer.nesterov": FLAG,
    "optimizer.weight_decay": Number(0),
    "optimizer.schedule": Choice(("cosine", "constant")),
    "input.name": WORD,
    "input.sample_rate": COUNT,
    "input.n_fft": Number(2, 65536, whole=True),
    "input.hop_length": COUNT,
    "input.n_frames": COUNT,
    "input.n_bins": COUNT,
    "input.pair_mean": FLAG,
    "input.scale": Choice(("linear", "power", "log")),
    "input.pad": Choice(("reflect", "zeros")),
    "input.standardise": Choice(("piece", "frequency", "none")),
    "loss.margin": Number(0, math.pi / 2),
    "loss.scale": Number(1e-6, 1e6),
    "loss.sub_centers": COUNT,
    "loss.mixed_loss": Choice(("both", "main", "margin_on_main")),
    **_DATA,
    "data.name": WORD,
    "data.bank": Choice(("auto", "mmap", "ram", "device")),
    "data.workers": Number(0, 256, whole=True),
    "data.simulate": NULL,
    "data.simulate.sections": Number(2, 100, whole=True),
    "data.simulate.source": Number(1, 10_000, whole=True),
    "data.simulate.target": Number(1, 10_000, whole=True),
    "data.simulate.test": Number(1, 5_000, whole=True),
    "data.simulate.seed": SEED,
    "backbone._target_": Text(r"asd\.models\.[\w.]+", "a class under asd.models"),
    "backbone.name": WORD,
    "backbone.embedding_dim": COUNT,
    "backbone.*": ANYTHING,
    **{f"trainer.{name}": rule for name, rule in TRAINER.items()},
    **_LOGGER,
    "save.every_n_minutes": or_null(Number(0)),
    "save.every_n_steps": or_null(COUNT),
    "channels_last": FLAG,
    "compile": AnyOf((FLAG, Choice(("auto", "cudagraphs")))),
    "speed.from_steps": COUNT,
    **{f"speed.{device}.{what}": ListOf(WORD) for device in ("cpu", "cuda") for what in ("compile", "bf16")},
    "allocator": Choice(("keep", "system")),
    "progress": FLAG,
    "quiet": FLAG,
}

_OF_ARCFACE = ("sampling", "mixup.", "optimizer.", "input.", "loss.", "backbone.", "channels_last", "compile", "speed.")

# What the baselines share: what every training has, and log-mel windows learnt with Adam.
_WINDOWS: dict[str, Rule] = {
    **{key: rule for key, rule in _TRAINING.items() if not key.startswith(_OF_ARCFACE)},
    "trainer.devices": Choice((1,)),  # an epoch's windows are counted for one process
    "trainer.num_nodes": Choice((1,)),
    "sampling": Choice(("windows",)),
    "hold_out": Number(0, 0.9),
    "weights": or_null(PATH),
    "optimizer.lr": Number(0, 1e3),
    "optimizer.beta1": Number(0, 0.999999),
    "optimizer.beta2": Number(0, 0.999999999),
    "optimizer.epsilon": Number(1e-30, 1),
    "input.name": WORD,
    "input.sample_rate": COUNT,
    "input.n_fft": Number(2, whole=True),
    "input.hop_length": COUNT,
    "input.n_mels": COUNT,
    "input.power": Number(1e-3, 10),
    "input.pad": Choice(("reflect", "zeros")),
    "input.n_frames": COUNT,
    "input.frame_hop": COUNT,
    "backbone.name": WORD,
    "backbone.batchnorm.epsilon": Number(1e-12, 1),
    "backbone.batchnorm.momentum": Number(0, 1),
}

BASELINES: dict[str, dict[str, Rule]] = {
    "autoencoder": {
        **_WINDOWS,
        "method": Choice(("autoencoder",)),
        "backbone.n_hidden": COUNT,
        "backbone.n_bottleneck": COUNT,
    },
    "mobilenetv2": {
        **_WINDOWS,
        "method": Choice(("mobilenetv2",)),
        "backbone.width": Choice((0.35, 0.5, 0.75, 1.0, 1.4)),
    },
}

OF_METHOD: dict[str, dict[str, Rule]] = {"arcface": _TRAINING, **BASELINES}

SCHEMAS: dict[str, dict[str, Rule]] = {
    "train": {**BASELINES["autoencoder"], **BASELINES["mobilenetv2"], **_TRAINING},  # any key of any method
    "finetune": {
        **_TRAINING,
        "phase": Choice(("finetune",)),
        "freeze.parts": ListOf(WORD),
        "checkpoint": or_null(PATH),
    },
    "evaluate": {
        "name": WORD,
        "machine": AnyOf((NULL, WORD, ListOf(WORD, least=1))),
        "seed": SEED,
        "phase": or_null(WORD),
        "ensemble": Choice(("mean", "zscore", "rank")),
        "log_odds.formula": Choice(("official_2021", "corrected_2022")),
        "log_odds.hop": COUNT,
        "logmel_neighbour": FLAG,
        "overwrite": FLAG,
        "accelerator": Choice(("auto", "cpu", "gpu")),
        "precision": Choice(("auto", 32, "bf16")),
        "progress": FLAG,
        "quiet": FLAG,
        **_DATA,
        "data.root": or_null(PATH),
        "data.on_bad_clip": or_null(Choice(_POLICY)),
        **_LOGGER,
        "scorer.name": WORD,
        "scorer.n_neighbors": COUNT,
        "scorer.stride": COUNT,
        "scorer.aggregation": Choice(("mean", "max")),
        "scorer.references": Choice(("both", "source", "target", "nearest")),
    },
}


def schema_of(config: Mapping[str, Any], script: str) -> dict[str, Rule]:
    """The rules for a composed configuration: its script's, and of a training its method's alone.

    Raises:
        ValueError: A baseline cannot be fine-tuned.
    """
    method = config.get("method")
    if method is None:
        return _TRAINING if script == "train" else SCHEMAS[script]
    if script == "finetune":
        raise ValueError(f"method={method}: a baseline has one phase: python train.py method={method}")
    return BASELINES[method]
