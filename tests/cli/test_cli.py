"""The console command: its options and its mistakes."""

from pathlib import Path

import pytest

from asd.cli import main
from asd.cli.parser import build_parser
from asd.data.clips import MACHINES


def test_simulate_takes_the_documented_options(tmp_path: Path) -> None:
    parse = build_parser().parse_args
    options = parse(["data", "simulate", "--root", str(tmp_path)])
    sizes = (options.sections, options.source, options.target, options.test, options.seed)
    assert sizes == (None, 1000, 3, 100, 0)  # as many sections as the edition has
    assert options.machines == list(MACHINES)
    assert parse(["data", "simulate", "--root", "x", "--machines", "fan,pump"]).machines == ["fan", "pump"]


def test_simulate_makes_a_data_set(tmp_path: Path) -> None:
    arguments = ["data", "simulate", "--root", str(tmp_path / "factory"), "--machines", "valve", "--sections", "2"]
    assert main([*arguments, "--source", "2", "--target", "1", "--test", "1"]) == 0
    assert len(list(tmp_path.rglob("*.wav"))) == 2 * (2 + 1 + 2 * 2)


def test_unknown_machines_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["data", "simulate", "--root", "x", "--machines", "fam"])
    assert stop.value.code == 2
    assert "fam: no such machine. Did you mean fan" in capsys.readouterr().err


def test_a_mistake_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(tmp_path), "clip.wav"]) == 2
    assert "is no finished run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("data get --root=~/x", "root"),
        ("data check ~/x", "root"),
        ("export run --out=~/x", "out"),
        ("listen model --events=~/x", "events"),
        ("serve model --clips=~/x", "clips"),
    ],
)
def test_home_is_expanded_where_a_shell_does_not(line: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert getattr(build_parser().parse_args(line.split()), key) == Path("/home/me/x")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_every_command_takes_quiet(tmp_path: Path, place: int, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "simulate", "--root", str(tmp_path), "--machines", "fan", "--sections", "1"]
    arguments += ["--source", "1", "--target", "0", "--test", "0"]
    loud = arguments.copy()
    arguments.insert(place if place < 3 else len(arguments), "--quiet")
    assert main(arguments) == 0
    assert capsys.readouterr() == ("", "")
    assert main(loud) == 0
    assert "fan complete, nothing to simulate" in capsys.readouterr().out
