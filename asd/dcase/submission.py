"""A complete submission from finished, scored runs: scores, decisions, description, one archive — and read back."""

import filecmp
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import yaml

from asd.dcase.official import Evaluation, evaluate_folder
from asd.dcase.official_files import file_name, read_values, write_values
from asd.dcase.official_truth import truth_of_names
from asd.dcase.result_csv import result_csv
from asd.dcase.submission_entries import (
    Entry,
    Order,
    choose_entries,
    edition_of_entries,
    find_missing,
    in_part,
    rule_of,
    sections_of,
)
from asd.dcase.submission_meta import Author, describe
from asd.scoring.metrics import MetricRow, Rule, scorable, section_rows
from asd.scoring.thresholds import decide
from asd.system.files import (
    is_temporary,
    make_folder,
    remove,
    remove_leftovers,
    saying_what_is_free,
    temporary_beside,
    write_bytes,
    write_json,
    write_text,
)
from asd.system.printable import some_of

EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in the archive: the same submission gives the same bytes


@dataclass(frozen=True, eq=False)
class Made:
    """A submission that is written and verified.

    Attributes:
        entries: what it consists of, by machine.
        missing: the machines and sections that it lacks.
        evaluation: the figures of its labelled clips, read back from its files; None where nobody knows any label.
        is_new: whether it was written; else it was there already.
        repaired: files of an earlier submission that were lost, or not yet written, and are written now.
    """

    entries: dict[str, Entry]
    missing: list[str]
    evaluation: Evaluation | None
    is_new: bool = True
    repaired: list[str] = field(default_factory=list)


def make_submission(order: Order, out: Path, authors: Sequence[Author] = ()) -> Made:
    """Writes a submission into a hidden folder within `out`, verifies it there, and puts its files into `out`.

    Where the same submission is already, it is left alone; files of it that a loss of power emptied, or that a kill
    or a full disk left out, are written. Nothing is left of what does not verify.

    Raises:
        ValueError: the folder holds something else, there are no such scored runs, machines or sections are missing, no
            threshold can be learnt, or what was written does not read back as what was meant.
        NoRoomError: the disk is full.
    """
    refuse_other_content(out, order)
    entries = choose_entries(order)
    year = edition_of_entries(entries)
    rule = rule_of(year)
    if not any(in_part(entry.table, order.part).any() for entry in entries.values()):
        raise ValueError(
            f"the runs of outputs/{order.name} have no test clips of the part '{order.part}': give another"
        )
    missing = list(find_missing(entries, order, year))
    if missing and not order.partial:
        raise ValueError(
            f"the submission would lack {some_of(missing)}: train and evaluate these, or give --partial to do without"
        )
    with saying_what_is_free(out), staging(out, order.label) as folder:
        is_new = not is_taken(out)
        evaluation = write_submission(folder, order, entries, authors, rule)
        written = fill(out, folder)
    return Made(entries, missing, evaluation, is_new, [] if is_new else written)


@contextmanager
def staging(out: Path, label: str) -> Iterator[Path]:
    """A hidden folder within `out`, gone afterwards; so is `out` where it is empty then.

    Those of earlier processes that were killed are removed.
    """
    make_folder(out)
    remove_leftovers(out)
    folder = temporary_beside(out / label)
    try:
        yield folder
    finally:
        remove(folder)
        with suppress(OSError):  # it holds something
            out.rmdir()


def is_taken(out: Path) -> bool:
    """Whether there is anything at a path but folders that are being written, or were when a process was killed."""
    if not out.is_dir():
        return os.path.lexists(out)
    return any(not is_temporary(path) for path in out.iterdir())


def refuse_other_content(out: Path, order: Order) -> None:
    """Raises ValueError where a folder is taken by something that is no submission of this label."""
    if is_taken(out) and not (out / order.label).is_dir():
        raise ValueError(f"{out} is there already: give another --out, or remove it")


