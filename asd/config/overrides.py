"""The words of a command line, before Hydra composes anything: mistakes that it answers at length or not at all."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from asd.config.messages import nearest, nearest_key

# Hydra's own options; those with a value come with it as one word or two.
FLAGS = (
    "-h", "--help", "--hydra-help", "--version", "--resolve", "-r", "--run", "-m", "--multirun",
    "-sc", "--shell-completion",
)  # fmt: skip
WITH_VALUE = (
    "-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir",
    "-i", "--info", "--experimental-rerun",
)  # fmt: skip
PRINTS_ONLY = ("-h", "--help", "--hydra-help", "--version", "-sc", "--shell-completion")

# Keys that take the text that was typed, and those below them: name=20261127, data.root=2024_06 are no numbers.
TEXT_KEYS = (
    "name", "machine", "phase", "checkpoint", "weights", "backbone.name", "input.name", "scorer.name",
    "data.root", "data.cache", "data.name", "data.table", "data.reader.normal", "data.reader.anomalous",
    "data.reader.ignore", "data.reader.columns", "freeze.parts", "trust",
)  # fmt: skip
NUMBER_LIKE = r"[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?|0[xXoObB][\da-fA-F_]+|(?i:inf|nan|true|false)"
# A value alone, or one of a list or of a sweep; what is in quotes stays.
TO_QUOTE = re.compile(
    rf"(?P<quoted>'[^']*'|\"[^\"]*\")|(?P<before>(?:^|[,(\[])\s*)(?P<text>~(?:[^,()\[\]]|\(.*?\))*|{NUMBER_LIKE})"
    r"(?=\s*(?:[,)\]]|$))"
)


@dataclass(frozen=True)
class CommandLine:
    """What was typed, in parts.

    Attributes:
        words: The overrides, as typed but for names that look like numbers, which are in quotes.
        multirun: Whether a sweep was asked for, by -m.
        config_name: Of the file to compose.
        config_path: A folder in place of conf/, or None.
        config_dir: A folder of the user's beside conf/, or None.
        shows: Whether Hydra only prints something: --help, --version, --shell-completion.
        shows_config: Whether Hydra prints a configuration instead of running: --cfg, --info.
    """

    words: tuple[str, ...]
    multirun: bool
    config_name: str
    config_path: Path | None
    config_dir: Path | None
    shows: bool
    shows_config: bool


def parse_command_line(arguments: Sequence[str], script: str, keys: Sequence[str]) -> CommandLine:
    """The parts of a command line of a script.

    Args:
        arguments: Without the script.
        script: train, finetune or evaluate.
        keys: Those it knows, for hints.

    Raises:
        ValueError: An option that is none of Hydra's, one without its value, or --experimental-rerun.
    """
    words: list[str] = []
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if option in WITH_VALUE:
            if not equals and not rest and option not in ("-i", "--info"):
                raise ValueError(f"{option} needs a value: {option} VALUE")
            options[option] = value if equals else rest.pop(0) if rest else ""
        elif word in FLAGS:
            options[word] = ""
        elif word.startswith("-"):
            raise ValueError(unknown_option(option, value, keys))
        else:
            words.append(as_text(word))
    if "--experimental-rerun" in options:
        raise ValueError("--experimental-rerun is not allowed: it unpickles a file. Type the command itself again")
    path, folder = (first(options, names) for names in (("-cp", "--config-path"), ("-cd", "--config-dir")))
    return CommandLine(
        tuple(words),
        multirun="-m" in options or "--multirun" in options,
        config_name=(first(options, ("-cn", "--config-name")) or script).removesuffix(".yaml"),
        config_path=existing_folder("--config-path", path),
        config_dir=existing_folder("--config-dir", folder),
        shows=any(option in options for option in PRINTS_ONLY),
        shows_config=any(option in options for option in ("-c", "--cfg", "-i", "--info")),
    )


def first(options: Mapping[str, str], names: Sequence[str]) -> str | None:
    """The value of the first option that was given."""
    return next((options[name] for name in names if name in options), None)


def existing_folder(option: str, text: str | None) -> Path | None:
    """A folder of configurations.

    Raises:
        ValueError: There is none.
    """
    if text is None:
        return None
    folder = Path(text).expanduser().absolute()
    if not folder.is_dir():
        raise ValueError(f"{option} {text}: no such folder; it should hold groups such as backbone/mynet.yaml")
    return folder


def unknown_option(option: str, value: str, keys: Sequence[str]) -> str:
    """What to say of an option that is none of Hydra's."""
    key = option.lstrip("-").replace("-", "_")
    hint = f"{key}={value or '…'}" if key in keys else f"key=value.{nearest_key(key, keys)}"
    return f"{option}: no such option. Keys are given without dashes: {hint}"


