"""docs/deploy.md, command by command, in an environment that holds the runtime and what it declares to need."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import soundfile
from packaging.requirements import Requirement

from asd.runs.folder import RunFolder
from tests.support.factory import RATE, tone

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
NAMED_RUN = Path("outputs/main/fan/mobilefacenet-512x32-s0")

Begin = Callable[[str], subprocess.Popen[str]]

pytestmark = pytest.mark.slow


def blocks(language: str) -> list[str]:
    """The page's blocks of code."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [code for name, code in found if name == language]


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


def closure(distributions: list[Distribution], extra: str = "") -> dict[str, Distribution]:
    """What distributions need, and what that needs, by name; an extra is of the first ones alone."""
    wanted = [Requirement(text) for each in distributions for text in each.requires or []]
    names = {one.name for one in wanted if not one.marker or one.marker.evaluate({"extra": extra})}
    found = {name: distribution(name) for name in names}
    return found | (closure(list(found.values())) if found else {})


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a bare machine: the runtime's wheel, linked packages that it declares, stand-ins for others."""
    folder = tmp_path_factory.mktemp("machine")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", str(ROOT / "runtime"), "-w", str(folder)]
    subprocess.run(wheel, check=True)
    (file,) = folder.glob("*.whl")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env/bin/python"
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(file)]
    subprocess.run(install, check=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (metadata,) = site.glob("asd_runtime-*.dist-info/METADATA")
    link(Distribution.at(metadata.parent), site)
    (folder / "bin").mkdir()
    (folder / "bin/asd-runtime").symlink_to(folder / "env/bin/asd-runtime")
    stand_in(folder / "bin/ffmpeg", "cat sound.raw")
    stand_in(folder / "bin/asd", f'PYTHONPATH={ROOT} exec {sys.executable} -m asd "$@"')
    return folder


def link(runtime: Distribution, site: Path) -> None:
    """Links what the runtime declares into the environment, without the microphone's: no test machine has one."""
    for found in closure([runtime], "serve").values():
        for file in found.files or []:
            top = site / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not top.exists():
                top.symlink_to(Path(str(found.locate_file(file.parts[0]))))
    assert not (site / "torch").exists()


def stand_in(path: Path, command: str) -> None:
    """A program that is not on every machine."""
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


@pytest.fixture
def plant(evaluated: RunFolder) -> None:
    """The files that the page names, in the working directory."""
    NAMED_RUN.symlink_to(evaluated.path.parent.name)
    soundfile.write("clip.wav", tone(3000, 12, 5), RATE)
    Path("sound.raw").write_bytes(tone(400, 12, 1).tobytes())
    Path("recordings").mkdir()
    shutil.copy("clip.wav", "recordings/one.wav")
    Path("token").write_text("a long enough secret\n")


@pytest.fixture
def begin(machine: Path) -> Iterator[Begin]:
    """Starts a command line of the page with the machine's programs; what still runs is ended."""
    path = os.pathsep.join([str(machine / "bin"), "/usr/bin", "/bin"])
    begun: list[subprocess.Popen[str]] = []

    def begin(line: str) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {"PATH": path, "HOME": os.environ.get("HOME", "/"), "PYTHONNOUSERSITE": "1"}
        shell = ["bash", "-c", line]
        begun.append(subprocess.Popen(shell, env=environment, text=True, start_new_session=True, **streams))
        return begun[-1]

    yield begin
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate()


def line_with(words: str) -> str:
    """The one command of the page with these words."""
    (line,) = [line for line in COMMANDS if words in line]
    return line


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_every_command_of_the_page(plant: None, begin: Begin) -> None:
    tried = {line for line in COMMANDS if not line or line.startswith("pip install")}

    def run(words: str, *, code: int = 0) -> tuple[str, str]:
        line = line_with(words)
        tried.add(line)
        process = begin(line)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        return out, err

    assert "sections [0, 1]" in run("asd export")[0]
    assert "anomalous\tclip.wav" in run("asd-runtime score", code=1)[0]
    assert "a microphone needs sounddevice" in run("# microphone", code=2)[1]
    assert " s  " in run("ffmpeg")[1]

    following = line_with("--follow")
    begin(following)
    events = Path("events.jsonl")
    wait_for(lambda: events.exists() and "alarm-begins" in events.read_text())
    shutil.copy("clip.wav", "recordings/two.wav")
    wait_for(lambda: "two.wav" in events.read_text())
    assert list(Path("kept").iterdir())

    local, remote = line_with("--port 8000"), line_with("--port 8001")
    for line in (local, remote):
        begin(line)
    wait_for(lambda: begin("curl -s http://127.0.0.1:8000/health").wait() == 0)
    wait_for(lambda: begin("curl -s http://127.0.0.1:8001/health").wait() == 0)
    for words in ("127.0.0.1:8000/score", "Authorization"):
        assert json.loads(run(words)[0])["verdict"] == "anomalous"
    assert json.loads(run("8000/health")[0])["status"] == "ok"
    assert 'asd_scores_total{model="fan"' in run("/metrics")[0]
    assert tried | {following, local, remote} == set(COMMANDS)


def test_the_page_in_python_without_torch(plant: None, machine: Path, begin: Begin) -> None:
    assert begin(line_with("asd export")).wait(timeout=120) == 0
    (snippet,) = blocks("python")
    code = "import sys, soundfile, asd_runtime, asd_runtime.server, asd_runtime.cli\n"
    code += "samples, _ = soundfile.read('clip.wav', dtype='int16')\n"
    code += snippet + "\nprint(found.score, not {'torch', 'scipy', 'librosa', 'sklearn', 'asd'} & set(sys.modules))"
    process = begin(f"{machine / 'env/bin/python'} -c {shlex.quote(code)}")
    out, err = process.communicate(timeout=60)
    assert out.endswith("True\n"), err


def test_the_service_of_the_page(plant: None, machine: Path, begin: Begin) -> None:
    (unit,) = blocks("ini")
    (command,) = re.findall(r"^ExecStart=/opt/asd/bin/(.*)$", unit, re.MULTILINE)
    assert command.split(" --snippets")[0] == line_with("--follow").split(" --snippets")[0]
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze: the unit is not verified")
    there = unit.replace("/opt/asd/bin", str(machine / "bin")).replace("/var/lib/asd", str(Path.cwd()))
    Path("asd-watch.service").write_text(there)
    done = subprocess.run(
        [analyze, "verify", "--man=no", "./asd-watch.service"], capture_output=True, text=True, check=False
    )
    assert "asd-watch.service" not in done.stderr, done.stderr
