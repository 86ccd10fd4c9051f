"""skipped.csv: the files that a run left out under data.on_bad_clip=skip, and why. There is none where it used all."""

from collections.abc import Mapping
from pathlib import Path

from asd.data.clips import ClipTable
from asd.runs.folder import RunFolder
from asd.system.files import write_csv
from asd.system.printable import some_of
from asd.system.reading import read_csv

NAME = "skipped.csv"


def write_skipped(folder: Path, skipped: Mapping[str, str]) -> dict[str, Path]:
    """Writes the list, or removes an earlier one where nothing is skipped.

    Returns:
        Its name and path, for a manifest; empty where there is no list.
    """
    path = folder / NAME
    if not skipped:
        path.unlink(missing_ok=True)
        return {}
    write_csv(path, ("clip", "why"), skipped.items())
    return {NAME: path}


def read_skipped(folder: Path) -> dict[str, str]:
    """The files that were left out, and why; empty where there is no list."""
    if not (folder / NAME).is_file():
        return {}
    return {row["clip"]: row["why"] for row in read_csv(folder / NAME, ("clip", "why"))}


def keep_skipped(run: RunFolder, skipped: Mapping[str, str]) -> None:
    """Keeps the list with a run that begins, or compares it with the one of a run that goes on.

    Raises:
        ValueError: A run that goes on would go on with other clips.
    """
    if run.is_begun and set(read_skipped(run.path)) != set(skipped):
        raise ValueError(
            f"{run.path} began with other clips than can be used now: {differing(read_skipped(run.path), skipped)}. "
            f"Put the earlier files back, or give overwrite=true to train with these"
        )
    write_skipped(run.path, skipped)


def refuse_other_training(run: RunFolder, table: ClipTable, skipped: Mapping[str, str]) -> None:
    """Compares the training clips that can be used with those that a run was trained on.

    Args:
        run: A finished run.
        table: All clips whose names fit.
        skipped: The files that are left out now.

    Raises:
        ValueError: They differ.
    """
    training = set(table.path[table.is_train].tolist())
    then, now = ({clip for clip in files if clip in training} for files in (read_skipped(run.path), skipped))
    if then != now:
        raise ValueError(
            f"{run.path} was trained on other clips than can be used now: {differing(then, now)}. "
            f"Put the earlier files back, or train again"
        )


def differing(then: Mapping[str, str] | set[str], now: Mapping[str, str] | set[str]) -> str:
    """What was skipped then and is not now, and the other way round."""
    only_then, only_now = sorted(set(then) - set(now)), sorted(set(now) - set(then))
    parts = [f"no longer skipped: {some_of(only_then, rest=NAME)}" if only_then else ""]
    parts += [f"now skipped: {some_of(only_now)}" if only_now else ""]
    return "; ".join(part for part in parts if part)
