"""`asd score`: recordings, by a finished run."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = commands.add_parser("score", help="score recordings", description=score_recordings.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="outputs/<name>/<machine>/<run>/<phase>")
    parser.add_argument("clips", type=Path, nargs="+", metavar="clip.wav")
    parser.add_argument("--section", type=int, help="of all the recordings; else read from their names")
    parser.add_argument("--scorer", help="whose settings to use (cosine; a baseline's own)")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE", help="whose code the run may name; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="also the pieces and the nearest training clips")
    parser.set_defaults(command=score_recordings)


def score_recordings(options: argparse.Namespace) -> int:
    """Scores recordings with a finished, evaluated run: higher is more anomalous."""
    from asd import load_run

    run = load_run(options.run, scorer=options.scorer, trust=options.trust)
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