def fill(out: Path, folder: Path) -> list[str]:
    """Writes the files of a submission that are missing or empty; gives their names.

    Args:
        out: The submission as it is.
        folder: The same submission, just written.

    Raises:
        ValueError: A file has other content.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lost = [name for name in names if not (out / name).is_file() or not any((out / name).read_bytes())]
    changed = [name for name in names if name not in lost and not filecmp.cmp(out / name, folder / name, shallow=False)]
    if changed:
        raise ValueError(
            f"{out} is there already, with other content in {some_of(changed)}: give another --out, or remove it"
        )
    for name in lost:
        write_bytes(out / name, (folder / name).read_bytes())
    return lost


def write_submission(
    folder: Path, order: Order, entries: Mapping[str, Entry], authors: Sequence[Author], rule: Rule
) -> Evaluation | None:
    """Writes all files, reads them back and compares; gives the figures of the labelled clips."""
    inner = folder / order.label
    inner.mkdir(parents=True, exist_ok=True)
    for entry in entries.values():
        for key, rows in sections_of(entry.table, order.part, rule):
            write_values(inner, "anomaly_score", key, rule, values(entry, rows))
            if rule != "2020":
                write_values(inner, "decision_result", key, rule, decisions(entry, rows))
    evaluation = verify(inner, order, entries, rule)
    meta = describe(order, entries, authors, rule)
    text = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)
    write_text(inner / f"{order.label}.meta.yaml", text)
    pack(inner, folder / f"{order.label}.zip")
    write_json(folder / "thresholds.json", {machine: asdict(entry.threshold) for machine, entry in entries.items()})
    if evaluation is not None:
        write_text(folder / "result.csv", result_csv(evaluation))
    return evaluation


def values(entry: Entry, rows: np.ndarray) -> dict[str, float]:
    """Name → score."""
    return {Path(entry.table.clip[row]).name: float(entry.table.score[row]) for row in rows}


def decisions(entry: Entry, rows: np.ndarray) -> dict[str, float]:
    """Name → 1 where the clip is taken for an anomaly, else 0."""
    found = decide(entry.table.score[rows], entry.threshold.value)
    return {Path(entry.table.clip[row]).name: int(one) for row, one in zip(rows, found, strict=True)}


def verify(folder: Path, order: Order, entries: Mapping[str, Entry], rule: Rule) -> Evaluation | None:
    """Reads the files back: every score and decision, and AUC and pAUC by the way of the official evaluation.

    Raises:
        ValueError: something differs.
    """
    problems: list[str] = []
    scores = read_values(folder, "anomaly_score", rule, None, problems)
    flags = read_values(folder, "decision_result", rule, None, problems)
    for entry in entries.values():
        for key, rows in sections_of(entry.table, order.part, rule):
            wanted = None if rule == "2020" else decisions(entry, rows)
            if scores.get(key) != values(entry, rows) or flags.get(key) != wanted:
                problems.append(f"{file_name('anomaly_score', key, rule)} or its decisions do not read back")
    if not any(truth_of_names(clips, rule) for clips in scores.values()) and not problems:
        return None
    evaluation = None if problems else evaluate_folder(folder, rule=rule, skip_unlabelled=True, partial=order.partial)
    if evaluation and not evaluation.rows:
        evaluation = None  # no section and domain has both classes
    if evaluation and sorted(evaluation.metrics, key=str) != sorted(own_metrics(order, entries, rule), key=str):
        problems.append("AUC or pAUC of the files are not those of the runs")
    if problems:
        raise ValueError("the submission does not read back as it was meant:\n  " + "\n  ".join(problems))
    return evaluation


def own_metrics(order: Order, entries: Mapping[str, Entry], rule: Rule) -> Iterator[MetricRow]:
    """AUC and pAUC straight from the scores, as metrics.csv has them."""
    for machine, entry in entries.items():
        here = in_part(entry.table, order.part)
        clips = entry.table.select(here).test_clips()
        if len(clips.name):
            yield from section_rows(machine, clips, rule=rule, only=scorable(clips, rule)[0])


def pack(folder: Path, archive: Path) -> None:
    """The archive that is handed in: task2/<label>/… as the challenge's rules of submission want it."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"task2/{folder.name}/{path.name}", date_time=EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())


def warnings(made: Made) -> Iterator[str]:
    """What whoever hands it in must know."""
    if made.missing:
        yield f"partial, without {some_of(made.missing)}"
    if any(entry.oracle for entry in made.entries.values()):
        yield "oracle: labelled test clips chose the members; submission4 and single systems are free of that"
    for machine, entry in made.entries.items():
        for warning in entry.threshold.warnings:
            yield f"{machine}: {warning}. Way out: --threshold empirical, or another --quantile"
        test = entry.table.score[entry.table.split == "test"]
        if len(test) and not decide(test, entry.threshold.value).any():
            yield f"{machine}: the threshold lies above every test score: no clip is called anomalous"
