"""Rules for single values and for whole configurations. Plain Python: a mistake is found before torch is imported."""

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
        if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        low, high = (f"{bound:g}" if isinstance(bound, float) else str(bound) for bound in (self.low, self.high))
        if self.high < math.inf:
            return f"{kind} from {low} to {high}"
        return f"{kind}, at least {low}" if self.low > -math.inf else kind


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[object, ...]

    def allows(self, value: Any) -> bool:
        """Whether `value` is one of the words."""
        return any(value == word and type(value) is type(word) for word in self.words)

    def __str__(self) -> str:
        words = ["null" if word is None else str(word) for word in self.words]
        return "one of " + ", ".join(words) if len(words) > 1 else words[0]


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
    """A list whose items follow `rule`; `length` items if given, and not fewer than `least`."""

    rule: Rule
    length: int | None = None
    least: int = 0

    def allows(self, value: Any) -> bool:
        """Whether `value` is a list of allowed items."""
        if not isinstance(value, list) or len(value) < self.least or self.length not in (None, len(value)):
            return False
        return all(self.rule.allows(item) for item in value)

    def __str__(self) -> str:
        return f"a list of {self.length or (f'{self.least} or more' if self.least else 'items')}, each {self.rule}"


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


FLAG = Choice((True, False))
COUNT = Number(1, whole=True)
WORD = Text(r"(?!\.)[\w.+=-]{1,100}", "up to 100 letters, digits and _ . + = -, no dot in front")  # names a folder
PATH = Text()
NULL = _Null()
ANYTHING = _Anything()


def or_null(rule: Rule) -> AnyOf:
    """`rule`, or null."""
    return AnyOf((rule, NULL))


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
    raise ValueError(f"unknown key '{key}'.{nearest_key(key, schema)}")


def nearest_key(key: str, schema: Mapping[str, Rule]) -> str:
    """A hint that names the keys most like one that there is not: of the same last part, within it, or alike."""
    keys = sorted(name for name in schema if "*" not in name)
    last = key.rpartition(".")[2]
    close = [name for name in keys if name.rpartition(".")[2] == last]
    close += [name for name in keys if name.startswith(f"{key}.")]
    close += difflib.get_close_matches(key, keys, n=3, cutoff=0.5)
    if not close:
        return " --cfg job prints all keys."
    return f" Did you mean {' or '.join(dict.fromkeys(close[:4]))}?"


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
