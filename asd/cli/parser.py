"""The parser of the console command: its commands in one place, each with its options."""

import argparse
import sys
from pathlib import Path
from typing import Any


class Command(argparse.ArgumentParser):
    """A command or a subcommand, described by the first paragraph of a docstring; all with options take --quiet.

    A `~` in a path is the home folder: a shell leaves that of `--root=~/data` as it is.
    """

    def __init__(self, *, description: str | None = None, **settings: Any) -> None:
        super().__init__(description=(description or "").partition("\n\n")[0], **settings)
        self.register("type", Path, lambda text: Path(text).expanduser())
        quiet = "neither progress nor remarks, only results and mistakes"
        if "-" in self.prefix_chars:
            self.add_argument("--quiet", "-q", action="store_true", default=argparse.SUPPRESS, help=quiet)


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    from asd.cli import dashboard, data, export, leaderboard, official, report, runtime, score, scripts, status, wandb

    parser = Command(prog="asd", description=sys.modules["asd"].__doc__)
    parser.set_defaults(quiet=False, exit_on_mistake=1)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (scripts, dashboard, data, export, leaderboard, runtime, official, report, score, status, wandb):
        command.add(commands)
    return parser
