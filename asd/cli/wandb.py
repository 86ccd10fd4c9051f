"""`asd wandb …`: runs and results on Weights & Biases, from what lies on disk."""

import argparse
import os
import sys

from asd.runs.folder import OUTPUTS, grid_names


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its subcommand."""
    wandb = commands.add_parser("wandb", help="runs and results on W&B").add_subparsers(
        required=True, metavar="COMMAND"
    )
    parser = wandb.add_parser("sync", help="send what lies on disk", description=sync_grids.__doc__)
    parser.add_argument("grids", nargs="*", metavar="outputs/NAME", help="(all)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--offline", action="store_true", help="record on disk instead of sending")
    where.add_argument("--dry-run", action="store_true", help="only list what would be sent")
    parser.add_argument("--project", help="instead of the one in each run's configuration")
    parser.add_argument("--entity", help="user or team, instead of the one in each run's configuration")
    parser.add_argument("--clips-mb", type=float, help="megabytes of worst errors to listen to, for each evaluation")
    parser.set_defaults(command=sync_grids)


def sync_grids(options: argparse.Namespace) -> int:
    """Rebuilds W&B runs from metrics.jsonl and scores: complete, each epoch once, whatever W&B has of them."""
    from asd.report.wandb.runs import choose_mode
    from asd.report.wandb.sync import sync

    names = grid_names(options.grids) or all_grids()
    mode = "offline" if options.offline else "online"
    if not options.dry_run and mode == "online" and choose_mode("auto") != "online":
        if said := os.environ.get("WANDB_MODE"):
            raise ValueError(f"WANDB_MODE={said} keeps all from being sent: unset it, or record with --offline")
        raise ValueError("nothing can be sent without a W&B account: wandb login first, or record with --offline")
    asked = {key: getattr(options, key) for key in ("project", "entity", "clips_mb")}
    failures = sync(names, {**asked, "mode": mode}, dry_run=options.dry_run)
    if failures:
        print(f"{len(failures)} could not be sent:", file=sys.stderr)
        for name, why in failures.items():
            print(f"  {name}: {why}", file=sys.stderr)
    return int(bool(failures))


def all_grids() -> list[str]:
    """The names of all grids.

    Raises:
        ValueError: There are none.
    """
    names = sorted({path.parents[3].name for path in OUTPUTS.glob("*/*/*/*/config.yaml")})
    if not names:
        raise ValueError(f"no runs in {OUTPUTS.absolute()}: change to the folder that train.py was started in")
    return names
