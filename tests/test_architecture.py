"""The layout is the architecture: who may know whom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ASD = ROOT / "asd"
HEAVY = {"torch", "pytorch_lightning", "lightning_fabric", "timm", "wandb", "sklearn", "librosa"}

# Which file may import a library that shapes the house. Nothing else may.
KNOWS = {
    "hydra": {"config/compose.py", "config/instantiate.py", "launch/script.py"},
    "omegaconf": {"config/compose.py", "launch/script.py"},
    "wandb": {"report/wandb/runs.py", "report/wandb/evaluation.py", "report/wandb/workspace.py"},
    "wandb_workspaces": {"report/wandb/workspace.py"},
    "timm": {"models/timm_cnn.py", "models/mobilenetv2.py"},
    "pytorch_lightning": {
        "data/datamodule.py",
        "experiment.py",
        "models/module.py",
        "report/wandb/runs.py",
        "report/wandb/training.py",
        "training/checkpoint.py",
        "training/nonfinite.py",
        "training/progress_bar.py",
        "training/record.py",
        "training/trainer.py",
    },
    "lightning_fabric": {"training/checkpoint.py", "training/trainer.py"},
}

# Rooms in the order of the sound: a room imports from itself and from earlier ones.
ROOMS = ["system", "config", "features", "scoring", "data", "models", "simulator", "runs", "training", "methods"]
ROOMS += ["inference", "report", "dcase", "launch", "experiment", "evaluation", "cli", "__main__"]

LIGHT = [
    "asd",
    "asd.cli",
    "asd.config.compose",
    "asd.config.schema",
    "asd.data.bad_clips",
    "asd.data.clips",
    "asd.data.readers.folder",
    "asd.launch.grid",
    "asd.launch.preconditions",
    "asd.launch.script",
    "asd.methods.arcface",
    "asd.methods.autoencoder",
    "asd.methods.logmel_neighbour",
    "asd.methods.mobilenetv2",
    "asd.methods.temporal_pooling",
    "asd.runs.excluded",
    "asd.runs.manifest",
    "asd.runs.overview",
    "asd.runs.ranks",
]


def sources() -> list[Path]:
    """Every file of the package."""
    return sorted(ASD.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere, except for type checkers alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


def room(module: str) -> str:
    """The room of a module of ours: the part after `asd`."""
    return module.split(".")[1]


def test_a_library_stays_in_its_room() -> None:
    strays = [
        f"{here} may not know {library}"
        for path in sources()
        for here in [path.relative_to(ASD).as_posix()]
        for library in sorted({module.partition(".")[0] for module in imports(path)} & KNOWS.keys())
        if here not in KNOWS[library]
    ]
    assert strays == []


def test_rooms_look_one_way() -> None:
    back = [
        f"{path.relative_to(ASD)} looks back at {module}"
        for path in sources()
        if path.name != "__init__.py"  # asd/__init__.py offers load_run, lazily
        for here in [path.relative_to(ASD).with_suffix("").parts[0]]
        for module in sorted(imports(path))
        if module.startswith("asd.") and ROOMS.index(room(module)) > ROOMS.index(here)
    ]
    assert back == []


def test_no_import_circle_between_files() -> None:
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): {m for m in imports(path) if m.startswith("asd.")}
        for path in sources()
        if path.name != "__init__.py"
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"circle: {' → '.join((*above, module))}"
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_the_way_to_a_mistake_is_light() -> None:
    code = f"import sys, {', '.join(LIGHT)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & {module.partition(".")[0] for module in loaded}


def test_evaluation_and_detectors_start_without_lightning() -> None:
    # It takes as long to import as everything else; the mirror on W&B and training import it when they begin.
    todo, seen = (
        ["asd.evaluation", "asd.inference.run_detector", "asd.models.embedder", "asd.report.page.render"],
        set(),
    )
    while todo:
        module = todo.pop()
        path = ROOT / f"{module.replace('.', '/')}.py"
        if module not in seen and path.is_file():
            seen.add(module)
            todo += top_imports(path)
    assert len(seen) > 50
    assert not seen & {f"asd.{path.removesuffix('.py').replace('/', '.')}" for path in KNOWS["pytorch_lightning"]}


def top_imports(path: Path) -> set[str]:
    """The modules that importing a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "base", "misc"])
def test_files_are_named_after_what_they_hold(name: str) -> None:
    assert not list(ASD.rglob(f"{name}.py"))


def test_documents_that_messages_name_are_there() -> None:
    """With the heading, where one is named."""
    for path in sorted((ROOT / "asd").rglob("*.py")):
        for name, anchor in re.findall(r"(docs/[\w-]+\.md|README(?:\.md)?(?=[ ,.;)]))(?:#([\w-]+))?", path.read_text()):
            page = ROOT / (name if name.endswith(".md") else f"{name}.md")
            assert page.is_file(), f"{path}: {name}"
            headings = [slug for line in page.read_text().splitlines() if (slug := heading_slug(line))]
            assert not anchor or anchor in headings, f"{path}: {name}#{anchor}"


def heading_slug(line: str) -> str:
    """What a heading of Markdown is linked by; empty for other lines."""
    return re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") if line.startswith("#") else ""
