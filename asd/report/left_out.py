"""What the figures do not cover: clips that were skipped, and sections without a figure. Said in every result."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from asd.runs.excluded import read_skipped
from asd.runs.folder import RunFolder
from asd.scoring.metrics import Group
from asd.system.files import write_text

N_NAMED = 3  # of what a sentence names before it refers to a file


def write_left_out(folder: Path, skipped: Mapping[tuple[str, str], str], unmeasured: Mapping[str, list[Group]]) -> str:
    """Writes skipped.csv and unmeasured.csv into a results folder, and removes those that nothing stands in any more.

    Args:
        folder: outputs/<name>/results.
        skipped: Of each machine and file that was left out: why.
        unmeasured: Of each machine, the test clips that give no AUC.

    Returns:
        A sentence for each, to stand below the table; empty where nothing is left out.
    """
    lines = [(machine, group) for machine, groups in unmeasured.items() for group in groups]
    write_rows(folder / "skipped.csv", ("machine", "clip", "why"), [(*key, why) for key, why in skipped.items()])
    columns = ("machine", *Group._fields)
    write_rows(folder / "unmeasured.csv", columns, [(machine, *group) for machine, group in lines])
    clips = [f"{clip} ({why})" for (_, clip), why in skipped.items()]
    groups = [
        f"{machine} section {group.section:02d} {group.domain} ({group.n_normal} normal, {group.n_anomaly} anomalous)"
        for machine, group in lines
    ]
    return sentence("clips were SKIPPED, unusable", clips, "skipped.csv") + sentence(
        "sections and domains have no figure, for want of normal or of anomalous test clips", groups, "unmeasured.csv"
    )


def sentence(what: str, things: list[str], file: str) -> str:
    """How many things there are, the first of them, and where all stand."""
    if not things:
        return ""
    more = f" and {len(things) - N_NAMED} more" if len(things) > N_NAMED else ""
    return f"{len(things)} {what} (all in {file}): {'; '.join(things[:N_NAMED])}{more}.\n"


def write_rows(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Writes a CSV table; without rows there is none."""
    lines = list(rows)
    if not lines:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    write_text(path, text.getvalue())


def skipped_clips(scored: Iterable[tuple[RunFolder, Path]]) -> dict[tuple[str, str], str]:
    """Of each machine and file that one of the runs' evaluations, with these folders of scores, left out: why."""
    return {(run.machine, clip): why for run, folder in scored for clip, why in read_skipped(folder).items()}
