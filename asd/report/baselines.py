"""The rows of our own runs of the two baselines of Table 2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from asd.runs.folder import RunFolder, find_runs
from asd.runs.manifest import is_done, read_manifest
from asd.runs.method import TITLES, is_baseline, scorer_of


class ScoredBaseline(NamedTuple):
    """A finished baseline whose scores verify.

    Attributes:
        run: Its folder.
        scores: Its scores.csv.
        note: Which row of Table 2 it repeats, and with which formula.
    """

    run: RunFolder
    scores: Path
    note: str


def scored_baselines(config: Mapping[str, Any]) -> list[ScoredBaseline]:
    """The baselines under a name that were scored as the configuration of evaluate.py says."""
    found = []
    for run in find_runs(config["name"]):
        made_with = run.read_config()
        if not is_baseline(made_with) or not is_done(run):
            continue
        scorer = scorer_of(made_with, config)
        folder = run.scores(scorer.name)
        if read_manifest(folder / "manifest.json") is not None:
            how = [scorer.settings["formula"]] if scorer.settings else []
            found.append(ScoredBaseline(run, folder / "scores.csv", ", ".join([TITLES[made_with["method"]], *how])))
    return found
