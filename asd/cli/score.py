"""`asd score`: the runtime's command, for runs as well as for exported models."""

import argparse
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from asd.system.progress import track
from asd_runtime.cli import add_score, open_model, verdict_options
from asd_runtime.verdict import ClipScore


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    what = "outputs/<name>/<machine>/<run>/<phase>, or quicker, because torch is not needed, what asd export wrote"
    parser = add_score(commands, "RUN_DIR|MODEL", what)
    parser.add_argument("--scorer", help="of a run: whose settings to use (cosine; a baseline's own)")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE", help="whose code the run may name; may be repeated"
    )
    parser.set_defaults(opened=open_run, tracked=tracked, domain=None)  # a run reads it from the recording's name


def open_run(options: argparse.Namespace) -> Callable[[Path], ClipScore]:
    """What scores a file with a finished, evaluated run, or with an exported model.

    Raises:
        ValueError: Another scorer is asked of an exported model.
    """
    if options.model.is_file():
        if options.scorer is not None:
            raise ValueError(f"--scorer: {options.model} has the one it was exported with (asd export --scorer)")
        options.domain = options.domain or "both"
        return open_model(options)
    from asd import load_run

    run = load_run(options.model, scorer=options.scorer, trust=options.trust)
    return partial(run.score, **verdict_options(options))


def tracked(options: argparse.Namespace) -> Iterable[Path]:
    """The recordings, with a bar where somebody waits at a terminal and does not see the scores come."""
    sees_scores = sys.stdout.isatty() and not options.json
    waits = sys.stderr.isatty() and not sees_scores and len(options.clips) > 1
    clips: list[Path] = options.clips
    return track(clips, "scoring", show=waits)
