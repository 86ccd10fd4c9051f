"""`asd data …`: make, fetch and check data sets."""

import argparse
from pathlib import Path

from asd.data.clips import MACHINES
from asd.rules import nearest


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its subcommands."""
    data = commands.add_parser("data", help="make or fetch data").add_subparsers(required=True, metavar="COMMAND")
    add_simulate(data.add_parser("simulate", help="make a simulated factory", description=simulate_factory.__doc__))


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


def simulate_factory(options: argparse.Namespace) -> int:
    """Makes a data set with the layout, names and domain shift of the real one."""
    from asd.data.simulate import simulate

    sizes = {key: getattr(options, key) for key in ("sections", "source", "target", "test", "seed", "workers")}
    simulate(options.root, machines=options.machines, **sizes)
    return 0
