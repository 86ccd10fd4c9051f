"""README, site and notebook: links lead somewhere, every command line is right, every block is run or says why not."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
import soundfile
import yaml

from asd.cli import main as cli
from asd.cli.parser import build_parser
from asd.cli.reference import reference
from asd.config import compose
from asd.config.compose import plan, sweep_jobs
from asd.evaluation import evaluate
from asd.experiment import train
from asd.launch.script import preflight
from tests.support.factory import RATE, tone

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
SCRIPTS = ("train", "finetune", "evaluate")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: What the fence says.
        reason: Of a block that no test runs; empty: it is run.
        text: What is between the fences.
    """

    language: str
    reason: str
    text: str

    def commands(self) -> list[list[str]]:
        """The words of each command line, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        parts = [part for line in lines for part in re.split(r" && ", line)]
        return [words for part in parts if (words := shlex.split(part, comments=True))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    fenced = r"(?:^<!-- not run: ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$"
    text = page.read_text(encoding="utf-8")
    return [Block(m[2], m[1] or "", m[3]) for m in re.finditer(fenced, text, re.MULTILINE | re.DOTALL)]


def command_blocks(page: Path) -> list[Block]:
    """The blocks that are typed."""
    return [block for block in blocks(page) if block.language == "sh"]


def check_line(words: list[str]) -> None:
    """Composes a line of a script, or parses one of a command; other programs' lines are theirs."""
    if words[:2] == ["python", f"{Path(words[1]).stem}.py" if len(words) > 1 else ""]:
        words = ["asd", Path(words[1]).stem, *words[2:]]
    if words[0] == "asd" and words[1] in SCRIPTS:
        plan(words[1], words[2:])
    elif words[0] == "asd":
        with pytest.raises(SystemExit) if "--help" in words else contextlib.nullcontext():
            build_parser().parse_args(words[1:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def names(page: Path) -> str:
    """What a test of a page is called."""
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language, block.text
        assert not block.reason or block.language in ("sh", "python"), block.text


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("page", [page for page in PAGES if command_blocks(page)], ids=names)
def test_every_command_line_is_right(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sweep its first job is composed; left out is what needs code of the reader's or another sweeper."""
    monkeypatch.setattr(compose, "sweep_jobs", lambda *words: islice(sweep_jobs(*words), 1))
    for block in command_blocks(page):
        for words in block.commands():
            if not re.search("mynet|…|sweeper=optuna", " ".join(words)):
                check_line(words)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", text):
        path = page.parent / target if target else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_page_is_on_the_site() -> None:
    named = re.findall(r"[\w-]+\.md", yaml.safe_dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(named) == [page.name for page in sorted(DOCS.glob("*.md"))]


def test_the_reference_of_all_commands_is_up_to_date() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert page == reference(), "python -m asd.cli.reference > docs/commands.md"
    assert "|  |" not in page, "an option without a meaning"


@pytest.fixture
def fan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the tutorial's folder fan/: tones, the abnormal a third higher, a001 of a window."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    for state, letter, factor in (("normal", "n", 1.0), ("abnormal", "a", 1.3)):
        (tmp_path / "fan" / state).mkdir(parents=True)
        for index in range(1, 13):
            path = tmp_path / "fan" / state / f"{letter}{index:03d}.wav"
            seconds = 10.5 if path.stem == "a001" else 2.0
            soundfile.write(path, tone(400 * factor, seconds, index), RATE)
    return tmp_path


def run_block(block: Block) -> None:
    """Runs the lines of a block in this process, as a user's are run in one of their own."""
    if block.language == "python":
        exec(compile(block.text, "block", "exec"), {})
        return
    for words in block.commands():
        assert words[0] == "asd", words
        if words[1] == "evaluate":
            evaluate(preflight("evaluate", [*words[2:], "progress=false"]).configs[0])
        elif words[1] in SCRIPTS:
            train(preflight(words[1], [*words[2:], "progress=false"]).configs[0])
        else:
            assert cli(words[1:]) == 0, words


@pytest.mark.slow
@pytest.mark.ci
def test_the_tutorial(fan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of recordings to an alarm, and the blocks of the pages that go on from there."""
    for block in [*blocks(DOCS / "tutorial.md"), *blocks(DOCS / "python.md")]:
        if block.language in ("sh", "python") and not block.reason:
            run_block(block)
    said = capsys.readouterr().out
    assert "fan: read by data=folder" in said
    assert "rule of 2020: AUC and pAUC per section" in said
    assert '"event": "alarm-begins"' in said
    assert (fan / "outputs/main/report/index.html").is_file()


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "tutorial.md" and any(
    block.language == "sh" and not block.reason for block in blocks(page))], ids=names)  # fmt: skip
def test_the_blocks_of_a_page(page: Path, fan: Path) -> None:
    (fan / "DIR").symlink_to(fan / "fan")
    for block in command_blocks(page):
        if not block.reason:
            run_block(block)


@pytest.mark.slow
@pytest.mark.ci
def test_the_site_is_built_offline_with_strict_links(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = r'<(?:script|img|link)[^>]*(?:src|rel="stylesheet"[^>]*href)="?https?://'
        assert not re.search(loaded, page.read_text(encoding="utf-8")), page
    assert "asd.inference.detector.Detector" in (tmp_path / "site" / "python.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.ci
def test_the_notebook(tmp_path: Path) -> None:
    """Every cell runs in a kernel of its own; what is committed holds no outputs."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code), "strip the outputs"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = [str(output.get("data", "")) for cell in code for output in cell.outputs]
    assert sum("audio" in text for text in said) == 4
    assert sum("image/png" in text for text in said) == 3
