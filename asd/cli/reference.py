"""The reference of the command line, made from the parsers: `python -m asd.cli.reference`."""

import argparse
from collections.abc import Iterator

from asd.cli.parser import build_parser

HEAD = """# Command line

Made by `python -m asd.cli.reference` from the parsers; a test keeps it true. `asd train`, `asd finetune` and
`asd evaluate` take the keys of the [configuration](configuration.md), and are the same as `python train.py` … in a
checkout; `python -m asd` is `asd`. Every command takes `--quiet` (`-q`): neither progress nor remarks, only results and
mistakes. A mistake is one message on standard error and exit code 1, an unknown option exit code 2, Ctrl-C 130.
"""


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *(line for name, parser in commands("asd", build_parser()) for line in part(name, parser))])


def commands(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, with its full name; subcommands in alphabetical order."""
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not choices:
        yield name, parser
    for word, below in sorted(choices[0].items()) if choices else ():
        yield from commands(f"{name} {word}", below)


def part(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """One command: what it does, and a table of what it takes."""
    yield from (f"## {name}", "")
    if parser.description:
        yield from (parser.description, "")
    rows = [action for action in parser._actions if not {"--help", "--quiet"} & {*action.option_strings}]
    if rows and parser.prefix_chars == "-":
        yield from ("| | |", "|---|---|")
        yield from (f"| `{spelling(action)}` | {meaning(parser, action)} |" for action in rows)
        yield ""


def spelling(action: argparse.Action) -> str:
    """How an option or an argument is typed."""
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    value = "" if action.nargs == 0 else str(action.metavar or choices)
    more = " …" if action.nargs in ("+", "*") else ""
    return f"{', '.join(action.option_strings)} {value}{more}".strip().replace("|", "\\|")


def meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help text with its default filled in."""
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return text.replace("|", "\\|") + (" (required)" if action.option_strings and action.required else "")


if __name__ == "__main__":
    print(reference(), end="")
