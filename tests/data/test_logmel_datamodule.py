"""Which windows make a step of a baseline."""

from pathlib import Path

import numpy as np
import pytest

from asd.data.clips import ClipTable
from asd.data.logmel_datamodule import AllWindows
from tests.support.factory import make_machine, scan_machine


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ClipTable:
    return scan_machine(make_machine(tmp_path_factory.mktemp("data"), seconds=0.1), "fan")


def plan(table: ClipTable, **changes: object) -> AllWindows:
    columns = 20 + np.arange(len(table)) % 3
    arguments = {"n_frames": 5, "frame_hop": 2, "batch_size": 16, "hold_out": 0.1, "seed": 0, "n_columns": columns}
    return AllWindows(table, **{**arguments, **changes})  # type: ignore[arg-type]


def every_window(table: ClipTable) -> list[tuple[int, int]]:
    """(clip, first column) of all training windows, by a plain loop."""
    found = []
    for clip in range(len(table)):
        if table.split[clip] == "train":
            n_columns = 20 + clip % 3
            found += [(clip, first) for first in range(0, n_columns - 5 + 1, 2)]
    return found


def epoch(windows: AllWindows, number: int) -> list[tuple[int, int]]:
    """What one epoch draws."""
    steps = range(number * windows.n_steps_per_epoch, (number + 1) * windows.n_steps_per_epoch)
    draws = [windows.indices(step) for step in steps]
    return [pair for d in draws for pair in zip(d.clip.tolist(), d.first_column.tolist(), strict=True)]


def test_an_epoch_draws_each_window_once_but_the_last_tenth(table: ClipTable) -> None:
    every = every_window(table)
    kept = every[: int(len(every) * 0.9)]
    for number in (0, 1, 7):
        assert sorted(epoch(plan(table), number)) == kept
    assert sorted(epoch(plan(table, hold_out=0.0), 0)) == every


def test_a_step_is_a_function_of_seed_and_step(table: ClipTable) -> None:
    forwards, backwards = plan(table), plan(table)
    steps = list(range(3 * forwards.n_steps_per_epoch))
    one = {step: forwards.indices(step) for step in steps}
    other = {step: backwards.indices(step) for step in reversed(steps)}
    for step in steps:
        np.testing.assert_array_equal(one[step].clip, other[step].clip)
        np.testing.assert_array_equal(one[step].first_column, other[step].first_column)
    assert epoch(forwards, 0) != epoch(forwards, 1)
    assert epoch(forwards, 0) != epoch(plan(table, seed=1), 0)


def test_sections_are_counted_from_zero(table: ClipTable) -> None:
    draw = plan(table).indices(0)
    expected = [table.sections.index(section) for section in table.section[draw.clip]]
    assert draw.section.tolist() == expected
    assert set(expected) == {0, 1}
    assert len(draw.partner) == 0


def test_a_last_batch_of_one_waits(table: ClipTable) -> None:
    n_windows = plan(table, hold_out=0.0).n_windows
    windows = plan(table, hold_out=0.0, batch_size=n_windows - 1)
    assert windows.n_steps_per_epoch == 1
    assert len(epoch(windows, 0)) == n_windows - 1
    assert len({*epoch(windows, 0), *epoch(windows, 1)}) == n_windows  # another one waits in the next epoch


def test_what_cannot_be_trained_on_is_named(table: ClipTable) -> None:
    first = table.path[table.is_train][0]
    with pytest.raises(ValueError, match=rf"{first}: 4 columns, a window needs 5"):
        plan(table, n_columns=np.full(len(table), 4))
    with pytest.raises(ValueError, match=r"1 windows to train on; add clips or lower hold_out=0\.9"):
        plan(table, n_columns=np.full(len(table), 5), hold_out=0.9)
    assert Path(first).name.startswith("section_00")
