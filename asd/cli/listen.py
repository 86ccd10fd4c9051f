"""`asd listen`: the runtime's command beside the others."""

import argparse

from asd_runtime.cli import add_listen


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    add_listen(commands)
