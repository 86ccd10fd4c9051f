"""The ground truth of test clips: the organisers' CSV files, a folder of the data set, or the clips' own names."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from asd.dcase.official_files import Key, Values, listing, parse_clip, read_values
from asd.scoring.metrics import BOTH, Rule
from asd.system.reading import read_rows

LABELS = ("normal", "anomaly")  # 0 and 1
DOMAINS = ("source", "target")  # 0 and 1
TEST_FOLDERS = ("test", "source_test", "target_test")
LIST_2020 = "eval_data_list.csv"


class Known(NamedTuple):
    """What is known of a test clip."""

    domain: str
    label: str


Truth = dict[Key, dict[str, Known]]


def read_truth(folder: Path, rule: Rule, machines: Collection[str] | None, problems: list[str]) -> Truth:
    """The ground truth in a folder.

    Args:
        folder: holds `ground_truth_*.csv`; or, at any depth, `ground_truth_data/` and (2022 and later)
            `ground_truth_domain/` as the official evaluators do; or `eval_data_list.csv` (2020); or the labelled clips
            of the data set themselves.
        rule: of the edition.
        machines: only these, if given.
        problems: gets a line for each thing that is wrong.

    Raises:
        ValueError: The folder is missing or holds nothing of this kind.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; it should hold the ground truth")
    if rule == "2020" and (folder / LIST_2020).is_file():
        truth = _listed(folder / LIST_2020, problems)
    else:
        inner = next(iter(sorted(folder.rglob("ground_truth_data"))), folder)
        labels = read_values(inner, "ground_truth", rule, machines, problems)
        truth = _with_domains(inner, labels, rule, machines, problems) if labels else _clips_in(folder, rule)
    truth = {key: clips for key, clips in truth.items() if machines is None or key.machine in machines}
    if not truth and not problems:
        raise ValueError(
            f"{folder}: no ground_truth_*.csv and no labelled clips"
            + (f" of {listing(machines)}" if machines else "")
            + "; give the organisers' folder of ground truth or the data set's"
        )
    return truth


def truth_of_names(names: Collection[str], rule: Rule, domain: str = BOTH) -> dict[str, Known] | None:
    """What the names of clips tell, if all of them tell their label."""
    known = {}
    for name in names:
        clip = parse_clip(name, rule)
        if clip.label is None or (rule != "2020" and clip.domain is None):
            return None
        known[name] = Known(domain if domain != BOTH else clip.domain or BOTH, clip.label)
    return known


def _with_domains(
    folder: Path, labels: Values, rule: Rule, machines: Collection[str] | None, problems: list[str]
) -> Truth:
    """Labels from CSV files, and the domain of each clip from its file's name, its own name or the domain's files."""
    inner = folder.with_name("ground_truth_domain")
    told = read_values(inner, "ground_truth", rule, machines, problems) if rule == "2022" and inner.is_dir() else {}
    truth: Truth = {}
    for key, clips in labels.items():
        domains = {name: DOMAINS[int(value)] for name, value in told.get(key, {}).items()}
        for name in clips:
            from_name = key.domain if rule != "2022" else parse_clip(name, rule).domain
            if from_name is not None:
                domains[name] = from_name
        if unknown := clips.keys() - domains.keys():
            problems.append(f"{key}: no domain of {listing(unknown)}; {inner} should tell it")
        truth[key] = {name: Known(domains[name], LABELS[int(clips[name])]) for name in clips if name in domains}
    return truth


def _clips_in(folder: Path, rule: Rule) -> Truth:
    """Labels and domains from the names of the test clips of a data set."""
    truth: Truth = {}
    for path in sorted(folder.rglob("*.wav")):
        if path.parent.name not in TEST_FOLDERS:
            continue
        clip = parse_clip(path.name, rule)
        if clip.label is not None:
            domain = clip.domain or BOTH
            key = Key(path.parent.parent.name, clip.section, domain if rule == "2021" else BOTH)
            truth.setdefault(key, {})[path.name] = Known(domain, clip.label)
    return truth


def _listed(path: Path, problems: list[str]) -> Truth:
    """The list of 2020: a line with a machine alone, then `name,original name,label` for each of its clips."""
    truth: Truth = {}
    machine = ""
    for line, row in enumerate(read_rows(path), start=1):
        if len(row) == 1:
            machine = row[0].strip()
        elif row:
            try:
                name, label = row[0].strip(), LABELS[("0", "1").index(row[2].strip())]
                truth.setdefault(Key(machine, parse_clip(name, "2020").section), {})[name] = Known(BOTH, label)
            except (ValueError, IndexError):
                problems.append(f"{path}, line {line}: {','.join(row)!r} is not name,original name,0 or 1")
    return truth
