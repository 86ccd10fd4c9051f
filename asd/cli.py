"""The console command `asd`: everything that is not an experiment."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asd.data.clips import MACHINES
from asd.rules import nearest


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
    data = commands.add_parser("data", help="make or fetch data").add_subparsers(required=True, metavar="COMMAND")
    add_simulate(data.add_parser("simulate", help="make a simulated factory", description=simulate_factory.__doc__))
    add_score(commands.add_parser("score", help="score recordings", description=score_recordings.__doc__))
    return parser


def add_simulate(parser: argparse.ArgumentParser) -> None:
    """Options of `asd data simulate`."""
    parser.add_argument("--root", type=Path, required=True, help="folder to make; nothing in it is overwritten")
    parser.add_argument("--machines", type=machine_names, default=list(MACHINES), help="such as fan,pump (all seven)")
    for name, count, text in (
        ("sections", 6, "sections of a machine"),
        ("source", 1000, "training clips of a section in the source domain"),
        ("target", 3, "training clips of a section in the target domain"),
        ("test", 100, "normal, and as many anomalous, test clips per section and domain"),
        ("seed", 0, "same seed, same bytes"),
    ):
        parser.add_argument(f"--{name}", type=int, default=count, help=f"{text} (%(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="processes (one per core)")
    parser.set_defaults(command=simulate_factory)


def machine_names(text: str) -> list[str]:
    """A comma-separated list of machines."""
    names = text.split(",")
    for name in names:
        if name not in MACHINES:
            raise argparse.ArgumentTypeError(f"{name}: no such machine.{nearest(name, MACHINES)}")
    return names


def add_score(parser: argparse.ArgumentParser) -> None:
    """Options of `asd score`."""
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="outputs/<name>/<machine>/<run>/<phase>")
    parser.add_argument("clips", type=Path, nargs="+", metavar="clip.wav")
    parser.add_argument("--section", type=int, help="of all the recordings; else read from their names")
    parser.add_argument("--scorer", default="cosine", help="whose settings to use (%(default)s)")
    parser.add_argument("--json", action="store_true", help="also the pieces and the nearest training clips")
    parser.set_defaults(command=score_recordings)


def simulate_factory(options: argparse.Namespace) -> int:
    """Makes a data set with the layout, names and domain shift of the real one."""
    from asd.data.simulate import simulate

    sizes = {key: getattr(options, key) for key in ("sections", "source", "target", "test", "seed", "workers")}
    simulate(options.root, machines=options.machines, **sizes)
    return 0


def score_recordings(options: argparse.Namespace) -> int:
    """Scores recordings with a finished, evaluated run: higher is more anomalous."""
    from asd import load_run

    run = load_run(options.run, scorer=options.scorer)
    scores = {str(path): run.score(path, options.section) for path in options.clips}
    if options.json:
        print(json.dumps({path: plain(asdict(score)) for path, score in scores.items()}, indent=2))
    else:
        for path, score in scores.items():
            print(f"{score.score!r}\t{path}")
    return 0


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Arrays as lists, for JSON."""
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in values.items()}
