"""`asd listen` and `asd serve`: the runtime's commands beside the others."""

import argparse

from asd_runtime.cli import add_listen, add_serve


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands."""
    add_listen(commands)
    add_serve(commands)