def as_text(word: str) -> str:
    """An override whose key is a text, its values in quotes where Hydra would read numbers, or could not read a ~."""
    key, equals, value = word.partition("=")
    is_text = any(f"{key.lstrip('+')}.".startswith(f"{known}.") for known in TEXT_KEYS)
    if not equals or not is_text or value.startswith(("range(", "interval(")):
        return word
    if value.startswith("choice(") and value.endswith(")"):  # whose values Hydra takes out of their quotes
        value = value[len("choice(") : -1]
    return f"{key}={TO_QUOTE.sub(in_quotes, value)}"


def in_quotes(found: re.Match[str]) -> str:
    """A number or a ~ in quotes; what is in quotes already as it is."""
    return found["quoted"] or f"{found['before']}'{found['text']}'"


def check_words(words: Sequence[str], keys: Sequence[str]) -> None:
    """Raises ValueError where a word is no key=value, or deletes a key, or a key is given twice."""
    seen: dict[str, str] = {}
    for word in words:
        key = key_of(word)
        if word.startswith("~"):
            raise ValueError(f"{word}: no key can be deleted; give {key} another value, or leave the word out")
        if "=" not in word:
            hint = f"give {key}=VALUE" if key in keys else f"give key=value.{nearest_key(key, keys)}"
            raise ValueError(f"{word}: no value; {hint}")
        earlier = seen.setdefault(key, word)
        if earlier is not word:
            raise ValueError(f"{key} is given twice, {earlier} and {word}: give it once")


def check_group(group: str, script: str, folders: Sequence[Path]) -> None:
    """Raises ValueError where a group of conf/ is not one of a script's."""
    conf = folders[-1]
    ours = groups(conf / f"{script}.yaml")
    if group not in ours:
        others = [name for name in ("train", "finetune", "evaluate") if group in groups(conf / f"{name}.yaml")]
        hint = f" It is a group of {' and '.join(f'{name}.py' for name in others)}." if others else ""
        way_out = WAYS_OUT.get((script, group), "")
        raise ValueError(f"{group}: {script}.py has no such group.{hint}{way_out}{nearest(group, ours)}")


WAYS_OUT = {
    ("evaluate", "data"): " Recordings are found where the runs were trained; give data.root=DIR only if they moved.",
    ("evaluate", "experiment"): " Give name=…, the name of the grid: an experiment file says it.",
}


@cache
def groups(path: Path) -> tuple[str, ...]:
    """The groups that a file of conf/ chooses from, with those of the files it builds on."""
    return tuple(dict.fromkeys(_groups(path, path.parent))) if path.is_file() else ()


def _groups(path: Path, conf: Path) -> Iterator[str]:
    for entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults", []):
        if isinstance(entry, dict):
            (group,) = entry
            if not group.startswith("override"):
                yield group.removeprefix("optional ").lstrip("/")
                for each in sorted((conf / group.lstrip("/")).glob("*.yaml")):  # which may itself choose from groups
                    yield from _groups(each, conf)
        elif entry != "_self_":
            yield from _groups(path.with_name(f"{entry}.yaml"), conf)


def key_of(word: str) -> str:
    """The key of key=value, without the characters in front."""
    return word.lstrip("+~").partition("=")[0]


def unreadable(word: str, error: Exception) -> str:
    """What to say of a word that Hydra's grammar does not read."""
    reason = str(error).splitlines()
    detail = next((line for line in reason if not line.startswith(("Error parsing", "See http"))), reason[0])
    return (
        f"{word}: the value of {key_of(word)} cannot be read ({detail}). "
        f"A list is [a,b]; text with other characters is in quotes: '{key_of(word)}=\"…\"'"
    )
