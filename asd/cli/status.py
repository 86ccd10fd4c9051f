"""`asd status`: the runs of a grid, as they are now."""

import argparse
import json
import time
from dataclasses import asdict
from typing import Any

from asd.config.messages import nearest
from asd.runs.folder import OUTPUTS, grid_names
from asd.runs.overview import RunState, find_statuses, summary, survey, table

CLEAR = "\033[H\033[J"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = commands.add_parser("status", help="how far the runs are", description=show_status.__doc__)
    parser.add_argument("grids", nargs="*", metavar="outputs/NAME", help="the grids to show (all)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--watch", type=float, nargs="?", const=5.0, metavar="SECONDS", help="again and again (5)")
    parser.set_defaults(command=show_status)


def show_status(options: argparse.Namespace) -> int:
    """Shows each run: its state, how far it is, what is left, its last metrics, and why it failed."""
    asked = names(options.grids)
    try:
        while show(asked, options) and options.watch is not None:
            time.sleep(options.watch)
    except KeyboardInterrupt:
        return 130
    return 0


def show(asked: list[str], options: argparse.Namespace) -> bool:
    """Prints the runs as they are now; whether there is something to wait for."""
    states = [survey(run) for name in asked for run in find_statuses(name)]
    if options.json:
        print(json.dumps([plain(state) for state in states], indent=2), flush=True)
    else:
        print(f"{CLEAR if options.watch else ''}{table(states)}\n{summary(states)}", flush=True)
    return any(state.state in ("pending", "running") for state in states)


def names(grids: list[str]) -> list[str]:
    """The names of the grids asked for, or of all.

    Raises:
        ValueError: There is no such grid.
    """
    asked = grid_names(grids)
    known = sorted(path.name for path in OUTPUTS.glob("[!.]*") if path.is_dir())
    if not known:
        raise ValueError(f"no run in {OUTPUTS.absolute()}: train.py makes runs")
    for name in asked:
        if name not in known:
            raise ValueError(f"no grid {OUTPUTS / name}.{nearest(name, known)}")
    return asked or known


def plain(state: RunState) -> dict[str, Any]:
    """A state as JSON holds it."""
    return {**asdict(state), "run": state.run.path.as_posix()}
