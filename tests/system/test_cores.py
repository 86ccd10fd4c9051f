"""The count of cores, where the system tells which are ours and where it does not."""

import pytest

from asd.system import cores


def test_cores_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.n_cores() >= 1
    monkeypatch.delattr(cores.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cores.os, "cpu_count", lambda: None)
    assert cores.n_cores() == 1
