"""Whether W&B is asked or a run is recorded offline: never a reason to stop."""

from collections.abc import Callable

import pytest
import wandb

from asd.report.dashboard import is_offline


def unreachable(**_: object) -> bool:
    raise wandb.Error("no network")


@pytest.mark.parametrize(
    ("mode", "environment", "login", "offline"),
    [
        ("offline", "online", lambda **_: True, True),
        ("online", "offline", lambda **_: False, False),
        ("auto", "offline", lambda **_: True, True),
        ("auto", "online", lambda **_: False, False),
        ("auto", "", lambda **_: True, False),
        ("auto", "", lambda **_: False, True),
        ("auto", "", unreachable, True),
    ],
)
def test_offline(
    monkeypatch: pytest.MonkeyPatch, mode: str, environment: str, login: Callable[..., bool], offline: bool
) -> None:
    monkeypatch.setenv("WANDB_MODE", environment)
    monkeypatch.setattr(wandb, "login", login)
    assert is_offline(mode) is offline
