"""What the figures do not cover: clips that were skipped, and sections without a figure. Said in every result."""

from collections.abc import Sequence
from pathlib import Path

from asd.report.scored import ScoredRun
from asd.runs.excluded import read_skipped
from asd.scoring.metrics import Group, scorable
from asd.system.files import write_csv
from asd.system.printable import some_of

N_NAMED = 3  # of what a sentence names before it refers to a file


def write_coverage(folder: Path, runs: Sequence[ScoredRun]) -> list[str]:
    """Writes skipped.csv and unmeasured.csv into a results folder; removes what is out of date.

    Args:
        folder: outputs/<name>/results.
        runs: The scored runs.

    Returns:
        A sentence for each, to go below the table; none where everything is covered.
    """
    skipped = {(run.run.machine, clip): why for run in runs for clip, why in read_skipped(run.scores).items()}
    lacking = [(name, group) for name, run in {r.run.machine: r for r in runs}.items() for group in unmeasured(run)]
    write_rows(folder / "skipped.csv", ("machine", "clip", "why"), [(*key, why) for key, why in skipped.items()])
    columns = ("machine", *Group._fields)
    write_rows(folder / "unmeasured.csv", columns, [(machine, *group) for machine, group in lacking])
    clips = [f"{clip} ({why})" for (_, clip), why in skipped.items()]
    groups = [
        f"{machine} section {group.section:02d} {group.domain} ({group.n_normal} normal, {group.n_anomaly} anomalous)"
        for machine, group in lacking
    ]
    return [
        *sentence("clips were SKIPPED, unusable", clips, "skipped.csv"),
        *sentence(
            "sections and domains have no figure, because there are no normal or no anomalous test clips",
            groups,
            "unmeasured.csv",
        ),
    ]


def unmeasured(run: ScoredRun) -> list[Group]:
    """The sections and domains that give no AUC; where no label is known at all, every one of them."""
    complete, incomplete = scorable(run.table.test_clips(), run.rule)
    if run.rows:
        return incomplete
    if complete or incomplete:
        return sorted(complete + incomplete)
    test = run.table.select(run.table.split == "test")
    places = {(int(s), str(d)) for s, d in zip(test.section, test.domain, strict=True)}
    return [Group(section, domain, 0, 0) for section, domain in sorted(places)]


def sentence(what: str, things: list[str], file: str) -> list[str]:
    """How many things there are, the first of them, and where the others are."""
    return [f"{len(things)} {what} (all in {file}): {some_of(things, most=N_NAMED)}."] if things else []


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Writes a CSV table; without rows there is none."""
    if rows:
        write_csv(path, columns, rows)
    else:
        path.unlink(missing_ok=True)
