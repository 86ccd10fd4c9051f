"""Writes the page: templates filled, style and script beside them, whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from asd.report.page import tables
from asd.report.page.gather import Grid, Run, read_grid
from asd.report.page.media import MEGABYTE, MediaStore
from asd.report.page.names import machine_page, system_page
from asd.report.page.scatter import N_LEVELS
from asd.report.page.system import SystemPage, build_page, short, wanted_clips
from asd.report.published import TABLE_2
from asd.system.progress import track

ASSETS = ("page.css", "page.js")


def write_report(path: Path, *, data: Path | None, media_mb: float, scorer: str) -> Path:
    """Makes outputs/<name>/report/ anew.

    Args:
        path: outputs/<name>.
        data: Where the recordings lie now; None: where the runs were trained.
        media_mb: Megabytes that sound and spectrograms may take, shared equally by the machines; 0: none.
        scorer: Whose scores to show.

    Returns:
        The page to open.

    Raises:
        ValueError: There is nothing to report on, or the recordings are not there.
    """
    if media_mb < 0:
        raise ValueError(f"--media-mb is {media_mb:g}; give 0 (no sound) or more")
    grid = read_grid(path, scorer)
    stores = media_stores(grid, data, media_mb)
    with new_folder(path / "report") as folder:
        write_pages(grid, folder, stores, media_mb)
    return path / "report" / "index.html"


def media_stores(grid: Grid, data: Path | None, media_mb: float) -> dict[str, MediaStore]:
    """A store for each machine; empty if no sound is wanted.

    Raises:
        ValueError: A machine's recordings are not where they should be.
    """
    if media_mb == 0:
        return {}
    stores = {}
    for machine in grid.machines:
        config = grid.of_machine(machine)[0].config
        root = data or Path(config["data"]["root"])
        if not list(root.glob(f"*/{machine}")):
            raise ValueError(
                f"{root}: no recordings of {machine} there; "
                "give --data DIR, their place, or --media-mb 0 for a page without sound"
            )
        rate = config["input"]["sample_rate"]
        stores[machine] = MediaStore(root, media_mb * MEGABYTE / len(grid.machines), rate)
    return stores


def write_pages(grid: Grid, folder: Path, stores: dict[str, MediaStore], media_mb: float) -> None:
    """Fills a folder: the overview, a page per machine, a page per scored run, report.md."""
    environment = templates()
    environment.globals |= {"grid": grid, "system_page": system_page, "machine_page": machine_page}
    for machine in grid.machines:
        scored = [run for run in grid.of_machine(machine) if run.scored]
        media = stores[machine].fill(folder, wanted_clips(scored)) if machine in stores else {}
        for run in track(scored, f"pages of {machine}", unit="system"):
            page = build_page(grid, run, media)
            write(environment, "system.html", folder / system_page(machine, run.system), **system_content(page, scored))
        write(environment, "machine.html", folder / machine_page(machine), **machine_content(grid, machine, scored))
    content = overview_content(grid, stores, media_mb)
    write(environment, "index.html", folder / "index.html", **content)
    write(environment, "report.md", folder / "report.md", **content, machine_tables=machine_tables(grid))
    copy_assets(folder)


def templates() -> jinja2.Environment:
    """The templates; whatever comes from a file or a configuration is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("asd.report.page"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": short, "signed": signed, "cell": markdown_cell}
    environment.globals["made"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment


def write(environment: jinja2.Environment, template: str, path: Path, **content: Any) -> None:
    """Fills one template."""
    path.write_text(environment.get_template(template).render(content), encoding="utf-8")


def overview_content(grid: Grid, stores: dict[str, MediaStore], media_mb: float) -> dict[str, Any]:
    """What index.html and report.md show."""
    machines, rows = tables.overview(grid)
    state_machines, states = tables.states(grid)
    return {
        "here": "",
        "machines": machines,
        "rows": rows,
        "published": list(TABLE_2),
        "reference": tables.REFERENCE,
        "comparable": tables.comparable(grid),
        "state_machines": state_machines,
        "states": states,
        "counts": tables.counts(grid),
        "versions": tables.versions(grid),
        "datasets": datasets(grid.runs),
        "media_mb": media_mb,
        "media_used": sum(store.used for store in stores.values()) / MEGABYTE,
        "left_out": sum(store.left_out for store in stores.values()),
    }


def datasets(runs: list[Run]) -> dict[str, dict[str, Any]]:
    """Name, place and fingerprint of the data of each machine."""
    return {run.machine: run.config["data"] for run in runs}


def machine_content(grid: Grid, machine: str, scored: list[Run]) -> dict[str, Any]:
    """What a machine's page shows."""
    figures = tables.machine_figures(grid, machine)
    return {
        "here": machine,
        "machine": machine,
        "runs": grid.of_machine(machine),
        "pages": {run.system: system_page(machine, run.system) for run in scored},
        "figures": figures,
        "places": tables.places(figures),
        "gains": tables.gains(grid, machine),
    }


def machine_tables(grid: Grid) -> dict[str, dict[str, Any]]:
    """What report.md shows of each machine."""
    return {machine: machine_content(grid, machine, []) for machine in grid.machines}


def system_content(page: SystemPage, scored: list[Run]) -> dict[str, Any]:
    """What a run's page shows."""
    return {
        "here": page.run.machine,
        "machine": page.run.machine,
        "page": page,
        "siblings": scored,
        "n_levels": N_LEVELS,
        "sections": sorted(page.colours),
    }


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign and an arrow: the direction is told without colour."""
    arrow = "▲" if value > 0 else "▼" if value < 0 else "■"
    return f"{arrow} {value:+.{digits}f}".replace("-", "−")


def markdown_cell(text: str) -> str:
    """Text that cannot end its cell or become markup."""
    flat = " ".join(str(text).split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


def copy_assets(folder: Path) -> None:
    """Style and script beside the pages."""
    for name in ASSETS:
        source = files("asd.report.page").joinpath("templates", name)
        (folder / name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that takes the place of `path` once it is complete; what was there before stays until then."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
