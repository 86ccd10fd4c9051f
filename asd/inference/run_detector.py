"""A finished, evaluated run as a detector."""

import re
from collections.abc import Iterable
from pathlib import Path

import torch

from asd.config.components import WORD_PATTERN
from asd.config.schema import RunConfig
from asd.config.trust import require_trusted
from asd.inference.detector import Detector
from asd.inference.references import read_references
from asd.methods.method import Extractor, Method, ScorerChoice, build_method, config_of
from asd.runs.checkpoint import load_checkpoint
from asd.runs.folder import RunFolder
from asd.runs.manifest import is_done, read_manifest, scorer_settings
from asd.runs.scores import read_scores
from asd.system.printable import one_line


class RunDetector(Detector):
    """A finished, evaluated run as a detector.

    Args:
        run: Its folder.
        method: How it was made.
        sections: Section numbers in the order of the classes.
        extractor: Its trained network.
        choice: How it was scored.
    """

    def __init__(
        self, run: RunFolder, method: Method[RunConfig], sections: list[int], extractor: Extractor, choice: ScorerChoice
    ) -> None:
        references = read_references(choice.references(run)) if choice.keeps_references else None
        table = read_scores(run.scores(choice.name) / "scores.csv")
        super().__init__(run.machine, method, sections, extractor, choice, references, table.select(table.is_train))
        self.run = run


def load_detector(
    path: Path, *, scorer: str | None = None, device: str = "cpu", trust: Iterable[str] = ()
) -> RunDetector:
    """Loads a finished, evaluated run.

    Args:
        path: outputs/<name>/<machine>/<run>/<phase>.
        scorer: Whose settings to score with: a folder under the run's scores/. None: cosine, or the only one.
        device: Where the network computes.
        trust: Packages whose code the run may name.

    Raises:
        ValueError: The run is not finished, or not evaluated with this scorer, or names code of others; or the scorer
            is no name.
    """
    run = RunFolder(path)
    if scorer is not None and not re.fullmatch(WORD_PATTERN, scorer):
        raise ValueError(f"scorer={scorer}: give the name of a folder under {run.path / 'scores'}, such as cosine")
    if run.is_shared:
        raise ValueError(
            f"{path} is the network that machines share: give the run of one of them, {run.path.parents[2]}/<machine>/"
            f"{run.system}"
        )
    if not is_done(run):
        raise ValueError(f"{path} is no finished run: give outputs/<name>/<machine>/<run>/<phase> (train.py)")
    method = build_method(config_of(run, trust))
    choice = stored_choice(run, method, scorer, trust)
    checkpoint = load_checkpoint(run.checkpoint)
    extractor = method.extractor(checkpoint, choice, torch.device(device), 32)
    return RunDetector(run, method, checkpoint["asd"]["sections"], extractor, choice)


def stored_choice(run: RunFolder, method: Method[RunConfig], scorer: str | None, trust: Iterable[str]) -> ScorerChoice:
    """The scorer whose scores are kept in a run.

    Raises:
        ValueError: There is none, or several and none is named.
    """
    folders = sorted((run.path / "scores").glob("*/manifest.json"))
    there = {path.parent.name: manifest for path in folders if (manifest := read_manifest(path)) is not None}
    name = run.path.absolute().parents[2].name
    if not there:
        raise ValueError(f"{run.path} is not scored: python evaluate.py name={name} first")
    chosen = scorer or ("cosine" if "cosine" in there else next(iter(there)))
    if chosen not in there or (scorer is None and chosen != "cosine" and len(there) > 1):
        raise ValueError(f"{run.path} is scored with {', '.join(there)}, not with {scorer}: name one of them")
    path = run.scores(chosen) / "manifest.json"
    settings = scorer_settings(there[chosen], path)
    if "_target_" in settings:
        require_trusted(settings["_target_"], f"{path}: scorer", trust)
    try:
        choice = method.choose(chosen, settings)
        choice.build()  # here the file is known that mistakes stand in
        return choice
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: scorer: {one_line(error)}") from None
