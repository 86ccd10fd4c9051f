"""The official result.csv of each edition, and the same figures for a terminal."""

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from asd.dcase.official import Evaluation, OfficialRow, means
from asd.scoring.metrics import Rule
from asd.system import tables
from asd.system.files import csv_text

CsvRow = list[object]

FIGURES = ["AUC", "pAUC", "precision", "recall", "F1 score"]
DOMAINS = ("source", "target")
ALL = "over all machine types, sections, and domains"


def result_csv(evaluation: Evaluation) -> str:
    """The official evaluator's result.csv: its lines, its order, full precision.

    From 2022 on its means per machine over the source and over the target domain take the wrong sections, and it adds a
    confidence interval that is no figure of the task: the means are the right ones here, the interval is left out.
    """
    lines: list[CsvRow] = []
    machines: dict[str, list[OfficialRow]] = {}
    for row in evaluation.rows:
        machines.setdefault(row.machine, []).append(row)
    for machine, rows in machines.items():
        lines += [[machine], *_MACHINE_LINES[evaluation.rule](rows), []]
    if evaluation.rule != "2020":
        lines += [["", "", *FIGURES], *_mean_lines(evaluation.rows, evaluation.rule, f" {ALL}"), []]
    if evaluation.rule == "2022":
        lines.append(["official score", "", str(evaluation.official_score)])
    return csv_text(lines)


def text_table(evaluation: Evaluation) -> str:
    """The figures in percent, one line per section and domain, and their means."""
    header = ["machine", "section", "domain", "normal", "anomaly", *FIGURES]
    lines = [header, *map(_text_row, evaluation.rows)]
    if len({row.machine for row in evaluation.rows}) > 1:
        for machine in dict.fromkeys(row.machine for row in evaluation.rows):
            lines += _text_means([row for row in evaluation.rows if row.machine == machine], machine)
    lines += _text_means(evaluation.rows, "all")
    score = evaluation.official_score
    ending = "edition 2020 ranks teams and has no official score" if score is None else f"official score {score:.6f}"
    return f"{tables.text_table(lines, '>' * len(header))}\n{ending}\n"


def _lines_2020(rows: Sequence[OfficialRow]) -> list[CsvRow]:
    average = means(rows)[0][:2].tolist()
    lines: list[CsvRow] = [[f"{row.section:02d}", row.auc, row.pauc] for row in rows]
    return [["id", *FIGURES[:2]], *lines, ["Average", *average]]


def _lines_2021(rows: Sequence[OfficialRow]) -> list[CsvRow]:
    lines: list[CsvRow] = [[f"{row.section:02d}", row.domain, *_figures(row)] for row in rows]
    return [["section", "domain", *FIGURES], *lines, *_mean_lines(rows, "2021")]


def _lines_2022(rows: Sequence[OfficialRow]) -> list[CsvRow]:
    columns = ["AUC (all)", *(f"AUC ({domain})" for domain in DOMAINS), "pAUC"]
    columns += [f"{figure} ({domain})" for figure in FIGURES[2:] for domain in DOMAINS]
    lines: list[CsvRow] = []
    for section in sorted({row.section for row in rows}):
        source, target = (next(row for row in rows if (row.section, row.domain) == (section, d)) for d in DOMAINS)
        pairs = [(source.precision, target.precision), (source.recall, target.recall), (source.f1, target.f1)]
        values = [source.auc_all, source.auc, target.auc, source.pauc, *(value for pair in pairs for value in pair)]
        lines.append([f"{section:02d}", *("" if value is None else value for value in values)])
    return [["section", *columns], *lines, ["", "", *FIGURES], *_mean_lines(rows, "2022")]


_MACHINE_LINES: dict[Rule, Callable[[Sequence[OfficialRow]], list[CsvRow]]] = {
    "2020": _lines_2020,
    "2021": _lines_2021,
    "2022": _lines_2022,
}


def _figures(row: OfficialRow) -> CsvRow:
    values = (row.auc, row.pauc, row.precision, row.recall, row.f1)
    return ["" if value is None else value for value in values]


def _mean_lines(rows: Sequence[OfficialRow], rule: Rule, over: str = "") -> list[CsvRow]:
    """Arithmetic and harmonic means; from 2022 on the harmonic ones of each domain too."""
    arithmetic, harmonic = means(rows)
    lines: list[CsvRow] = [["arithmetic mean" + over, "", *_known(arithmetic)]]
    lines.append(["harmonic mean" + over, "", *_known(harmonic)])
    if rule == "2022":
        for domain in DOMAINS:
            of_domain = means([row for row in rows if row.domain == domain])[1]
            lines.append([f"{domain} harmonic mean{over}", "", *_known(of_domain)])
    return lines


def _known(values: Iterable[float]) -> CsvRow:
    return ["" if np.isnan(value) else float(value) for value in values]


def _text_row(row: OfficialRow) -> list[str]:
    head = [row.machine, f"{row.section:02d}", row.domain, str(row.n_normal), str(row.n_anomaly)]
    return head + [_percent(value) for value in (row.auc, row.pauc, row.precision, row.recall, row.f1)]


def _text_means(rows: Collection[OfficialRow], machine: str) -> list[list[str]]:
    counts = [str(sum(row.n_normal for row in rows)), str(sum(row.n_anomaly for row in rows))]
    kinds = zip(("arithmetic", "harmonic"), means(rows), strict=True)
    return [[machine, "mean", kind, *counts, *map(_percent, values)] for kind, values in kinds]


def _percent(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{100 * value:.2f}"
