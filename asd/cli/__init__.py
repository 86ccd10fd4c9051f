"""The console command `asd`: the three scripts, and everything that is not an experiment."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asd.system.entry import begun
from asd.system.memory import is_out_of_memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a mistake of the user's is one message and exit code 1 (of `score` 2), Ctrl-C exit code 130."""
    with begun():
        from asd.system.progress import be_quiet, write_line  # Ctrl-C is taken care of from here on

        code = 1
        try:
            options = build_parser().parse_args(arguments)
            code = options.exit_on_mistake
            be_quiet(options.quiet)
            return int(options.command(options))
        except (ValueError, OSError) as error:
            message = str(error)
        except (MemoryError, RuntimeError, ImportError) as error:
            if not is_out_of_memory(error):
                raise
            message = f"out of memory ({type(error).__name__}): end other programs, or give less at a time"
        write_line(sys.stderr, message)
        return code


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
