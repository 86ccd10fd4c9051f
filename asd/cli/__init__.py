"""The console command `asd`: the three scripts, and everything that is not an experiment."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from asd.cli import dashboard, data, export, listen, official, report, score, scripts, status, wandb
from asd.system.progress import be_quiet, write_line

COMMANDS = (scripts, dashboard, data, export, listen, official, report, score, status, wandb)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a mistake of the user's is one message and exit code 1."""
    options = build_parser().parse_args(arguments)
    be_quiet(options.quiet)
    try:
        return int(options.command(options))
    except (ValueError, OSError) as error:
        write_line(sys.stderr, str(error))
        return 1


class Command(argparse.ArgumentParser):
    """A command or a subcommand; every one that has options takes --quiet."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        quiet = "neither progress nor remarks, only results and mistakes"
        if "-" in self.prefix_chars:
            self.add_argument("--quiet", "-q", action="store_true", default=argparse.SUPPRESS, help=quiet)


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = Command(prog="asd", description=sys.modules["asd"].__doc__)
    parser.set_defaults(quiet=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
