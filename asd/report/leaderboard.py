"""What each system is worth: every finished run of several grids, with each of its scorers, over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd.report.results import NAME, read_results
from asd.report.scored import ScoredRun, Scoring
from asd.report.table import NOTHING, markdown_cell
from asd.runs.folder import OUTPUTS, RunFolder, find_runs
from asd.runs.manifest import is_done, read_manifest
from asd.runs.record import read_record
from asd.runs.recorded import RecordedConfig
from asd.scoring.metrics import MetricRow, Rule, machine_row, official_score
from asd.system.files import write_text
from asd.system.reading import read_text

BEGIN, END = "<!-- asd leaderboard: begin -->", "<!-- asd leaderboard: end -->"
HEAD = (
    "system", "scorer", "source", "target", "all", "official score", "seeds", "steps",
    "seconds", "weights", "commit",
)  # fmt: skip

Pair = tuple[float, float]


@dataclass(frozen=True)
class Measurement:
    """One run, or one ensemble, on one machine.

    Attributes:
        data: Name of the data set.
        machine: The machine.
        system: Grid, network and input, phase.
        scorer: Of the run; empty for an ensemble.
        rows: Its metrics.
        rule: Of the metrics.
        seed: Of the run; None for an ensemble.
        steps: Of its training.
        seconds: Of its training.
        n_weights: Of its network; None where the run is older than this fact.
        commit: That trained and scored it; empty where it is not known.
    """

    data: str
    machine: str
    system: str
    scorer: str
    rows: Sequence[MetricRow]
    rule: Rule
    seed: int | None = None
    steps: int | None = None
    seconds: float | None = None
    n_weights: int | None = None
    commit: str = ""

    def mean(self, domain: str | None) -> Pair | None:
        """(AUC, pAUC) in percent over the sections of a domain, or over all rows; None where it has no such figures."""
        rows = [row for row in self.rows if domain in (None, row.domain)]
        if not any(row.auc is not None for row in rows) or not any(row.pauc is not None for row in rows):
            return None
        auc, pauc = machine_row(rows, self.rule)
        return 100 * auc, 100 * pauc


def measurements(grid: str) -> list[Measurement]:
    """Everything that was scored under a name; an ensemble that is one of the runs alone is left out.

    Raises:
        ValueError: Nothing was.
    """
    runs = [run for run in find_runs(grid) if is_done(run)]
    found = [one for run in runs for one in of_run(grid, run)]
    if not found:
        raise ValueError(f"{OUTPUTS / grid}: no finished run has scores; python evaluate.py name={grid} makes them")
    if (OUTPUTS / grid / "results" / NAME).is_file():
        single = [(one.machine, list(one.rows)) for one in found]
        found += [one for one in of_ensembles(grid) if (one.machine, list(one.rows)) not in single]
    return found


def of_run(grid: str, run: RunFolder) -> list[Measurement]:
    """A finished run with each scorer whose scores verify and have labels."""
    config, trained, record = RecordedConfig.read(run), read_manifest(run.manifest) or {}, read_record(run)
    found = []
    for folder in sorted(run.scores("any").parent.glob("*/")):
        scored = ScoredRun(run, config, folder, Scoring(folder.name))
        manifest = read_manifest(folder / "manifest.json")
        if manifest is None or not scored.rows:
            continue
        commits = dict.fromkeys(filter(None, (trained.get("commit"), manifest.get("commit"))))
        found.append(
            Measurement(
                config.data.name,
                run.machine,
                f"{grid}/{scored.model}/{run.phase}",
                folder.name,
                scored.rows,
                scored.rule,
                scored.seed,
                trained.get("last_epoch", {}).get("step", 0),
                sum(line.get("seconds", 0.0) for line in record),
                trained.get("n_weights"),
                ", ".join(commits),
            )
        )
    return found


def of_ensembles(grid: str) -> list[Measurement]:
    """The ensembles and the reference of a grid's results, as evaluate.py made them last; those of one run too."""
    results = read_results(OUTPUTS / grid / "results")
    return [
        Measurement(
            ", ".join(results.data),
            machine,
            f"{grid}/{system.name}" + (f" ({note})" if (note := system.notes.get(machine)) else ""),
            "",
            system.of_machine(machine),
            results.rules[machine],
        )
        for system in results.systems
        if system.kind != "run"
        for machine in sorted({row.machine for row in system.rows})
    ]


def leaderboard(found: Iterable[Measurement]) -> str:
    """A table for each data set and machine, the best official score first, as Markdown."""
    tables: dict[tuple[str, str], dict[tuple[str, str], list[Measurement]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        tables[one.data, one.machine][one.system, one.scorer].append(one)
    return "\n\n".join(
        f"### {markdown_cell(machine)} (data={markdown_cell(data)})\n\n{markdown(systems.values())}"
        for (data, machine), systems in sorted(tables.items())
    )


def markdown(systems: Iterable[Sequence[Measurement]]) -> str:
    """One line for each system, whose measurements are those of its seeds."""
    ordered = sorted(systems, key=lambda seeds: -float(np.mean([official_score(one.rows) for one in seeds])))
    lines = [HEAD, ("---", "---", *["---:"] * (len(HEAD) - 2)), *map(cells, ordered)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def cells(seeds: Sequence[Measurement]) -> tuple[str, ...]:
    """The cells of a system's line."""
    first = seeds[0]
    return (
        markdown_cell(first.system),
        markdown_cell(first.scorer) or NOTHING,
        *(pair([one.mean(domain) for one in seeds]) for domain in ("source", "target", None)),
        spread([100 * official_score(one.rows) for one in seeds]) if first.rule != "2020" else NOTHING,
        ", ".join(str(one.seed) for one in seeds if one.seed is not None) or NOTHING,
        *(
            spread([value for one in seeds if (value := getattr(one, name)) is not None], 0)
            for name in ("steps", "seconds")
        ),
        NOTHING if first.n_weights is None else f"{first.n_weights / 1e6:.2f} M",
        ", ".join(dict.fromkeys(one.commit for one in seeds if one.commit)) or NOTHING,
    )


def pair(values: Sequence[Pair | None]) -> str:
    """AUC / pAUC over seeds."""
    known = [value for value in values if value is not None]
    return " / ".join(spread(column) for column in zip(*known, strict=True)) if known else NOTHING


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The mean, and where they differ their standard deviation."""
    if not values:
        return NOTHING
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(set(values)) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def write_between(path: Path, table: str) -> None:
    """Puts the tables between the marks of a document, or makes one that has nothing else.

    Raises:
        ValueError: There is a document without the marks.
    """
    text = read_text(path) if path.exists() else f"{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path}: put a line {BEGIN} and a line {END} where the tables belong, or name a new file")
    write_text(path, f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")
