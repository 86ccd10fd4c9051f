"""Writes the page: templates filled, plots, style and script beside them, whole or not at all."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from asd.data.clips import file_of
from asd.report.page import tables
from asd.report.page.folder import page_folder
from asd.report.page.load import Grid, Run, read_grid
from asd.report.page.media import MEGABYTE, MediaStore
from asd.report.page.names import machine_page, slug, system_page
from asd.report.page.points import HEIGHT, N_LEVELS, WIDTH
from asd.report.page.run import Drawer, Picture, RunPage, build_page, project_run, short, wanted_clips
from asd.report.plots import embedding_map, roc_of_machine
from asd.report.projection import Projection
from asd.report.published import MACHINES, TABLE_2
from asd.report.table import markdown_cell
from asd.scoring.metrics import RULE_TEXT
from asd.system.files import saying_what_is_free
from asd.system.printable import printable
from asd.system.progress import track

ASSETS = ("page.css", "page.js")


def write_report(path: Path, *, data: Path | None, media_mb: float, scorer: str) -> Path:
    """Makes outputs/<name>/report/ anew.

    Args:
        path: outputs/<name>.
        data: Where the recordings are now; None: where the runs were trained.
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
    with page_folder(path / "report") as folder:
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
        root = data or config.data.folder
        scored = grid.scored(machine)
        if not scored:
            continue
        if not (root / file_of(str(scored[0].table.clip[0]))[0]).is_file():
            raise ValueError(
                f"{root}: no recordings of {machine} there; "
                "give --data DIR, their place, or --media-mb 0 for a page without sound"
            )
        stores[machine] = MediaStore(root, media_mb * MEGABYTE / len(grid.machines), config.rate or 16_000)
    return stores


def write_pages(grid: Grid, folder: Path, stores: dict[str, MediaStore], media_mb: float) -> None:
    """Fills a folder: the overview, a page per machine, a page per scored run, report.md, a guide."""
    environment = templates()
    environment.globals |= {"grid": grid, "system_page": system_page, "machine_page": machine_page}
    draw = Drawer(folder)
    for machine in grid.machines:
        scored = grid.scored(machine)
        media = stores[machine].fill(folder, wanted_clips(scored)) if machine in stores else {}
        best: Projection | None = None
        for run in track(scored, f"pages of {machine}", unit="system"):
            projection = project_run(run)
            best = best or (projection if run is scored[0] else None)
            page = build_page(grid, run, media, projection, draw)
            write(environment, "run.html", folder / system_page(machine, run.system), **run_content(page, scored))
        pictures = draw_machine(machine, scored, best, draw)
        content = machine_content(grid, machine, scored) | {"pictures": pictures}
        write(environment, "machine.html", folder / machine_page(machine), **content)
    content = overview_content(grid, stores, media_mb)
    write(environment, "index.html", folder / "index.html", **content)
    write(environment, "guide.html", folder / "guide.html", here="guide")
    of_machines = {machine: machine_content(grid, machine, []) for machine in grid.machines}
    write(environment, "report.md", folder / "report.md", **content, machine_tables=of_machines)
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
    environment.filters |= {"short": short, "signed": signed, "cell": markdown_cell, "place": tables.place_title}
    environment.globals["made"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment


def write(environment: jinja2.Environment, template: str, path: Path, **content: Any) -> None:
    """Fills one template."""
    with saying_what_is_free(path):
        path.write_text(printable(environment.get_template(template).render(content)), encoding="utf-8")


def overview_content(grid: Grid, stores: dict[str, MediaStore], media_mb: float) -> dict[str, Any]:
    """What index.html and report.md show."""
    machines, rows = tables.overview(grid)
    return {
        "here": "",
        "machines": machines,
        "rows": rows,
        "table_2": TABLE_2,
        "table_2_machines": [machine for machine in MACHINES if machine in machines],
        "reference": tables.REFERENCE,
        "states": tables.states(grid),
        "counts": tables.counts(grid),
        "versions": tables.versions(grid),
        "datasets": {run.machine: run.config.data for run in grid.runs},
        "media_mb": media_mb,
        "media_used": sum(store.used for store in stores.values()) / MEGABYTE,
        "n_excluded": sum(store.n_excluded for store in stores.values()),
    }


def draw_machine(
    machine: str, scored: Sequence[Run], projection: Projection | None, draw: Drawer
) -> dict[str, Picture]:
    """ROC curves of all systems and the map of the best one's embeddings, each where there is something to draw.

    Args:
        machine: Its name.
        scored: Its scored runs, the best first.
        projection: Of the best one's embeddings.
        draw: Where plots go.
    """
    found = {}
    curves = {run.system: (run.table, run.scored.rows) for run in scored if run.scored and run.scored.rows}
    if curves:
        rule = scored[0].scored.rule  # type: ignore[union-attr]
        found["roc"] = draw(f"{slug(machine)}-roc", roc_of_machine(curves, rule))
    if projection:
        table = scored[0].table
        found["map"] = draw(f"{slug(machine)}-map", embedding_map(projection.tsne, projection.rows, table, "t-SNE"))
    return found


def machine_content(grid: Grid, machine: str, scored: Sequence[Run]) -> dict[str, Any]:
    """What a machine's page shows."""
    rows = tables.heat_rows(grid, machine)
    return {
        "here": machine,
        "machine": machine,
        "runs": grid.of_machine(machine),
        "pages": {run.system: system_page(machine, run.system) for run in scored},
        "best": scored[0].system if scored else "",
        "rule_text": RULE_TEXT[grid.results.rules[machine]] if machine in grid.results.rules else "",
        "rows": rows,
        "places": {metric: tables.places(rows, metric) for metric in ("auc", "pauc")},
        "gains": tables.gains(grid, machine),
    }


def run_content(page: RunPage, scored: Sequence[Run]) -> dict[str, Any]:
    """What a run's page shows."""
    return {
        "here": page.run.machine,
        "machine": page.run.machine,
        "page": page,
        "siblings": scored,
        "n_levels": N_LEVELS,
        "map_size": (WIDTH, HEIGHT),
        "sections": sorted(page.colours),
        "domains": sorted({row.domain for row in page.rows}),
    }


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign and an arrow: the direction is told without colour."""
    arrow = "▲" if value > 0 else "▼" if value < 0 else "■"
    return f"{arrow} {value:+.{digits}f}".replace("-", "−")


def copy_assets(folder: Path) -> None:
    """Style and script beside the pages."""
    for name in ASSETS:
        source = files("asd.report.page").joinpath("templates", name)
        (folder / name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
