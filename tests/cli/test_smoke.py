"""Every backbone × input × freeze strategy through both phases and evaluation, in one process."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from asd.evaluation import evaluate
from asd.experiment import train
from asd.runs.folder import find_runs
from asd.runs.manifest import is_done
from tests.support.factory import make_machine
from tests.support.jobs import compose

BACKBONES = ["mobilefacenet", "resnet50", "efficientnet_b0"]
INPUTS = ["1024x32", "512x32"]
FREEZES = ["none", "until_last_block", "backbone", "arcface"]


def sweep(freezes: Mapping[tuple[str, str], Sequence[str]]) -> None:
    """Runs a grid at smoke size, on clips of a second and a half, and looks at what it leaves.

    Args:
        freezes: The strategies by which each backbone and input is fine-tuned.
    """
    make_machine(Path("data"), source=5, target=2, test=1)  # enough pieces for K = 10
    smoke = ["experiment=smoke", "data=folder", "data.root=data", "machine=fan", "trainer.max_steps=1"]
    smoke += ["batch_size=4", "progress=false"]
    for (backbone, shape), strategies in freezes.items():
        one = [*smoke, f"backbone={backbone}", f"input={shape}"]
        train(compose("train", *one))
        for freeze in strategies:
            train(compose("finetune", *one, f"freeze={freeze}"))
    evaluate(compose("evaluate", "name=smoke", "progress=false"))
    runs = find_runs("smoke")
    assert len(runs) == sum(1 + len(strategies) for strategies in freezes.values())
    assert all(is_done(run) and (run.scores("cosine") / "scores.csv").is_file() for run in runs)
    table = Path("outputs/smoke/results/table2.csv").read_text()
    assert all(run.system in table for run in runs)


PAIRS = list(itertools.product(BACKBONES, INPUTS))


@pytest.mark.slow
def test_all_combinations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep(dict.fromkeys(PAIRS, FREEZES))


@pytest.mark.slow
@pytest.mark.ci
def test_every_pair_with_the_strategies_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep({pair: [strategy] for pair, strategy in zip(PAIRS, itertools.cycle(FREEZES), strict=False)})
