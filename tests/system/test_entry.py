"""Ctrl-C in a script's first moments, terminals of other encodings, memory that runs out, parents that die."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asd.system.entry import begin, begun
from asd.system.memory import is_out_of_memory
from asd.system.processes import start_time

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("module", ["train", "finetune", "evaluate"])
def test_ctrl_c_while_a_script_imports(module: str, tmp_path: Path) -> None:
    """The signal arrives in the middle of an import, at a moment that the test chooses."""
    code = (
        "import builtins, os, runpy, signal, sys\n"
        "real = builtins.__import__\n"
        "def slow(name, *rest, **options):\n"
        "    if name == 'hydra': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest, **options)\n"
        "builtins.__import__ = slow\n"
        f"sys.argv = ['{module}.py']; runpy.run_path({str(ROOT / f'{module}.py')!r}, run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (130, "")


def test_a_system_without_posix_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    with pytest.raises(SystemExit, match="within WSL"):
        begin()


def test_ctrl_c_in_a_command(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom asd.cli import main\nfrom asd.cli import status\n"
        "status.show_status = lambda _: os.kill(os.getpid(), signal.SIGINT)\nsys.exit(main(['status']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (130, "")


def run_with(code: str, folder: Path, redirection: str) -> subprocess.CompletedProcess[str]:
    """Python code in a shell that redirects its outputs."""
    line = f'"{sys.executable}" -c "$CODE" {redirection}'
    environment = {**ENVIRONMENT, "CODE": code}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def command_that_prints(characters: int) -> str:
    """Code of a command that does nothing else."""
    return (
        "import sys\nfrom asd.cli import main\nfrom asd.cli import status\n"
        f"status.show_status = lambda _: print('x' * {characters}) or 0\nsys.exit(main(['status']))"
    )


@pytest.mark.ci
@pytest.mark.slow
def test_work_goes_on_where_nobody_reads_what_it_says(tmp_path: Path) -> None:
    """The reader of a pipe that ended, a full disk below a log, outputs that were closed."""
    code = (
        "import sys\nfrom asd.system.entry import begin\nbegin()\nfrom asd.system.progress import say\n"
        "file = open('file', 'w')\nfor _ in range(3): say('x' * 9000)\nprint('result')\nfile.write('done')"
    )
    for redirection in ("| true; exit ${PIPESTATUS[0]}", "> /dev/full", ">&- 2>&- <&-"):
        ended = run_with(code, tmp_path, redirection)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", ""), redirection
        assert (tmp_path / "file").read_text() == "done"


@pytest.mark.ci
@pytest.mark.slow
def test_a_command_whose_output_nobody_reads_ends_quietly(tmp_path: Path) -> None:
    ended = run_with(command_that_prints(99999), tmp_path, "| true; exit ${PIPESTATUS[0]}")
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("characters", [9, 99999])  # the buffer is full at the end, or on the way
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_without_room_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, characters: int, unbuffered: str
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PYTHONUNBUFFERED", unbuffered)
    ended = run_with(command_that_prints(characters), tmp_path, "> /dev/full")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert ended.stderr.startswith("no room for what is printed (No space left on device): let standard output lead")


def test_ctrl_c_before_the_options_are_read(tmp_path: Path) -> None:
    """The parser is the first import that takes time; here it takes for ever."""
    (tmp_path / "argparse.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = subprocess.run(
        [sys.executable, "-c", "import sys\nfrom asd.cli import main\nsys.exit(main(['status']))"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (130, "")


def test_a_terminal_that_is_not_utf8_gets_escapes(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom asd.system.entry import begin\nbegin()\n"
        "print('a – 风')\nprint('b – \\udcff', file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**ENVIRONMENT, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, b"a \\u2013 \\u98ce\n")
    assert ended.stderr == b"b \\u2013 \\udcff\n"


@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_asleep_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, found: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    with begun():
        assert os.environ["OMP_WAIT_POLICY"] == found


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        ImportError("libtorch.so: failed to map segment from shared object"),
    ],
)
def test_memory_that_runs_out_shows_in_many_ways(error: Exception) -> None:
    assert is_out_of_memory(error)
    if not isinstance(error, MemoryError):
        assert not is_out_of_memory(type(error)("something else"))


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_of_the_simulator_end_with_their_parent(number: int, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom asd.cli import main\nif __name__ == '__main__':\n    sys.exit(main(['data', 'simulate', "
        "'--root', 'd', '--machines', 'fan', '--sections', '3', '--source', '200', '--workers', '2', '--quiet']))"
    )
    (tmp_path / "simulate.py").write_text(code)
    parent = subprocess.Popen([sys.executable, "simulate.py"], cwd=tmp_path, env=ENVIRONMENT, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("d/*/*/*/section*.wav")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    session = in_session(parent.pid)
    assert len(session) > 2
    parent.send_signal(number)
    parent.wait(timeout=30)
    while any(start_time(pid) is not None for pid in session):
        assert time.monotonic() < deadline, "workers are left"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")
def test_a_worker_whose_parent_was_killed_before_its_first_turn_ends(tmp_path: Path) -> None:
    """On a busy machine a worker that no step waits for begins late: it must not take its next parent for its own."""
    code = (
        "import os, signal, time, torch\n"
        "from types import SimpleNamespace\n"
        "from asd.data.datamodule import StepDataModule\n"
        "trains = os.getpid()\n"
        "def late(_):\n"
        "    while os.getppid() == trains: time.sleep(0.01)\n"
        "    open('late', 'w').close()\n"
        "torch.set_num_threads = late\n"
        "steps = [torch.zeros(1)] * 4\n"
        "module = StepDataModule(SimpleNamespace(n_steps_per_epoch=4), workers=2)\n"
        "batches = iter(module.loader(steps, pin_memory=False))\n"
        "os.kill(trains, signal.SIGKILL)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, start_new_session=True)
    assert parent.wait(timeout=60) == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while in_session(parent.pid):
        assert time.monotonic() < deadline, "workers are left"
        time.sleep(0.05)
    assert (tmp_path / "late").is_file()


def in_session(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append(int(path.parent.name))
    return found
