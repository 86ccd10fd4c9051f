"""`asd train`, `asd finetune` and `asd evaluate`: the three scripts, wherever the package is installed."""

import argparse
import runpy
import sys
from typing import Any

from asd.config import PROJECT

SCRIPTS = {
    "train": "phase 1: trains on source clips",
    "finetune": "phase 2: fine-tunes a trained run on target clips",
    "evaluate": "scores finished runs and prints the table of AUC and pAUC",
}


def add(commands: Any) -> None:
    """Adds the commands; the words after them are Hydra's to read, so none begins an option of ours."""
    for name, summary in SCRIPTS.items():
        parser = commands.add_parser(name, help=summary, description=summary, add_help=False, prefix_chars="\0")
        parser.add_argument("words", nargs="*")
        parser.set_defaults(command=run, script=name)


def run(options: argparse.Namespace) -> int:
    """Runs a script in this process, as `python train.py …` does; a mistake ends the process with its exit code."""
    path = str(PROJECT / f"{options.script}.py")
    sys.argv = [path, *options.words, *(["quiet=true"] if options.quiet else [])]
    runpy.run_path(path, run_name="__main__")
    return 0
