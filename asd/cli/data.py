"""`asd data …`: make, fetch and check data sets."""

import argparse
import json
from pathlib import Path
from typing import Any

from asd.config.messages import nearest
from asd.data.clips import MACHINES
from asd.dcase.editions import EDITIONS, PARTS, edition_of
from asd.system.progress import say


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its subcommands."""
    data = commands.add_parser("data", help="describe, check, make or fetch recordings").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add_simulate(data.add_parser("simulate", help="make a simulated factory", description=simulate_factory.__doc__))
    add_get(data.add_parser("get", help="fetch an official data set", description=get_edition.__doc__))
    add_describe(data.add_parser("describe", help="what recordings are there", description=describe_folder.__doc__))
    add_check(data.add_parser("check", help="look at every file of a data set", description=check_folder.__doc__))


def add_simulate(parser: argparse.ArgumentParser) -> None:
    """Options of `asd data simulate`."""
    parser.add_argument("--root", type=Path, required=True, help="folder to make; nothing in it is overwritten")
    parser.add_argument("--machines", type=machine_names, default=list(MACHINES), help="such as fan,pump (all seven)")
    for name, count, text in (
        ("source", 1000, "training clips of a section in the source domain"),
        ("target", 3, "training clips of a section in the target domain"),
        ("test", 100, "normal, and as many anomalous, test clips per section and domain"),
        ("seed", 0, "same seed, same bytes"),
    ):
        parser.add_argument(f"--{name}", type=int, default=count, help=f"{text} (%(default)s)")
    parser.add_argument("--sections", type=int, help="sections of a machine (6; 1 from 2023 on)")
    parser.add_argument("--edition", default="2021", help="whose layout and names, 2020 to 2026 (%(default)s)")
    parser.add_argument("--nearness", type=float, default=0.0, metavar="DB", help="dB that the machine is louder (0)")
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
    """Makes a data set with the layout, names and domain shift of a real one."""
    from asd.simulator.dataset import FIRST_SHOT, simulate

    sizes = {
        key: getattr(options, key) for key in ("source", "target", "test", "seed", "edition", "nearness", "workers")
    }
    n_sections = 1 if options.edition in FIRST_SHOT else 6
    n_sections = n_sections if options.sections is None else options.sections
    simulate(options.root, machines=options.machines, sections=n_sections, **sizes)
    return 0


def add_get(parser: argparse.ArgumentParser) -> None:
    """Options of `asd data get`."""
    parser.add_argument("--edition", type=int, default=2021, help=f"one of {', '.join(map(str, EDITIONS))} (2021)")
    parser.add_argument("--machine", nargs="+", default=[], metavar="NAME", help="such as fan pump (all)")
    parser.add_argument("--part", default="dev,additional,evaluation", help=f"of {','.join(PARTS)} (%(default)s)")
    parser.add_argument("--root", type=Path, required=True, help="folder that will hold dev_data and eval_data")
    parser.add_argument("--mirror", default="", help="URL or folder with the paths of the official server")
    parser.add_argument("--keep-archives", action="store_true", help="leave the archives in ROOT/.archives")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would take")
    parser.set_defaults(command=get_edition)


def get_edition(options: argparse.Namespace) -> int:
    """Downloads, verifies and unpacks the official archives; typed again, it goes on where it was."""
    from asd.dcase.download import get

    machines = [name for words in options.machine for name in words.split(",")]
    get(
        edition_of(options.edition),
        options.part.split(","),
        machines,
        options.root,
        mirror=options.mirror,
        keep_archives=options.keep_archives,
        dry_run=options.dry_run,
    )
    return 0


def add_check(parser: argparse.ArgumentParser) -> None:
    """Options of `asd data check`."""
    parser.add_argument("root", type=Path, metavar="DIR", help="folder of recordings, or a table of them")
    editions = ", ".join(map(str, EDITIONS))
    parser.add_argument("--edition", type=int, help=f"one of {editions}: is it whole? (none: can it be trained on?)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every finding to this file")
    parser.add_argument("--partial", action="store_true", help="missing clips are a note, not a problem")
    parser.add_argument("--workers", type=int, default=None, help="processes (one per core)")
    parser.set_defaults(command=check_folder)


def check_folder(options: argparse.Namespace) -> int:
    """Reads every file as training would, or compares it with an edition; exit code 1 where there are problems."""
    from asd.dcase.check import check, summary

    edition = edition_of(options.edition) if options.edition else None
    report = check(options.root, edition, partial=options.partial, workers=options.workers)
    print(summary(report))
    if options.json:
        from asd.system.files import write_json

        write_json(options.json, report.as_json())
    return 1 if report.problems else 0


def add_describe(parser: argparse.ArgumentParser) -> None:
    """Options of `asd data describe`."""
    parser.add_argument("root", type=Path, metavar="DIR", help="folder of recordings, or a table of them")
    parser.add_argument(
        "options", nargs="*", metavar="KEY=VALUE", help="as train.py takes them: data.reader.levels=[machine,section]"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON, every file left out included")
    parser.add_argument("--table", type=Path, metavar="FILE", help="also write a table (CSV) of the clips, to edit")
    parser.set_defaults(command=describe_folder)


def describe_folder(options: argparse.Namespace) -> int:
    """Says which reader fits, what it makes of the recordings, how they sound, and what to type."""
    from asd.data.readers.describe import describe
    from asd.data.readers.table import write_table

    found = describe(options.root, reader_options(options.options))
    print(json.dumps(found.as_json(), indent=2, ensure_ascii=False) if options.json else found)
    if options.table:
        write_table(options.table, found.readings, found.root)
        say(f"{options.table} written; train on it by data=table data.table={options.table}")
    return 0 if found.readings else 1


def reader_options(words: list[str]) -> dict[str, Any]:
    """Options of a reader from words such as data.reader.levels=[machine,section].

    Raises:
        ValueError: A word is none such.
    """
    from asd.config.compose import parse
    from asd.config.overrides import as_text

    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        *above, last = names = key.removeprefix("data.").removeprefix("reader.").split(".")
        if not equals or not last or "" in above:
            raise ValueError(f"{word}: give keys and values such as data.reader.levels=[machine,section]")
        (override,) = parse([as_text(f"data.reader.{'.'.join(names)}={value}")])
        place = found
        for name in above:
            place = place.setdefault(name, {})
        place[last] = override.value()
    return found
