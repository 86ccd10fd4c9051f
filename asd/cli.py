"""The console command `asd`: everything that is not an experiment."""

import argparse
import sys
from collections.abc import Sequence

from asd.commands import data, official, score, status

COMMANDS = (data, official, score, status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a mistake of the user's is one message and exit code 1."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="asd", description=sys.modules["asd"].__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
