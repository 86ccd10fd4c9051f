"""Two grids side by side: what differs between them, how far their figures lie apart, and how far seeds do."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd.report.page.folder import page_folder
from asd.report.page.load import Grid, read_grid
from asd.report.page.names import slug
from asd.report.page.render import copy_assets, templates, write
from asd.runs.manifest import differences


@dataclass(frozen=True)
class Sample:
    """A figure in percent over the seeds of one configuration.

    Attributes:
        mean: Over seeds.
        spread: Standard deviation over seeds; None with a single one.
        n_seeds: How many.
    """

    mean: float
    spread: float | None
    n_seeds: int

    @property
    def variance_of_mean(self) -> float | None:
        """Of the mean; None with a single seed."""
        return None if self.spread is None else self.spread**2 / self.n_seeds


@dataclass(frozen=True)
class Comparison:
    """One configuration on one machine in both grids.

    Attributes:
        machine: The machine.
        system: The system without its seed.
        metric: AUC or pAUC.
        first: In the first grid; None where it is not there.
        second: In the second grid.
    """

    machine: str
    system: str
    metric: str
    first: Sample | None
    second: Sample | None

    @property
    def change(self) -> float | None:
        """Mean of the second minus mean of the first, in points."""
        if self.first is None or self.second is None:
            return None
        return self.second.mean - self.first.mean

    @property
    def error(self) -> float | None:
        """Standard error of the change, from the spread over seeds; None unless both have several seeds."""
        variances = [sample and sample.variance_of_mean for sample in (self.first, self.second)]
        if any(variance is None for variance in variances):
            return None
        return float(np.sqrt(sum(variance or 0.0 for variance in variances)))

    @property
    def verdict(self) -> str:
        """Whether the change is larger than what seeds alone make."""
        if self.change is None:
            return "only in one"
        if self.error is None:
            return "spread unknown: one seed"
        return "beyond the seeds" if abs(self.change) > 2 * self.error else "within the seeds"


def write_comparison(first: Path, second: Path, *, scorer: str) -> tuple[str, Path]:
    """Makes outputs/<second>/compare-<first>/.

    Args:
        first: The grid to start from.
        second: The grid that changed something.
        scorer: Whose scores to read.

    Returns:
        The comparison as Markdown, and the page to open.

    Raises:
        ValueError: One of them is no evaluated grid, or they share nothing.
    """
    one, two = read_grid(first, scorer), read_grid(second, scorer)
    rows = compare(one, two)
    if not any(row.change is not None for row in rows):
        raise ValueError(f"{first} and {second} share no machine and system: there is nothing to compare")
    if other := [m for m, rule in one.results.rules.items() if two.results.rules.get(m, rule) != rule]:
        raise ValueError(f"{first} and {second} measured {', '.join(other)} by different rules: figures do not compare")
    environment = templates()
    environment.globals |= {"grid": two}
    content = {"first": one, "second": two, "rows": rows, "keys": changed_keys(one, two)}
    target = second / f"compare-{slug(first.name)}"
    with page_folder(target) as folder:
        write(environment, "compare.html", folder / "index.html", **content)
        write(environment, "compare.md", folder / "compare.md", **content)
        copy_assets(folder)
    return (target / "compare.md").read_text(encoding="utf-8"), target / "index.html"


def compare(first: Grid, second: Grid) -> list[Comparison]:
    """Every machine and system that one of them has figures for, by machine, system and metric."""
    ours, theirs = samples(first), samples(second)
    return [Comparison(*key, ours.get(key), theirs.get(key)) for key in sorted(ours.keys() | theirs.keys())]


def samples(grid: Grid) -> dict[tuple[str, str, str], Sample]:
    """Machine, system without its seed, and metric → its figures over seeds."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for system in grid.results.systems:
        name = f"{system.model}/{system.phase}" if system.kind == "run" else system.name
        for machine, pair in grid.results.figures(system).items():
            for metric, value in zip(("AUC", "pAUC"), pair, strict=True):
                found[machine, name, metric].append(value)
    return {key: sample(values) for key, values in found.items()}


def sample(values: list[float]) -> Sample:
    """Mean and standard deviation of the figures of several seeds."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Sample(float(np.mean(values)), spread, len(values))


def changed_keys(first: Grid, second: Grid) -> list[str]:
    """Lines «key: first → second» of what differs between runs of the same address, each once."""
    theirs = {(run.machine, run.system): run for run in second.runs}
    lines: dict[str, None] = {}
    for run in first.runs:
        other = theirs.get((run.machine, run.system))
        if other is not None:
            lines |= dict.fromkeys(differences(other.config.values, run.config.values))
    return [line for line in lines if not line.startswith("name:")]
