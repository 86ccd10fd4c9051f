"""The groups that a script chooses from, as its files say."""

from pathlib import Path

from asd.config import CONF
from asd.config.overrides import groups


def test_groups_of_the_scripts() -> None:
    training = {"data", "backbone", "input", "loss", "trainer", "logger", "experiment"}
    assert training <= set(groups(CONF / "train.yaml"))
    assert training | {"freeze"} <= set(groups(CONF / "finetune.yaml"))
    assert "freeze" not in groups(CONF / "train.yaml")
    assert "scorer" in groups(CONF / "evaluate.yaml")
    assert "backbone" not in groups(CONF / "evaluate.yaml")


def test_a_choice_may_choose_too(tmp_path: Path) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "train.yaml").write_text("defaults: [base, _self_, {method: a}, {experiment: null}]")
    (tmp_path / "base.yaml").write_text("defaults: [_self_, {override hydra/job_logging: stdout}]")
    (tmp_path / "method/a.yaml").write_text("defaults: [b, {/backbone: small}, {override /data: x}]")
    (tmp_path / "method/b.yaml").write_text("key: 1")
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone/small.yaml").write_text("name: small")
    assert groups(tmp_path / "train.yaml") == ("method", "backbone", "experiment")
