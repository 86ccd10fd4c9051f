"""Against a stand-in for the W&B server: what arrives, also after a kill, and what happens when the network goes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asd.runs.folder import RunFolder
from asd.runs.record import read_record
from tests.support.wandb_server import SentRun, WandbServer

ROOT = Path(__file__).parents[2]
RUN = RunFolder(Path("outputs/smoke/fan/small-512x32-s0/train"))

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[WandbServer]:
    server = WandbServer()
    yield server
    server.http.server_close()


@pytest.fixture
def start(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts a training that logs to the server."""
    monkeypatch.chdir(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40, "WANDB_X_DISABLE_STATS": "true"}
    environment |= {"WANDB_FINISH_TIMEOUT": "3", "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "0.2"}

    def start(*arguments: str) -> "subprocess.Popen[str]":
        smoke = ["experiment=smoke", "machine=fan", "progress=false", "logger=wandb", *arguments]
        command = [sys.executable, str(ROOT / "train.py"), *smoke]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, env=environment, **pipes)

    return start


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Waits up to a minute and a half, as long as the process lives."""
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def only(server: WandbServer) -> SentRun:
    """The one run that the server has."""
    (run,) = server.runs.values()
    return run


@pytest.mark.ci
def test_a_killed_and_resumed_run_arrives_once_and_whole(server: WandbServer, start: Callable) -> None:
    settings = ["trainer.max_steps=600", "save.every_n_steps=25"]
    with start(*settings) as process:
        wait_for(lambda: any(len(run.history) > 5 for run in server.runs.values()), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = len(only(server).history)
    with start(*settings) as process:
        said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    run, record = only(server), read_record(RUN)
    assert [line["trainer/global_step"] for line in run.history] == [line["step"] for line in record]
    assert [line["train/loss"] for line in run.history] == [line["loss"] for line in record]
    assert len(run.history) == 300 > before
    assert (run.facts["groupName"], run.facts["jobType"]) == ("smoke", "train")
    assert run.facts["displayName"] == "fan/small-512x32-s0/train"
    assert json.loads(run.facts["config"])["machine"]["value"] == "fan"
    assert run.exit_code == 0


def test_a_network_that_goes_away_does_not_stop_a_training(server: WandbServer, start: Callable) -> None:
    with start("trainer.max_steps=400") as process:
        wait_for(lambda: any(run.history for run in server.runs.values()), process)
        server.close()
        said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert said.count("W&B failed (TimeoutError: Timed out finishing run.): going on without it.") == 1
    assert len(read_record(RUN)) == 200
    assert RUN.manifest.is_file()
