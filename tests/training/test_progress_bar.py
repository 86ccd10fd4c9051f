"""What a person sees of a training: steps, epoch, loss, accuracy, speed, and at the end a table."""

import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd.experiment import train
from asd.models.classifier import SectionClassifier
from asd.runs.overview import summary_table
from asd.runs.record import read_record
from asd.system.progress import be_quiet, progress
from asd.training import progress_bar as training_bar

Job = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]
TITLE = "fan/small-512x32-s0/train"


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
    head, *rows = summary_table(runs).splitlines()
    assert len({line.index("outputs/") for line in rows} | {head.index("where")}) == 1
    accuracy_ends = head.index("accuracy") + len("accuracy")
    assert all(row[:accuracy_ends].endswith("%") for row in rows)


@pytest.mark.slow
@pytest.mark.ci
def test_the_script_in_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "train.py"), "experiment=smoke", "machine=fan"]
    command = [*script, "trainer.max_steps=40"]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 160))
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = read_all(ours)
    assert process.returncode == 0
    for title in ("simulating", "decoding fan", TITLE):
        assert re.search(rf"\r{title} 100%\|█+\| \d+/\d+, 00:00 left", shown), title
    assert re.search(r"40/40.*epoch 20/20, loss [\d.]+, accuracy [\d.]+%, [\d,]+ pieces/s", shown)
    short = [*script, "trainer.max_steps=4"]
    piped = subprocess.run([*short, "seed=1"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.search(r"^fan/small-512x32-s1/train: 4 steps in [\d.]+ s, ", piped.stderr, flags=re.M)
    assert not re.search(r"[\r\x1b█]", piped.stderr + piped.stdout)
    quiet = subprocess.run([*short, "seed=2", "quiet=true"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (quiet.stdout, quiet.stderr) == ("", "")


def read_all(descriptor: int) -> str:
    """What is written to a terminal until the last writer is gone."""
    shown = b""
    try:
        while chunk := os.read(descriptor, 4096):
            shown += chunk
    except OSError:  # how Linux says so
        pass
    os.close(descriptor)
    return shown.decode()
