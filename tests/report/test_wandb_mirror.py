"""The mirror of a training: what W&B records offline, and that nothing it does stops a training."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from asd.experiment import train
from asd.models.classifier import SectionClassifier
from asd.report.wandb import runs as wandb_runs
from asd.report.wandb.keys import KEYS, curve, find
from asd.report.wandb.runs import choose_mode, training_identity
from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from asd.runs.recorded import RecordedConfig
from tests.support.wandb_files import recorded

Job = Callable[..., dict[str, Any]]
STEP = "trainer/global_step"
WANDB = ("logger=wandb", "logger.wandb.mode=offline")


pytestmark = pytest.mark.usefixtures("offline_wandb")


def unreachable(**_: object) -> bool:
    raise wandb.Error("no network")


@pytest.mark.parametrize(
    ("asked", "environment", "login", "mode"),
    [
        ("offline", "online", lambda **_: True, "offline"),
        ("online", "offline", lambda **_: False, "online"),
        ("auto", "offline", lambda **_: True, "offline"),
        ("auto", "dryrun", lambda **_: True, "offline"),
        ("auto", "disabled", lambda **_: True, "disabled"),
        ("auto", "online", lambda **_: False, "online"),
        ("auto", "", lambda **_: True, "online"),
        ("auto", "", lambda **_: False, "offline"),
        ("auto", "", unreachable, "offline"),
    ],
)
def test_the_mode(
    monkeypatch: pytest.MonkeyPatch, asked: str, environment: str, login: Callable[..., bool], mode: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", environment)
    monkeypatch.setattr(wandb, "login", login)
    assert choose_mode(asked) == mode


@pytest.mark.ci
@pytest.mark.slow
def test_two_jobs_are_two_runs_with_all_their_epochs(workplace: Path, job: Job) -> None:
    configs = [job("train", *WANDB, "name=grid", "trainer.max_steps=4", f"seed={seed}") for seed in (0, 1)]
    runs = [train(config) for config in configs]
    found = {run.name: run for run in recorded(Path("outputs"))}
    assert set(found) == {"fan/small-512x32-s0/train", "fan/small-512x32-s1/train"}
    assert len({run.id for run in found.values()}) == 2
    for run in runs:
        told = found[f"{run.machine}/{run.system}"]
        assert (told.group, told.job_type, told.project, told.exit_code) == ("grid", "train", "asd", 0)
        record = read_record(run)
        assert [line[STEP] for line in told.history] == [line["step"] for line in record] == [2, 4]
        for ours, theirs in zip(record, told.history, strict=True):
            assert {curve(name): value for name, value in ours.items() if name != "step"}.items() <= theirs.items()
        assert told.config["backbone"]["name"] == told.config["backbone_name"] == "small"
        assert told.config["machine"] == "fan"
        assert told.config["system"] == run.system
        curves = {key.name for key in KEYS if key.kind == "curve" and "*" not in key.name}
        assert curves <= told.history[-1].keys()


@pytest.mark.ci
@pytest.mark.slow
def test_finetune_is_a_run_of_its_own(trained: RunFolder, job: Job) -> None:
    train(job("finetune", *WANDB, "freeze=arcface"))
    (told,) = recorded(Path("outputs"))
    assert (told.job_type, told.name) == ("finetune", "fan/small-512x32-s0/finetune-arcface")
    assert told.config["phase_name"] == "finetune-arcface"


@pytest.mark.ci
@pytest.mark.slow
def test_a_resumed_run_goes_on_and_has_every_epoch_once(
    workplace: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = SectionClassifier.training_step

    def breaking(self: SectionClassifier, batch: Any, index: int) -> Any:
        if self.global_step == 5:
            raise RuntimeError("out of luck")
        return step(self, batch, index)

    config = job("train", *WANDB, "trainer.max_steps=8", "save.every_n_steps=3")
    monkeypatch.setattr(SectionClassifier, "training_step", breaking)
    with pytest.raises(RuntimeError):
        train(config)
    (first,) = recorded(Path("outputs"))
    assert (first.exit_code, [line[STEP] for line in first.history]) == (1, [2, 4])
    monkeypatch.setattr(SectionClassifier, "training_step", step)
    train(config)
    (second,) = recorded(Path("outputs"))
    assert second.id == first.id
    assert [line[STEP] for line in second.history] == [2, 4, 6, 8]
    assert [line["train/epoch"] for line in second.history] == [0, 1, 2, 3]


@pytest.mark.ci
@pytest.mark.slow
def test_another_configuration_is_another_run(workplace: Path, job: Job) -> None:
    config = job("train")
    run = RunFolder(config.folder())

    def id_of(config: Any) -> str:
        return training_identity(run, RecordedConfig.of(config.plain())).id

    first = id_of(config)
    assert id_of(job("train", "progress=true", "logger=wandb")) == first
    assert id_of(job("train", "loss.margin=0.1")) != first
    assert id_of(job("train", "batch_size=5")) != first


def without_wandb(name: str, *rest: Any, real: Any = builtins.__import__) -> Any:
    if name == "wandb":
        raise ImportError("No module named 'wandb'")
    return real(name, *rest)


def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("W&B is\non fire")


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("place", ["init", "log", "finish", "import"])
def test_a_training_goes_on_whatever_wandb_does(
    workplace: Path, job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    with monkeypatch.context() as patch:
        if place == "import":
            patch.setattr(builtins, "__import__", without_wandb)
        else:
            patch.setattr(wandb if place == "init" else wandb.Run, place, broken)
        run = train(job("train", *WANDB, "trainer.max_steps=6"))
    assert [line["step"] for line in read_record(run)] == [2, 4, 6]
    said = capsys.readouterr().out
    assert said.count("W&B failed") == 1
    error = "ImportError: No module named 'wandb'" if place == "import" else "RuntimeError: W&B is on fire"
    assert f"W&B failed ({error}): going on without it. {run.metrics} has everything: asd wandb sync" in said


@pytest.mark.slow
@pytest.mark.ci
def test_a_disabled_wandb_leaves_nothing_and_names_no_folder(
    workplace: Path, job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    train(job("train", "logger=wandb"))
    assert recorded(Path("outputs")) == []
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B")]
    assert said == ["W&B: fan/small-512x32-s0/train is not recorded (WANDB_MODE=disabled)"]


def test_epochs_that_wandb_has_are_not_sent_again(monkeypatch: pytest.MonkeyPatch, workplace: Path, job: Job) -> None:
    sent: list[dict[str, float]] = []

    class Resumed:
        starting_step = 2
        url = "https://host/run"

        def log(self, values: dict[str, float]) -> None:
            sent.append(values)

        def define_metric(self, *_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(wandb, "init", lambda **_: Resumed())
    config = job("train", "logger=wandb", "logger.wandb.mode=online")
    who = training_identity(RunFolder(config.folder()), RecordedConfig.of(config.plain()))
    mirror = wandb_runs.WandbRun(who, wandb_runs.Destination(mode="online"), resume=True)
    for step in (10, 20, 30, 40):
        mirror.log_epoch({"loss": 1.0, "step": step})
    assert sent == [{"train/loss": 1.0, STEP: 30}, {"train/loss": 1.0, STEP: 40}]


def test_settings_are_those_that_this_wandb_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "5")
    older = type("Settings", (), {"model_fields": {"silent": None, "init_timeout": None}})
    assert wandb_runs.known_settings(older) == {"silent": True}


def test_an_id_that_is_still_in_use_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([RuntimeError("run ID abc is in use"), RuntimeError("run ID abc is in use"), "open"])

    def init(**_: object) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(wandb_runs.time, "sleep", lambda _: None)
    assert wandb_runs.retry_while_in_use(init, id="abc") == "open"
    with pytest.raises(RuntimeError, match=r"on fire"):
        wandb_runs.retry_while_in_use(broken, id="abc")


def test_every_key_has_a_line_in_the_table() -> None:
    assert find("train/loss").column == "loss"
    assert find("auc/03_target").name == "auc/*"
    with pytest.raises(KeyError, match=r"nonsense is not in the table in .*keys\.py"):
        find("nonsense")
    assert curve("loss") == "train/loss"
    assert find(curve("grad_norm")).name == "train/*"
