"""Workspaces as code: every key that a panel shows is logged, and every key that is promised, too."""

import builtins
import json
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from asd.cli import main
from asd.evaluation import evaluate
from asd.experiment import train
from asd.report.wandb.keys import KEYS, find, markdown
from asd.runs.folder import RunFolder
from tests.support.wandb_files import recorded

Job = Callable[..., dict[str, Any]]
WANDB = ("logger=wandb", "logger.wandb.mode=offline")
AXES = ("machine", "backbone_name", "input_name", "phase_name", "seed")

pytestmark = pytest.mark.usefixtures("offline_wandb")


@pytest.fixture
def run(workplace: Path, job: Job) -> RunFolder:
    return train(job("train", *WANDB))


def logged(told: Any) -> set[str]:
    """The keys that a run has values for, as the table of keys calls them."""
    names = {key.removesuffix("._type") for key in told.summary}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.ci
@pytest.mark.slow
def test_every_key_is_logged_where_the_table_says(run: RunFolder, job: Job) -> None:
    train(job("finetune", *WANDB))
    evaluate(job("evaluate", *WANDB, "logger.wandb.clips_mb=1"))
    by_type: dict[str, set[str]] = {}
    for told in recorded(Path("outputs")):
        by_type.setdefault(told.job_type, set()).update(logged(told))
    for key in KEYS:
        if key.name == "train/*":
            continue  # nothing else stands in a line today
        for job_type in key.job_types:
            assert any(fnmatchcase(name, key.name) for name in by_type[job_type]), f"{key.name} in {job_type}"


@pytest.mark.ci
@pytest.mark.slow
def test_axes_are_plain_values_of_every_run(run: RunFolder, job: Job) -> None:
    evaluate(job("evaluate", *WANDB))
    for told in recorded(Path("outputs")):
        if told.job_type != "ensemble":
            assert all(isinstance(told.config[axis], str | int) for axis in AXES)


def test_the_workspaces_show_keys_that_are_logged(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb_workspaces")
    for folder, n_panels, filtered in (
        ("outputs/main", [8, 3, 2], ["main"]),
        (str(run.path), [5, 3, 2], ["main", "fan", "small-512x32-s0/train"]),
    ):
        capsys.readouterr()
        assert main(["dashboard", folder, "--json", "--entity", "team"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert (made["entity"], made["project"]) == ("team", "asd")
        sections = made["spec"]["section"]["panelBankConfig"]["sections"]
        assert [section["name"] for section in sections] == ["Results", "Learning", "Speed"]
        assert [len(section["panels"]) for section in sections] == n_panels
        for panel in (panel for section in sections for panel in section["panels"]):
            shown = set(re.findall(r"(?:train|speed|score|results)/[a-z0-9_]+", json.dumps(panel)))
            assert shown, panel
            assert all(find(key).name == key for key in shown)
        values = json.dumps(made["spec"]["section"]["runSets"])
        assert all(f'"value": "{value}"' in values for value in filtered)


def test_the_axes_of_the_workspaces() -> None:
    workspace = pytest.importorskip("asd.report.wandb.workspace")
    assert workspace.AXES == AXES


def test_saving_goes_to_wandb_and_says_where(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ws = pytest.importorskip("wandb_workspaces.workspaces.interface")
    saved: list[Any] = []
    monkeypatch.setattr(ws.Workspace, "save", lambda made: saved.append(made))
    monkeypatch.setattr(ws.Workspace, "url", property(lambda self: f"https://host/{self.entity}/{self.project}"))
    assert main(["dashboard", "outputs/main", "--entity", "team", "--project", "p"]) == 0
    assert capsys.readouterr().out.endswith("https://host/team/p\n")
    assert len(saved) == 1


def test_without_an_account_or_the_package(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ws = pytest.importorskip("wandb_workspaces.workspaces.interface")
    import wandb

    def refuse(_: Any) -> None:
        raise wandb.errors.CommError("who are you?")

    monkeypatch.setattr(ws.Workspace, "save", refuse)
    assert main(["dashboard", "outputs/main", "--entity", "team"]) == 1
    assert "W&B takes no workspace (who are you?): wandb login first, or see it with --json" in capsys.readouterr().err
    real = builtins.__import__

    def without(name: str, module: Any = None, *rest: Any) -> Any:
        if name == "asd.report.wandb" and rest[1] and "workspace" in rest[1]:
            raise ImportError("No module named 'wandb_workspaces'")
        return real(name, module, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["dashboard", "outputs/main"]) == 1
    assert "pip install 'asd[dashboard]' (No module named 'wandb_workspaces')" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["outputs/mine", "main", "data", "outputs/main/fan"])
def test_another_folder_is_refused(run: RunFolder, folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", folder, "--json"]) == 1
    assert f"{folder}: neither a grid's folder, outputs/NAME, nor a run's below it" in capsys.readouterr().err


def test_the_documentation_has_the_table_of_keys() -> None:
    assert markdown() in (Path(__file__).parents[2] / "docs" / "dashboards.md").read_text(encoding="utf-8")
