"""What a sweep trains is what was typed: no value is dropped, no name becomes a number, no path keeps its ~."""

import subprocess
import sys
from pathlib import Path

import pytest

from asd.config.overrides import as_text
from asd.launch.script import preflight
from tests.support.factory import make_machine

HERE = ["experiment=smoke", "data=folder", "data.root=data", "machine=fan"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    make_machine(tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize(
    ("swept", "key"),
    [
        ("loss.margin=0.05,0.2", "loss.margin"),
        ("loss.margin=choice(0.05,0.2)", "loss.margin"),
        ("batch_size=range(4,8,2)", "batch_size"),
        ("backbone.embedding_dim=16,32", "backbone.embedding_dim"),
        ("optimizer.lr=0.1,0.2", "optimizer.lr"),
        ("mixup.weight=[0,0.5],[0,0.4]", "mixup.weight"),
        ("loss=arcface,subcenter", "loss"),
        ("data.on_bad_clip=error,skip", "data.on_bad_clip"),
    ],
)
def test_jobs_that_would_share_a_folder_are_refused_with_a_name_to_type(swept: str, key: str) -> None:
    told = r"would share the folder outputs/x/fan/.* name='x-\$\{" + key.replace(".", r"\.")
    with pytest.raises(ValueError, match=told):
        preflight("train", ["-m", *HERE, "name=x", swept])


@pytest.mark.ci
@pytest.mark.slow
def test_with_the_name_that_was_advised_each_value_is_a_run() -> None:
    jobs = preflight("train", ["-m", *HERE, "loss.margin=0.05,0.2", "name='x-${loss.margin}'"]).configs
    assert [(job.name, job.loss.margin) for job in jobs] == [("x-0.05", 0.05), ("x-0.2", 0.2)]


@pytest.mark.ci
@pytest.mark.slow
def test_what_is_part_of_the_address_needs_no_name() -> None:
    jobs = preflight("train", ["-m", *HERE, "seed=0,1", "input=512x32,1024x32"]).configs
    assert len({job.folder() for job in jobs}) == 4


def test_the_same_job_twice_is_one_run() -> None:
    assert len(preflight("train", ["-m", *HERE, "seed=0,0"]).configs) == 2


def test_every_choice_of_a_group() -> None:
    jobs = preflight("train", ["-m", *HERE, "input=glob(*x32)"]).configs
    assert sorted(job.input.name for job in jobs) == ["1024x32", "512x32"]


@pytest.mark.parametrize("name", ["20261127", "2024_06", "5213e07", "1.0", "true", "0x10", "1e5", "inf"])
def test_a_name_is_the_text_that_was_typed(name: str) -> None:
    assert preflight("train", [*HERE, f"name={name}"]).configs[0].name == name


@pytest.mark.parametrize("names", ["2024_06,5213e07", "choice(2024_06,5213e07)"])
def test_names_in_a_sweep_are_text_too(names: str) -> None:
    jobs = preflight("train", ["-m", *HERE, f"name={names}"]).configs
    assert [job.name for job in jobs] == ["2024_06", "5213e07"]


def test_a_number_for_a_name_in_a_file_is_answered_with_quotes(here: Path) -> None:
    """YAML has made 202406 of it: nobody can tell any more what stood there."""
    (here / "my/experiment").mkdir(parents=True)
    (here / "my/experiment/june.yaml").write_text("# @package _global_\nname: 2024_06\n")
    with pytest.raises(ValueError, match=r"name=202406 is not allowed.*in quotes: name: '…'"):
        preflight("train", ["--config-dir", "my", *HERE[1:], "experiment=june"])


@pytest.mark.parametrize("folder", ["2024", "2024_06", "1e5"])
def test_a_folder_may_look_like_a_number(here: Path, folder: str) -> None:
    (here / "data").rename(here / folder)
    words = [word for word in HERE if not word.startswith("data.root")]
    assert preflight("train", [*words, f"data.root={folder}"]).configs[0].data.root == folder


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("seed=1", "seed=1"),
        ("name=a1", "name=a1"),
        ("name=", "name="),
        ("name='1'", "name='1'"),
        ("data.root='a,5,b'", "data.root='a,5,b'"),
        ("data.root=my 5", "data.root=my 5"),
        ("data.root=~/a(b)", "data.root='~/a(b)'"),
        ("machine=[2024, fan]", "machine=['2024', fan]"),
        ("freeze.parts=[0,1]", "freeze.parts=['0','1']"),
        ("+data.reader.columns.path=2024", "+data.reader.columns.path='2024'"),
        ("data.reader.split.seed=3", "data.reader.split.seed=3"),
    ],
)
def test_only_numbers_of_text_keys_are_put_in_quotes(word: str, kept: str) -> None:
    assert as_text(word) == kept


def test_home_is_expanded_wherever_a_path_is_a_value(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("ASD_CACHE", "~/cache")
    words = [word for word in HERE if not word.startswith("data.root")]
    (config,) = preflight("train", [*words, "data.root=~/data"]).configs
    assert (config.data.root, config.data.cache) == (f"{here}/data", f"{here}/cache")


@pytest.mark.ci
@pytest.mark.slow
def test_a_value_that_another_run_owns_is_refused_before_the_sweep(here: Path) -> None:
    from asd.experiment import train

    train(preflight("train", [*HERE, "name=own", "loss.margin=0.05"]).configs[0])
    with pytest.raises(ValueError, match=r"loss\.margin: 0\.05 → 0\.2"):
        preflight("train", [*HERE, "name=own", "loss.margin=0.2"])


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("script", ["train", "finetune", "evaluate"])
def test_help_shows_examples_groups_and_where_all_keys_are(script: str) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, str(root / f"{script}.py"), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"python {script}.py" in said
    assert "Commonest keys: " in said
    assert "logger: csv, tensorboard, wandb" in said
    assert "docs/configuration.md" in said
