"""The wheel, where there is no checkout: it carries conf/ and the scripts, and trains from an empty folder."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import asd
from asd.config import CONF

ROOT = Path(__file__).parents[1]
SMOKE = ["experiment=smoke", "machine=fan", "progress=false"]

pytestmark = [pytest.mark.slow, pytest.mark.ci]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is unpacked into."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", str(ROOT), "-w", str(folder / "wheel")]
    subprocess.run(wheel, check=True)
    (file,) = (folder / "wheel").glob("*.whl")
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(folder / "site"), str(file)], check=True)
    return folder / "site"


def asd_at(installed: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python -m asd …` with the wheel's package and, as -S leaves an editable install out, no other."""
    path = os.pathsep.join([str(installed), sysconfig.get_path("purelib")])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, "-S", "-m", "asd", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_it_carries_every_configuration_and_one_version(installed: Path) -> None:
    files = {path.relative_to(CONF) for path in CONF.rglob("*.yaml")}
    packed = installed / "asd" / "project"
    assert {path.relative_to(packed / "conf") for path in packed.rglob("*.yaml")} == files
    assert {path.name for path in packed.glob("*.py")} == {"train.py", "finetune.py", "evaluate.py"}
    assert (installed / f"asd-{asd.__version__}.dist-info").is_dir()
    assert (installed / "hydra_plugins" / "asd_slots" / "launcher.py").is_file()


def test_the_three_scripts_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    for words in (
        ["train", "-m", *SMOKE],
        ["finetune", *SMOKE, "freeze=arcface"],
        ["--quiet", "evaluate", "name=smoke"],
        ["status", "smoke"],
    ):
        done = asd_at(installed, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs: 2 done" in done.stdout
    runs = tmp_path / "outputs/smoke/fan/small-512x32-s0"
    assert str(installed / "asd/project/train.py") in (runs / "train/run.log").read_text()
    assert (tmp_path / "outputs/smoke/results/table2.md").is_file()


def test_one_run_on_two_devices_starts_its_second_process(installed: Path, tmp_path: Path) -> None:
    two = ["trainer=ddp", "trainer.max_epochs=-1", "trainer.accelerator=cpu", "trainer.devices=2"]
    done = asd_at(installed, "train", *SMOKE, *two, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "outputs/smoke/fan/small-512x32-s0/train/manifest.json").is_file()


def test_a_mistake_is_answered_as_the_script_does(installed: Path, tmp_path: Path) -> None:
    done = asd_at(installed, "train", *SMOKE, "bakbone=small", cwd=tmp_path)
    assert done.returncode == 1
    assert "unknown key 'bakbone'. Did you mean backbone" in done.stderr
    assert list(tmp_path.iterdir()) == []
