"""Each example of docs/extend.md, from a folder outside of the package: composed, trained, evaluated, loaded again."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import yaml

import asd
from asd.evaluation import evaluate
from asd.experiment import train
from asd.launch.script import preflight
from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from tests.support.factory import RATE, make_machine, tone

ROOT = Path(__file__).parents[1]
TINY = ["experiment=smoke", "data=folder", "data.root=data", "machine=fan", "progress=false", "name=own"]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of a user's: recordings, and a copy of the examples elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("ASD_CACHE", raising=False)
    make_machine(tmp_path / "data")
    yield Path(shutil.copytree(ROOT / "examples", tmp_path / "lab")) / "conf"
    for name in [name for name in sys.modules if name == "own" or name.startswith("own.")]:
        del sys.modules[name]


def run(conf: Path, *words: str) -> RunFolder:
    """Trains what a user types."""
    typed = {word.partition("=")[0] for word in words}
    rest = [word for word in TINY if word.partition("=")[0] not in typed]
    return train(preflight("train", ["--config-dir", str(conf), *rest, *words]).configs[0])


@pytest.mark.ci
@pytest.mark.slow
def test_a_network_of_ones_own(mine: Path) -> None:
    found = run(mine, "backbone=two_layers", "backbone.width=4")
    assert found.path == Path("outputs/own/fan/two_layers-512x32-s0/train")
    config = found.read_config()
    assert config["backbone"]["_target_"] == "own.network.TwoLayers"
    assert config["backbone"]["width"] == 4
    assert config["code"]["own/network"].startswith("sha256 ")
    parts = ["first.0", "first.1", "second.0", "second.1", "embedding"]
    assert json.loads(found.manifest.read_text())["parts"] == parts


@pytest.mark.ci
@pytest.mark.slow
def test_a_run_of_ones_own_network_goes_on(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a user types is trusted, also when the run has begun."""
    found = run(mine, "backbone=two_layers")
    assert run(mine, "backbone=two_layers") == found
    assert "is finished: nothing to do" in capsys.readouterr().out
    found.manifest.unlink()
    run(mine, "backbone=two_layers")
    assert "going on at step" in capsys.readouterr().out


@pytest.mark.ci
@pytest.mark.slow
def test_a_network_of_ones_own_is_fine_tuned_by_its_parts(mine: Path) -> None:
    run(mine, "backbone=two_layers")
    words = [*TINY, "backbone=two_layers", "freeze.parts=[first.0]"]
    found = train(preflight("finetune", ["--config-dir", str(mine), *words]).configs[0])
    frozen = json.loads(found.manifest.read_text())["frozen"]
    assert frozen == ["backbone.first.0.bias", "backbone.first.0.weight"]


@pytest.mark.ci
@pytest.mark.slow
def test_what_others_made_is_evaluated_only_where_their_code_is_trusted(mine: Path) -> None:
    found = run(mine, "backbone=two_layers")
    words = ["name=own", "progress=false", "accelerator=cpu"]
    with pytest.raises(ValueError, match=r"config\.yaml: backbone names code of the package own.*trust=\[own\]"):
        evaluate(preflight("evaluate", words).configs[0])
    evaluate(preflight("evaluate", [*words, "trust=[own]"]).configs[0])
    clip = next(Path("data").rglob("*anomaly_0000.wav"))
    with pytest.raises(ValueError, match=r"trust=\[own\]"):
        asd.load_run(found.path)
    assert asd.load_run(found.path, trust=["own"]).score(clip).score > 0


@pytest.mark.ci
@pytest.mark.slow
def test_changed_code_is_another_run(mine: Path) -> None:
    run(mine, "backbone=two_layers")
    source = mine.parent / "own" / "network.py"
    source.write_text(source.read_text().replace("Two strided", "2 strided"))
    with pytest.raises(ValueError, match=r"code\.own/network: sha256 .* → sha256 "):
        run(mine, "backbone=two_layers")


def test_a_head_of_ones_own(mine: Path) -> None:
    record = read_record(run(mine, "loss=fixed_adacos"))
    assert {"loss", "accuracy"} <= record[-1].keys()


@pytest.mark.ci
@pytest.mark.slow
def test_an_optimizer_and_a_schedule_of_ones_own(mine: Path) -> None:
    found = run(mine, "optimizer=rmsprop", "schedule=constant")
    assert read_record(found)[-1]["lr"] == 0.001
    found = run(mine, "schedule._target_=torch.optim.lr_scheduler.LinearLR", "name=linear")
    assert read_record(found)[-1]["lr"] > 0


