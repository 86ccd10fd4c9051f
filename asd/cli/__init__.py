"""The console command `asd`: the three scripts, and everything that is not an experiment."""

import sys
from collections.abc import Sequence

from asd.system.entry import NOBODY_READS, begun


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a mistake of the user's is one message and exit code 1 (of `score` 2), Ctrl-C exit code 130."""
    with begun():
        from asd.cli.parser import build_parser  # Ctrl-C is taken care of from here on
        from asd.system.files import NO_ROOM
        from asd.system.memory import is_out_of_memory
        from asd.system.progress import be_quiet, discard, write_line

        code = 1
        try:
            options = build_parser().parse_args(arguments)
            code = options.exit_on_mistake
            be_quiet(options.quiet)
            code_of_command = int(options.command(options))
            sys.stdout.flush()
            return code_of_command
        except BrokenPipeError:  # as `| head` leaves it: no mistake
            discard(sys.stdout)
            return NOBODY_READS
        except (ValueError, OSError) as error:
            message = str(error)
            if type(error) is OSError and error.filename is None and error.errno in NO_ROOM:  # files have names
                discard(sys.stdout)
                message = f"no room for what is printed ({error.strerror}): let standard output lead somewhere else"
        except (MemoryError, RuntimeError, ImportError) as error:
            if not is_out_of_memory(error):
                raise
            message = f"out of memory ({type(error).__name__}): end other programs, or give less at a time"
        write_line(sys.stderr, message)
        return code
