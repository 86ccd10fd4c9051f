"""`asd dashboard`: the W&B workspace of a grid or of a run, as code."""

import argparse
from pathlib import Path

from asd.runs.folder import OUTPUTS, RunFolder, find_runs
from asd.runs.recorded import RecordedConfig


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = commands.add_parser("dashboard", help="make a W&B workspace", description=make_workspace.__doc__)
    parser.add_argument("folder", type=Path, help="outputs/NAME of a grid, or outputs/NAME/MACHINE/RUN/PHASE of a run")
    parser.add_argument("--project", help="instead of the one in the runs' configuration")
    parser.add_argument("--entity", help="user or team, instead of the one in the runs' configuration")
    parser.add_argument("--json", action="store_true", help="print the workspace instead of saving it")
    parser.set_defaults(command=make_workspace)


def make_workspace(options: argparse.Namespace) -> int:
    """Saves the panels of a grid or of a run as a view of its W&B project, and says where to open it."""
    runs = runs_in(options.folder)
    try:
        from asd.report.wandb import workspace
    except ImportError as error:
        raise ValueError(f"workspaces need one more package, pip install 'asd[dashboard]' ({error})") from None
    from asd.report.wandb.sync import destination_of

    asked = {"project": options.project, "entity": options.entity}
    destination = destination_of(RecordedConfig.read(runs[0]), asked)
    where = {"project": destination.project, "entity": destination.entity or ""}
    if RunFolder(options.folder).config.is_file():
        made = workspace.run_workspace(runs[0], **where)
    else:
        made = workspace.grid_workspace(options.folder.name, **where)
    print(workspace.as_json(made) if options.json else workspace.save(made))
    return 0


def runs_in(folder: Path) -> list[RunFolder]:
    """The run that a folder is, or those of the grid that it is.

    Raises:
        ValueError: It is neither.
    """
    run = RunFolder(folder)
    runs = [run] if run.config.is_file() else find_runs(folder.name)
    if not runs or folder.absolute() != (runs[0].path if runs == [run] else OUTPUTS / folder.name).absolute():
        raise ValueError(f"{folder}: neither a grid's folder, outputs/NAME, nor a run's below it")
    return runs
