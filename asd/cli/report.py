"""`asd report`: the page of a grid, and two grids side by side."""

import argparse
from pathlib import Path

USAGE = "asd report outputs/NAME [options]\n       asd report compare outputs/A outputs/B"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = commands.add_parser("report", help="a page of results to open", description=report.__doc__, usage=USAGE)
    parser.add_argument("what", nargs="+", metavar="outputs/NAME", help="a grid; or: compare outputs/A outputs/B")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where the recordings lie, if they moved")
    parser.add_argument(
        "--media-mb",
        type=float,
        default=100.0,
        metavar="MB",
        help="that recordings and spectrograms may take; 0: none (%(default)g)",
    )
    parser.add_argument("--scorer", default="cosine", help="whose scores to show (%(default)s)")
    parser.set_defaults(command=report)


def report(options: argparse.Namespace) -> int:
    """Makes a page of a grid's results, which opens from disk, and the same tables as Markdown.

    Raises:
        ValueError: Not one grid, nor `compare` and two.
    """
    first, *others = options.what
    if first == "compare" and len(others) == 2:
        from asd.report.page.compare import write_comparison

        text, page = write_comparison(*(Path(other) for other in others), scorer=options.scorer)
        print(f"{text}\n{page}: open it in a browser")
        return 0
    if others or first == "compare":
        raise ValueError(f"{' '.join(options.what)}: give one grid, or two behind compare\nusage: {USAGE}")
    from asd.report.page.render import write_report

    page = write_report(Path(first), data=options.data, media_mb=options.media_mb, scorer=options.scorer)
    print(f"{page}: open it in a browser; the same tables for a pull request: {page.with_name('report.md')}")
    return 0
