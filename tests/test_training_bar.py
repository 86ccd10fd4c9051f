"""What a person sees of a training: steps, epoch, loss, accuracy, speed, and at the end a table."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asd.experiment import train
from asd.models.classifier import SectionClassifier
from asd.progress import be_quiet, progress
from asd.report.ending import ending_table
from asd.runs import training_bar
from asd.runs.record import read_record

Job = Callable[..., dict[str, Any]]
TITLE = "training fan/small-512x32-s0/train"


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    be_quiet(False)
    yield
    be_quiet(False)


def test_the_steps_of_all_epochs_and_the_last_figures(
    workplace: Path, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(job("train", "trainer.max_steps=4", "progress=true"))
    shown = capsys.readouterr()
    last = read_record(run)[-1]
    line = next(line for line in shown.err.splitlines() if line.startswith(TITLE))
    assert re.fullmatch(
        rf"{TITLE}: 4 steps in \d\.\d s, [\d,.]+ steps/s, "
        rf"epoch 2/2, loss {last['loss']:.3f}, accuracy {last['accuracy']:.1%}, [\d,]+ pieces/s",
        line,
    )
    head, row = shown.out.splitlines()[-2:]
    assert head.split() == ["run", "steps", "loss", "accuracy", "time", "where"]
    assert row.split()[0] == "fan/small-512x32-s0/train"
    assert row.split()[1:4] == ["4", f"{last['loss']:.4f}", f"{last['accuracy']:.1%}"]
    assert row.endswith(f"  {run.path}/")


def test_a_resumed_training_starts_where_it_was_and_a_broken_one_says_where_it_stopped(
    workplace: Path, job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = SectionClassifier.training_step

    def breaking(self: SectionClassifier, batch: Any, index: int) -> Any:
        if self.global_step == 3:
            raise RuntimeError("out of luck")
        return step(self, batch, index)

    config = job("train", "trainer.max_steps=4", "save.every_n_steps=1", "progress=true")
    monkeypatch.setattr(SectionClassifier, "training_step", breaking)
    with pytest.raises(RuntimeError):
        train(config)
    assert f"{TITLE}: stopped after 3 of 4 steps (75%)" in capsys.readouterr().err
    monkeypatch.setattr(SectionClassifier, "training_step", step)
    opened: list[int] = []

    def spy(*arguments: Any, done: int, **options: Any) -> Any:
        opened.append(done)
        return progress(*arguments, done=done, **options)

    monkeypatch.setattr(training_bar, "progress", spy)
    train(config)
    assert f"{TITLE}: 4 steps in" in capsys.readouterr().err
    assert opened == [3]


def test_no_progress_is_no_progress_and_quiet_is_silence(
    workplace: Path, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    train(job("train"))
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "2 sections" in shown.out
    be_quiet(True)
    train(job("train", "seed=1", "progress=true", "quiet=true"))
    assert capsys.readouterr() == ("", "")


def test_a_table_of_runs_has_straight_columns(workplace: Path, job: Job) -> None:
    runs = [train(job("train")), train(job("train", "seed=11"))]
    head, *rows = ending_table(runs).splitlines()
    assert len({line.index("outputs/") for line in rows} | {head.index("where")}) == 1
    accuracy_ends = head.index("accuracy") + len("accuracy")
    assert all(row[:accuracy_ends].endswith("%") for row in rows)
