"""`asd leaderboard`: what each system of several grids is worth."""

import argparse
from pathlib import Path


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = commands.add_parser("leaderboard", help="all finished runs over seeds", description=leaderboard.__doc__)
    parser.add_argument("grids", nargs="+", metavar="outputs/NAME", help="grids whose runs were evaluated")
    parser.add_argument("--output", type=Path, metavar="FILE", help="Markdown whose marked part is replaced (print)")
    parser.set_defaults(command=leaderboard)


def leaderboard(options: argparse.Namespace) -> int:
    """Tables of every finished run with each of its scorers, by data set and machine: mean ± deviation over seeds."""
    from asd.report.leaderboard import leaderboard as tables_of
    from asd.report.leaderboard import measurements, write_between
    from asd.runs.folder import grid_names

    tables = tables_of(one for grid in grid_names(options.grids) for one in measurements(grid))
    if options.output is None:
        print(tables)
    else:
        write_between(options.output, tables)
        print(f"{options.output}: written")
    return 0
