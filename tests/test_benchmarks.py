"""Each benchmark runs, and its JSON holds the figures under their names."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.clock import in_turns, ratio

TINY: dict[str, tuple[list[str], set[str]]] = {
    "data-path": (
        [],
        {"data_path_speedup", "data_path_times_stft", "data_path_largest_difference"}
        | (set() if torch.cuda.is_available() else {"data_path_share_of_step"}),
    ),
    "ceiling": (["--backbone", "small"], {"ceiling_small_512x32"}),
    "step": (["--backbone", "small"], {"step_speedup_small_512x32"}),
    "evaluation": (
        ["--backbone", "small"],
        {"scoring_times_matmul", "clip_ms_one_core_small_512x32", "scoring_speedup_small_512x32"},
    ),
    "growth": (
        [],
        {"first_batch_s", "anon_mb_12_clips", "anon_mb_60_clips", "anon_growth", "batches_per_s_60_clips_2_workers"},
    ),
    "sharing": (["--backbone", "small"], {"shared_rate_train_asleep", "shared_rate_embed_spinning"}),
    "grid": (["--backbone", "small", "--input", "512x32"], {"grid_throughput_gain", "grid_hours"}),
}


def run(command: str, file: Path) -> None:
    """Runs a benchmark at its smallest and looks at what it leaves."""
    arguments, names = TINY[command]
    assert main([command, *arguments, "--tiny", "--rounds", "1", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert names <= result["figures"].keys()
    assert all(np.isfinite(value) and value >= 0 for value in result["figures"].values())
    assert {"instruction_set", "cores", "allocator", "gpu"} <= result["hardware"].keys()
    assert "torch" in result["versions"]


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.filterwarnings("ignore:.*deprecated and slated for removal:DeprecationWarning")  # in what librosa imports
def test_the_data_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("data-path", tmp_path / "figures.json")
    assert "data_path_speedup" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and on the length
@pytest.mark.parametrize("command", [name for name in TINY if name != "data-path"])
def test_the_others(tmp_path: Path, command: str) -> None:
    run(command, tmp_path / "figures.json")


def test_sides_take_turns_and_the_first_does_not_count() -> None:
    order: list[str] = []
    seconds = {"a": iter([9.0, 2.0, 3.0, 8.0]), "b": iter([9.0, 1.0, 1.0, 2.0])}

    def side(name: str) -> float:
        order.append(name)
        return next(seconds[name])

    times = in_turns({"a": lambda: side("a"), "b": lambda: side("b")}, rounds=3, title="test")
    assert order == ["a", "b"] * 4
    assert times == {"a": [2.0, 3.0, 8.0], "b": [1.0, 1.0, 2.0]}
    assert ratio(times, "a", "b") == 3.0


def test_a_wrong_word_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data-path", "--backbone", "resnet"])
    assert "mobilefacenet" in capsys.readouterr().err
