"""`python -m benchmarks COMMAND [--json FILE]`: measures, prints a table, keeps the figures."""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from asd.system.files import write_json
from benchmarks.hardware import hardware, versions

COMMANDS = {
    "data-path": "our batches against the usual way with librosa, and against their own Fourier transform",
    "ceiling": "a training step as a multiple of the network alone",
    "step": "memory layout, precision, compiling, allocator: the step as we set it against a plain one",
    "evaluation": "embedding and scoring, as a multiple of a plain matrix product; one clip on one core",
    "growth": "ten times the clips: decoding, first batch, memory, workers",
    "sharing": "two programs on the same cores, each with as many threads: what is left of the rate of one",
    "grid": "several models at a time on one device, and the time of the report's grid",
}
BACKBONES = ("mobilefacenet", "resnet50", "efficientnet_b0", "small")
INPUTS = ("512x32", "1024x32")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one benchmark."""
    options = build_parser().parse_args(arguments)
    module = importlib.import_module(f"benchmarks.{options.command.replace('-', '_')}")
    figures = module.measure(options)
    result = {"command": options.command, "figures": figures, "versions": versions(), "hardware": hardware()}
    if options.json:
        write_json(options.json, result)
    print_table(figures)
    print(json.dumps(result["hardware"]))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """One command and the options that all of them take."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--backbone", choices=BACKBONES, nargs="+", default=None, help="networks to measure")
        command.add_argument("--input", choices=INPUTS, nargs="+", default=None, help="inputs to measure")
        command.add_argument("--json", type=Path, metavar="FILE", help="where to keep the figures")
        command.add_argument("--rounds", type=int, default=5, help="turns that the median is taken of (%(default)s)")
        if name in ("ceiling", "step", "grid"):
            command.add_argument(
                "--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of train.py, for all networks"
            )
        command.add_argument("--tiny", action="store_true", help="sizes of a few seconds: shows that it runs, no more")
    return parser


def print_table(figures: dict[str, float | str]) -> None:
    """The figures, one a line."""
    width = max(map(len, figures))
    print()
    for name, value in figures.items():
        print(f"{name:{width}}  {value:.4g}" if isinstance(value, float) else f"{name:{width}}  {value}")


if __name__ == "__main__":
    sys.exit(main())
