"""The rows of our own runs of the two baselines of Table 2."""

from pathlib import Path
from typing import NamedTuple

from asd.config.schema import EvaluateConfig
from asd.methods.method import build_method, config_of
from asd.runs.folder import RunFolder, find_runs
from asd.runs.manifest import is_done, read_manifest


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


def scored_baselines(config: EvaluateConfig) -> list[ScoredBaseline]:
    """The baselines under a name that were scored as the configuration of evaluate.py says."""
    found = []
    for run in find_runs(config.name):
        if not is_done(run):
            continue
        method = build_method(config_of(run, config.trust))
        if method.IN_ENSEMBLES:
            continue
        scorer = method.scorer(config)
        folder = run.scores(scorer.name)
        if read_manifest(folder / "manifest.json") is not None:
            how = [scorer.settings["formula"]] if scorer.settings else []
            found.append(ScoredBaseline(run, folder / "scores.csv", ", ".join([method.TITLE, *how])))
    return found