@pytest.mark.ci
@pytest.mark.slow
def test_a_callback_of_ones_own(mine: Path) -> None:
    record = read_record(run(mine, "callbacks=weight_norm"))
    assert record[-1]["weight_norm"] > 0
    assert "weight_norm" in (Path("outputs/own/fan/small-512x32-s0/train/metrics.csv")).read_text()


@pytest.mark.ci
@pytest.mark.slow
def test_callbacks_of_lightning(mine: Path) -> None:
    record = read_record(run(mine, "callbacks=lr_monitor", "trainer.max_steps=4"))
    assert any(name.startswith("lr-") for name in record[-1])
    stopped = run(mine, "callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.max_steps=90",
                  "callbacks.early_stopping.min_delta=100", "name=stops")  # fmt: skip
    record = read_record(stopped)
    assert record[-1]["step"] < 90
    assert run(mine, "callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.max_steps=90",
               "callbacks.early_stopping.min_delta=100", "name=stops") == stopped  # fmt: skip
    assert read_record(stopped) == record


def test_a_logger_of_lightnings(mine: Path) -> None:
    found = run(mine, "logger=lightning_csv")
    assert next(found.path.rglob("lightning/**/metrics.csv")).read_text().startswith(("accuracy", "epoch"))


@pytest.mark.ci
@pytest.mark.slow
def test_a_reader_of_ones_own(mine: Path) -> None:
    for unit in (1, 2):
        for day in range(1, 9):
            for state in ("ok", "bad") if day > 6 else ("ok",):
                path = Path("flat") / f"pump_{unit:02d}_{state}_{day}.wav"
                path.parent.mkdir(exist_ok=True)
                soundfile.write(path, tone(300 * unit * (1.3 if state == "bad" else 1), 1.5, 10 * unit + day), RATE)
    found = run(mine, "data=flat", "data.root=flat", "machine=pump", "data.reader.test_day=7")
    assert found.machine == "pump"
    evaluate(preflight("evaluate", ["name=own", "progress=false", "accelerator=cpu", "trust=[own]"]).configs[0])
    scores = (found.scores("cosine") / "scores.csv").read_text()
    assert scores.count(",train,") == 12
    assert scores.count(",anomaly,") == 4


@pytest.mark.ci
@pytest.mark.slow
def test_a_scorer_of_ones_own(mine: Path) -> None:
    found = run(mine)
    words = ["--config-dir", str(mine), "name=own", "progress=false", "accelerator=cpu", "scorer=own_mahalanobis"]
    evaluate(preflight("evaluate", words).configs[0])
    manifest = json.loads((found.scores("own_mahalanobis") / "manifest.json").read_text())
    assert manifest["scorer"]["_target_"] == "own.scorer.MahalanobisDistance"
    clip = next(Path("data").rglob("*anomaly_0000.wav"))
    with pytest.raises(ValueError, match=r"manifest\.json: scorer names code of the package own"):
        asd.load_run(found.path, scorer="own_mahalanobis")
    assert asd.load_run(found.path, scorer="own_mahalanobis", trust=["own"]).score(clip).score > 0


@pytest.mark.ci
@pytest.mark.slow
def test_a_method_of_ones_own(mine: Path) -> None:
    config = preflight(
        "train", ["--config-dir", str(mine), *TINY[1:], "method=denoising", "noise=2.0", "trainer.max_steps=2",
                  "trainer.max_epochs=-1", "batch_size=32", "trainer.accelerator=cpu"],
    ).configs[0]  # fmt: skip
    found = train(config)
    assert found.path == Path("outputs/own/fan/denoising-128x5-s0/train")
    with pytest.raises(ValueError, match=r"noise=-1\.0 is not allowed: give a number, at least 0"):
        preflight("train", ["--config-dir", str(mine), *TINY[1:], "method=denoising", "noise=-1.0"])


@pytest.mark.slow
@pytest.mark.ci
def test_as_a_user_types_it(mine: Path) -> None:
    """From the command line, and in a sweep, whose processes must find the code too."""
    words = [sys.executable, str(ROOT / "train.py"), "-m", "--config-dir", "lab/conf", *TINY]
    words += ["backbone=two_layers", "loss=arcface,fixed_adacos"]
    words = [word for word in words if not word.startswith("name=")] + ["name=l${loss._target_}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs: 2 done" in done.stdout


def test_the_page_names_every_example() -> None:
    page = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        assert f"{path.parent.name}={path.stem}" in page, path
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
