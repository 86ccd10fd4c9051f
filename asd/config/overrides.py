"""The words of a command line, before Hydra composes anything: mistakes that it answers at length or not at all."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml

from asd.config.rules import Rule, nearest, nearest_key

# Hydra's own options; what follows them is Hydra's too.
HYDRA_OPTIONS = (
    "-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run",
    "-m", "--multirun", "-sc", "--shell-completion", "-cp", "--config-path", "-cn", "--config-name", "-cd",
    "--config-dir", "--experimental-rerun", "-i", "--info",
)  # fmt: skip


def check_options(words: list[str], schema: Mapping[str, Rule]) -> None:
    """Raises ValueError where a word begins with a dash and is no option of Hydra's."""
    for word in words:
        option, _, value = word.partition("=")
        if option.startswith("-") and option not in HYDRA_OPTIONS:
            key = option.lstrip("-").replace("-", "_")
            hint = f"{key}={value or '…'}" if key in schema else f"key=value.{nearest_key(key, schema)}"
            raise ValueError(f"{option}: no such option. Keys are given without dashes: {hint}")


def check_words(words: list[str], schema: Mapping[str, Rule]) -> None:
    """Raises ValueError where a word is no key=value, or deletes a key."""
    for word in words:
        key = key_of(word)
        if word.startswith("~"):
            raise ValueError(f"{word}: no key can be deleted; give {key} another value, or leave the word out")
        if "=" not in word:
            hint = f"give {key}=VALUE" if key in schema else f"give key=value.{nearest_key(key, schema)}"
            raise ValueError(f"{word}: no value; {hint}")


def check_once(words: list[str]) -> None:
    """Raises ValueError where a key is given twice; the last one would win without a word."""
    seen: dict[str, str] = {}
    for word in words:
        first = seen.setdefault(key_of(word), word)
        if first is not word:
            raise ValueError(f"{key_of(word)} is given twice, {first} and {word}: give it once")


def check_group(group: str, script: str, conf: Path) -> None:
    """Raises ValueError where a group of conf/ is not one of a script's."""
    ours = groups(conf / f"{script}.yaml")
    if group not in ours:
        others = [name for name in ("train", "finetune", "evaluate") if group in groups(conf / f"{name}.yaml")]
        hint = f" It is a group of {' and '.join(f'{name}.py' for name in others)}." if others else ""
        raise ValueError(f"{group}: {script}.py has no such group.{hint}{nearest(group, ours)}")


@cache
def groups(path: Path) -> tuple[str, ...]:
    """The groups that a file of conf/ chooses from, with those of the files it builds on."""
    return tuple(dict.fromkeys(_groups(path, path.parent)))


def _groups(path: Path, conf: Path) -> Iterator[str]:
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")).get("defaults", []):
        if isinstance(entry, dict):
            ((group, choice),) = entry.items()
            if not group.startswith("override"):
                yield group.lstrip("/")
                if choice is not None:  # which may itself choose from groups
                    yield from _groups(conf / group.lstrip("/") / f"{choice}.yaml", conf)
        elif entry != "_self_":
            yield from _groups(path.with_name(f"{entry}.yaml"), conf)


def key_of(word: str) -> str:
    """The key of key=value, without the signs in front."""
    return word.lstrip("+~").partition("=")[0]


def unreadable(word: str, error: Exception) -> str:
    """What to say of a word that Hydra's grammar does not read."""
    reason = str(error).splitlines()
    detail = next((line for line in reason if not line.startswith(("Error parsing", "See http"))), reason[0])
    return (
        f"{word}: the value of {key_of(word)} cannot be read ({detail}). "
        f"A list is [a,b]; text with other signs stands in quotes: '{key_of(word)}=\"…\"'"
    )
