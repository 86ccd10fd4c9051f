"""What was measured under one name, as data: systems with their metrics, the rule of each machine, remarks."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from asd.report.published import REPORT_DATA
from asd.scoring.metrics import RULE_TEXT, MetricRow, Rule, machine_row, official_score
from asd.system.printable import one_line
from asd.system.reading import read_json, shaped

VERSION = 1  # of results.json
NAME = "results.json"


@dataclass(frozen=True)
class System:
    """One line of the table.

    Attributes:
        name: `<network>-<input>-s<seed>/<phase>` of a run, `submission1` … `submission4`, or the reference's name.
        kind: Whether it is one run, an ensemble of runs, or a reference that learns nothing.
        rows: Its metrics on every machine.
        notes: What a reader must know, by machine.
        model: Network and input of a run, without its seed.
        seed: Of a run.
        phase: Of a run.
    """

    name: str
    kind: Literal["run", "ensemble", "reference"]
    rows: list[MetricRow] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    model: str = ""
    seed: int | None = None
    phase: str = ""

    @property
    def note(self) -> str:
        """The notes of its machines: one if they agree."""
        distinct = {note for note in self.notes.values() if note}
        if len(distinct) <= 1:
            return "".join(distinct)
        return "; ".join(f"{machine}: {note}" for machine, note in self.notes.items() if note)

    def of_machine(self, machine: str) -> list[MetricRow]:
        """Its metrics on one machine."""
        return [row for row in self.rows if row.machine == machine]


@dataclass(frozen=True)
class Results:
    """Everything that was measured under one name.

    Attributes:
        data: The names of the data sets, `data=…`.
        rules: The metric rule of each machine.
        editions: The edition of each machine's data.
        systems: Single runs, ensembles, references.
        remarks: Sentences that belong below every table.
    """

    data: list[str]
    rules: dict[str, Rule]
    editions: dict[str, str]
    systems: list[System]
    remarks: list[str]

    @property
    def machines(self) -> list[str]:
        """The machines that some system has figures for."""
        return sorted({row.machine for system in self.systems for row in system.rows})

    @property
    def is_report_data(self) -> bool:
        """Whether the report's own rows were measured on the same data."""
        return self.data == [REPORT_DATA]

    @property
    def is_2021(self) -> bool:
        """Whether Table 2 is about data of this kind at all."""
        return set(self.editions.values()) == {"2021"}

    def figures(self, system: System) -> dict[str, tuple[float, float]]:
        """A system's (AUC, pAUC) on each machine in percent: the means of the machine's rule."""
        pairs = {machine: system.of_machine(machine) for machine in self.machines}
        means = {machine: machine_row(rows, self.rules[machine]) for machine, rows in pairs.items() if rows}
        return {machine: (100 * auc, 100 * pauc) for machine, (auc, pauc) in means.items()}

    def official_score(self, system: System) -> float | None:
        """Harmonic mean of all AUC and pAUC values in percent; None where the rule has no such score."""
        if not system.rows or "2020" in self.rules.values():
            return None
        return 100 * official_score(system.rows)

    def machine_score(self, system: System, machine: str) -> float | None:
        """Harmonic mean of a system's AUC and pAUC values on one machine, as a fraction; None without any."""
        rows = system.of_machine(machine)
        return official_score(rows) if rows else None

    def about(self) -> list[str]:
        """What the figures were measured on, by which rule, and what a reader must know."""
        relation = "the report's data" if self.is_report_data else "other data than the report's"
        data = f"Data: {', '.join(self.data)}, {relation}."
        return [data, *(f"Metrics: {text}." for text in self.rule_texts()), *self.remarks]

    def rule_texts(self) -> list[str]:
        """Each rule in words; with its machines where there are several."""
        kinds = sorted(set(self.rules.values()))
        if len(kinds) == 1:
            return [RULE_TEXT[kinds[0]]]
        of = {kind: ", ".join(m for m, rule in sorted(self.rules.items()) if rule == kind) for kind in kinds}
        return [f"{of[kind]}: {RULE_TEXT[kind]}" for kind in kinds]


def as_json(results: Results) -> dict[str, Any]:
    """The content of results.json."""
    return {"version": VERSION, **asdict(results)}


def read_results(folder: Path) -> Results:
    """Reads results.json.

    Raises:
        ValueError: There is none, or it is damaged or of another version.
    """
    path = folder / NAME
    remedy = f"python evaluate.py name={folder.parent.name} makes it"
    if not path.is_file():
        raise ValueError(f"{folder.parent}: not evaluated yet, there is no {path.name}; {remedy}")
    try:
        content = read_json(path, dict[str, Any])
        if content.get("version") != VERSION:
            raise ValueError(f"{path}: not version {VERSION} of the results")
        found = shaped(content, Results, str(path))
        if unknown := [machine for machine in found.machines if machine not in found.rules]:
            raise ValueError(f"{path}: rows of {one_line(unknown[0])}, for which it has no rule")
        return found
    except ValueError as error:
        raise ValueError(f"{error}; {remedy} anew") from None
