"""What each key of a configuration may hold. Plain Python: a mistake is found before torch is imported."""

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Rule(Protocol):
    """What a value may be: `allows` decides, `str()` says it to the user."""

    def allows(self, value: Any) -> bool:
        """Whether `value` may stand here."""


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`, both included; `whole` admits integers only."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    def allows(self, value: Any) -> bool:
        """Whether `value` is a finite number in the range."""
        kinds = int if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.high < math.inf:
            return f"{kind} from {self.low:g} to {self.high:g}"
        return f"{kind}, at least {self.low:g}" if self.low > -math.inf else kind


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def allows(self, value: Any) -> bool:
        """Whether `value` is one of the words."""
        return value in self.words

    def __str__(self) -> str:
        return "one of " + ", ".join(self.words)


@dataclass(frozen=True)
class Text:
    """A word that fits `pattern` as a whole; `meaning` describes it."""

    pattern: str = r".+"
    meaning: str = "text"

    def allows(self, value: Any) -> bool:
        """Whether `value` is a string that fits."""
        return isinstance(value, str) and re.fullmatch(self.pattern, value, re.DOTALL) is not None

    def __str__(self) -> str:
        return self.meaning


@dataclass(frozen=True)
class ListOf:
    """A list whose items follow `rule`; `length` items if given."""

    rule: Rule
    length: int | None = None

    def allows(self, value: Any) -> bool:
        """Whether `value` is a list of allowed items."""
        if not isinstance(value, list) or (self.length is not None and len(value) != self.length):
            return False
        return all(self.rule.allows(item) for item in value)

    def __str__(self) -> str:
        return f"a list of {self.length if self.length else 'items'}, each {self.rule}"


@dataclass(frozen=True)
class AnyOf:
    """What one of several rules allows."""

    rules: tuple[Rule, ...]

    def allows(self, value: Any) -> bool:
        """Whether one of the rules allows `value`."""
        return any(rule.allows(value) for rule in self.rules)

    def __str__(self) -> str:
        return ", or ".join(map(str, self.rules))


class _Null:
    def allows(self, value: Any) -> bool:
        return value is None

    def __str__(self) -> str:
        return "null"


class _Anything:
    def allows(self, value: Any) -> bool:
        return True

    def __str__(self) -> str:
        return "anything"


FLAG = Choice((True, False))  # type: ignore[arg-type]
COUNT = Number(1, whole=True)
WORD = Text(r"[\w.+=-]+", "letters, digits and _ . + = -")
PATH = Text()
NULL = _Null()
ANYTHING = _Anything()


def or_null(rule: Rule) -> AnyOf:
    """`rule`, or null."""
    return AnyOf((rule, NULL))


# The arguments of Lightning's Trainer; those the framework sets itself are left out.
TRAINER_ARGUMENTS = [
    "accelerator",
    "barebones",
    "benchmark",
    "detect_anomaly",
    "deterministic",
    "devices",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "inference_mode",
    "limit_train_batches",
    "log_every_n_steps",
    "max_epochs",
    "max_steps",
    "max_time",
    "num_nodes",
    "precision",
    "profiler",
    "strategy",
    "sync_batchnorm",
    "use_distributed_sampler",
]

_DATA: dict[str, Rule] = {"data.root": or_null(PATH), "data.cache": PATH}

_TRAINING: dict[str, Rule] = {
    "name": WORD,
    "machine": WORD,
    "seed": Number(0, 2**31 - 1, whole=True),
    "overwrite": FLAG,
    "phase": Choice(("train", "finetune")),
    "sampling": Choice(("source", "target_step")),
    "batch_size": Number(2, whole=True),
    "mixup.weight": ListOf(Number(0, 1), 2),
    "mixup.probability": Number(0, 1),
    "optimizer.lr": Number(1e-12, 1e3),
    "optimizer.momentum": Number(0, 1),
    "optimizer.nesterov": FLAG,
    "optimizer.weight_decay": Number(0),
    "optimizer.schedule": Choice(("cosine", "constant")),
    "input.name": WORD,
    "input.sample_rate": COUNT,
    "input.n_fft": Number(2, whole=True),
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
    "data.workers": Number(0, whole=True),
    "data.simulate": NULL,
    "data.simulate.sections": Number(2, 100, whole=True),
    "data.simulate.source": COUNT,
    "data.simulate.target": COUNT,
    "data.simulate.test": COUNT,
    "data.simulate.seed": Number(0, whole=True),
    "backbone._target_": Text(r"asd\.models\.[\w.]+", "a class under asd.models"),
    "backbone.name": WORD,
    "backbone.embedding_dim": COUNT,
    "backbone.*": ANYTHING,
    "trainer.max_epochs": Number(-1, whole=True),
    "trainer.max_steps": Number(-1, whole=True),
    **{f"trainer.{name}": ANYTHING for name in TRAINER_ARGUMENTS if not name.startswith("max_")},
    "trainer.max_time": ANYTHING,
    "logger.kind": Choice(("csv", "wandb")),
    "logger.project": PATH,
    "logger.entity": or_null(PATH),
    "logger.mode": Choice(("auto", "online", "offline")),
    "channels_last": FLAG,
    "allocator": Choice(("keep", "system")),
    "progress": FLAG,
}

SCHEMAS: dict[str, dict[str, Rule]] = {
    "train": _TRAINING,
    "finetune": {**_TRAINING, "freeze.parts": ListOf(WORD), "checkpoint": or_null(PATH)},
    "evaluate": {
        "name": WORD,
        "machine": AnyOf((NULL, WORD, ListOf(WORD))),
        "seed": Number(0, whole=True),
        "phase": or_null(WORD),
        "ensemble": Choice(("mean", "zscore", "rank")),
        "logmel_neighbour": FLAG,
        "overwrite": FLAG,
        "accelerator": Choice(("auto", "cpu", "gpu")),
        "progress": FLAG,
        **_DATA,
        "scorer.name": WORD,
        "scorer.n_neighbors": COUNT,
        "scorer.stride": COUNT,
        "scorer.aggregation": Choice(("mean", "max")),
        "scorer.references": Choice(("both", "source", "target", "nearest")),
    },
}


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested configuration with their dotted keys."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint that names the allowed words most like `word`, and all of them if they are few."""
    words = sorted(allowed)
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return hint + (f" Allowed: {', '.join(words)}." if len(words) <= 12 else "")


def find_rule(key: str, schema: Mapping[str, Rule]) -> Rule:
    """The rule of a key.

    Raises:
        ValueError: No such key; the message names the nearest ones.
    """
    if key in schema:
        return schema[key]
    head, _, last = key.rpartition(".")
    if head and f"{head}.*" in schema and last:
        return schema[f"{head}.*"]
    raise ValueError(f"unknown key '{key}'.{nearest(key, (name for name in schema if '*' not in name))}")


def check(config: Mapping[str, Any], schema: Mapping[str, Rule]) -> None:
    """Compares every leaf of a configuration with its rule.

    Raises:
        ValueError: An unknown key, a wrong type or a value out of range; all of them in one message.
    """
    problems = []
    for key, value in flatten(config):
        try:
            rule = find_rule(key, schema)
        except ValueError as error:
            problems.append(str(error))
            continue
        if not rule.allows(value):
            problems.append(f"{key}={value} is not allowed: give {rule}")
    if problems:
        raise ValueError("\n".join(problems))
