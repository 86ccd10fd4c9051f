"""What a user types: composition, the grid, and mistakes answered at once."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from asd.config import CONF
from asd.config.messages import allowed, keys_of
from asd.config.reference import reference
from asd.config.schema import RunConfig, TrainerConfig
from asd.launch.script import preflight, script

SCRIPTS = Path(__file__).parents[2]
SMOKE = ["experiment=smoke", "machine=fan"]


def composed(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> list[Any]:
    """The typed configuration of each job of a command line."""
    monkeypatch.setattr("asd.launch.script.require", lambda config, words, networks: None)
    return preflight(name, list(arguments)).configs


def test_table3_stands_in_conf(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = composed(monkeypatch, "train", "machine=fan")
    (finetune,) = composed(monkeypatch, "finetune", "machine=fan")
    (evaluate,) = composed(monkeypatch, "evaluate")
    assert config.input.sample_rate == 16_000
    assert config.input.n_fft == 2046
    assert config.input.hop_length == 512
    assert config.loss.margin == 0.05
    assert config.loss.scale == 30
    assert config.optimizer.lr == 0.05
    assert config.mixup.weight == [0.0, 0.5]
    assert config.batch_size == 48
    assert config.trainer.max_epochs == 250
    assert evaluate.scorer.n_neighbors == 10
    assert finetune.trainer.plain() == config.trainer.plain() | {"max_epochs": -1, "max_steps": 5000}
    assert finetune.optimizer == config.optimizer


def test_defaults_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = composed(monkeypatch, "train", "machine=fan")
    assert (config.name, config.seed, config.backbone.name, config.input.name) == (
        "main",
        0,
        "mobilefacenet",
        "512x32",
    )


@pytest.mark.slow
@pytest.mark.ci
def test_the_report_is_42_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = composed(monkeypatch, "train", "-m", "experiment=report")
    assert len({(j.machine, j.backbone.name, j.input.name) for j in jobs}) == 42
    assert {j.trainer.max_epochs for j in jobs} == {250}
    assert len(composed(monkeypatch, "train", "experiment=report", "machine=fan")) == 6  # -m is in the file


def test_a_sweep_as_the_user_types_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = composed(monkeypatch, "train", "-m", "machine=fan", "backbone=resnet50")
    assert job.backbone.arguments["model"] == "resnet50"
    jobs = composed(monkeypatch, "finetune", "-m", "machine=fan", "freeze=none,until_last_block,backbone,arcface")
    assert [job.freeze.parts for job in jobs] == [[], ["until_last_block"], ["backbone"], ["arcface"]]
    jobs = composed(monkeypatch, "train", "-m", "machine=fan", "loss.margin=0.05,0.2", "name=m${loss.margin}")
    assert [job.name for job in jobs] == ["m0.05", "m0.2"]


def test_a_network_brings_the_input_that_it_takes_unless_another_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = composed(monkeypatch, "train", "-m", "machine=fan", "backbone=mobilefacenet,multiresolution,aisfx")
    assert [job.input.name for job in jobs] == ["512x32", "waveform", "aisfx"]
    (job,) = composed(monkeypatch, "train", "machine=fan", "backbone=aisfx", "input=1024x32")
    assert job.input.name == "1024x32"


def every_choice() -> list[tuple[str, str]]:
    """Each file of each group of conf/, but for what others build on."""
    files = sorted(CONF.glob("*/*.yaml"))
    return [
        (path.parent.name, path.stem) for path in files if (path.parent.name, path.stem) != ("input", "spectrogram")
    ]


@pytest.mark.parametrize(("group", "choice"), every_choice())
def test_every_file_composes(monkeypatch: pytest.MonkeyPatch, group: str, choice: str) -> None:
    name = {"freeze": "finetune", "scorer": "evaluate"}.get(group, "train")
    machine = [] if name == "evaluate" else ["machine=fan"]
    assert composed(monkeypatch, name, f"{group}={choice}", "data.root=here", *machine)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["machin=fan"], r"unknown key 'machin'.* machine"),
        (["+machin=fan"], r"unknown key 'machin'.* machine"),
        (["loss.margn=0.1"], r"unknown key 'loss\.margn'.* loss\.margin"),
        (["+loss.easy=true"], r"unknown key 'loss\.easy'"),
        (["backbone=resnet5"], r"backbone=resnet5: no such choice\. Did you mean resnet50"),
        (["-m", "backbone=resnet50,resnet5"], r"backbone=resnet5: no such choice"),
        (["data=smok"], r"data=smok: no such choice"),
        (["loss.margin=-1"], r"loss\.margin=-1 is not allowed: give a number from 0 to 1\.5"),
        (["loss.margin=wide"], r"loss\.margin=wide is not allowed"),
        (["trainer.max_epochs=0"], r"trainer\.max_epochs=0 is not allowed"),
        (["seed=1.5"], r"seed=1\.5 is not allowed: give a whole number"),
        (["batch_size=true"], r"batch_size=True is not allowed"),
        (["mixup.weight=[0.5]"], r"mixup\.weight=\[0\.5\] is not allowed"),
        (["input.scale=loud"], r"input\.scale=loud .*linear, power, log"),
        (["+trainer.max_epoch=3"], r"unknown key 'trainer\.max_epoch'.*max_epochs"),
        (["optimizer.lr=nan"], r"optimizer\.lr=nan is not allowed"),
    ],
)
def test_mistakes_are_named(monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        composed(monkeypatch, "train", *SMOKE, *arguments)


def test_all_mistakes_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"(?s)seed=-1.*loss\.margin=9"):
        composed(monkeypatch, "train", *SMOKE, "loss.margin=9", "seed=-1")


def test_a_missing_machine_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"machine is missing: add machine="):
        composed(monkeypatch, "train")


def test_further_arguments_of_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = composed(monkeypatch, "train", *SMOKE, "+trainer.gradient_clip_val=1.0")
    assert config.trainer.gradient_clip_val == 1.0


def test_trainer_arguments_are_lightnings() -> None:
    import inspect

    import pytorch_lightning as pl

    assert set(TrainerConfig.model_fields) <= set(inspect.signature(pl.Trainer).parameters)


def test_what_a_key_may_hold_is_said_in_words() -> None:
    keys = keys_of(RunConfig)
    said = {key: allowed(keys[key].annotation, keys[key].metadata) for key in keys}
    assert said["seed"] == "a whole number from 0 to 2147483647"
    assert said["overwrite"] == "one of True, False"
    assert said["data.on_bad_clip"] == "one of error, skip"
    assert said["save.every_n_minutes"] == "a number, at least 0, or null"
    assert said["trainer.max_epochs"] == "a whole number, at least 1, or -1"
    assert said["data.root"] == "the path of a folder"


@pytest.mark.parametrize(
    ("content", "said"), [(b"name: \xff", "invalid UTF-8 at byte 26"), (b"a: " + b"[" * 400 + b"]" * 400, "nested")]
)
def test_a_file_of_the_users_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_bytes(b"# @package _global_\n" + content)
    with pytest.raises(ValueError, match=rf"mine\.yaml: {said}"):
        preflight("train", ["--config-dir", str(tmp_path), "experiment=mine", "machine=fan"])


@pytest.mark.parametrize(
    "arguments",
    [["machine=fan", "seed=-1"], ["backbone=nope"], ["nope=1"], ["machine=fan", "data=folder", "data.root=nowhere"]],
)
def test_a_mistake_takes_about_a_second_and_no_torch(tmp_path: Path, arguments: list[str]) -> None:
    started = time.monotonic()
    command = [sys.executable, "-X", "importtime", str(SCRIPTS / "train.py"), *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = "\n".join(line for line in result.stderr.splitlines() if not line.startswith("import time:"))
    assert result.returncode == 1
    assert "Traceback" not in said
    assert said.strip()
    assert not re.search(r"\| +torch$", result.stderr, re.MULTILINE)
    assert time.monotonic() - started < 10  # about one second; shared machines are slow at times
    assert not list(tmp_path.iterdir())


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("the clip is broken"), "the clip is broken"),
        (MemoryError(), "out of memory: end other programs (MemoryError)"),
        (ImportError("x.so: failed to map segment"), "out of memory: end other programs (x.so: failed to map segment)"),
    ],
)
def test_an_expected_error_in_a_job_has_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("asd.launch.script.require", lambda config, words, networks: None)
    monkeypatch.setattr(sys, "argv", ["train.py", *SMOKE])
    # Hydra shows tracebacks under a debugger, for which it takes the tracer of a coverage run.
    monkeypatch.setattr("hydra._internal.utils.is_under_debugger", lambda: False)

    @script("train")
    def main(config: RunConfig) -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err
    assert stop.value.code == 1
    assert said.strip() == message  # without Hydra's overrides and its advice for developers


def test_the_reference_of_all_keys_is_up_to_date() -> None:
    page = (SCRIPTS / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference(), "python -m asd.config.reference > docs/configuration.md"
    for line in page.splitlines():
        if line.startswith("| `"):
            assert line.count(" | ") >= 3
            assert not line.endswith("|  |"), f"a key without a meaning: {line}"
