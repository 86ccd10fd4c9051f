"""The workspaces as W&B keeps them (the extra `dashboard`); nothing else knows wandb-workspaces."""

import json
from collections.abc import Callable
from typing import Any

from wandb_workspaces import expr
from wandb_workspaces.reports.v2 import interface as wr
from wandb_workspaces.workspaces import interface as ws

from asd.report.wandb.panels import GRID, RUN, Panel, Section
from asd.runs.folder import RunFolder


def grid_workspace(name: str, *, project: str, entity: str) -> ws.Workspace:
    """The workspace of a grid: only the runs of its group."""
    return workspace(f"asd grid {name}", GRID, [expr.Metric("Group") == name], project, entity)


def run_workspace(run: RunFolder, *, project: str, entity: str) -> ws.Workspace:
    """The workspace of one run: its training and its evaluations."""
    mine = [
        expr.Metric("Group") == run.path.parents[2].name,
        expr.Config("machine") == run.machine,
        expr.Config("system") == run.system,
    ]
    return workspace(f"asd run {run.machine} {run.system.replace('/', ' ')}", RUN, mine, project, entity)


def workspace(name: str, sections: tuple[Section, ...], filters: list[Any], project: str, entity: str) -> ws.Workspace:
    """A workspace of sections over the runs that pass the filters."""
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            ws.Section(name=section.title, panels=[BUILD[panel.kind](panel) for panel in section.panels], is_open=True)
            for section in sections
        ],
        runset_settings=ws.RunsetSettings(
            filters=expr.And(*filters), pinned_columns=["summary:score/auc", "summary:score/pauc"]
        ),
        settings=ws.WorkspaceSettings(max_runs=100),
        auto_generate_panels=False,
    )


def save(made: ws.Workspace) -> str:
    """Saves a workspace as a new view and returns its address.

    Raises:
        ValueError: W&B does not know who we are, or does not answer.
    """
    import wandb

    try:
        made.entity = made.entity or str(wandb.Api().default_entity)
        made.save()
    except wandb.Error as error:
        raise ValueError(f"W&B takes no workspace ({error}): wandb login first, or see it with --json") from None
    return str(made.url)


def as_json(made: ws.Workspace) -> str:
    """What would be saved, for people who want to see it first."""
    model = made._to_model()
    return json.dumps(model.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2)


def lines(panel: Panel) -> Any:
    """Curves over the training steps."""
    return wr.LinePlot(title=panel.title, x="Step", y=list(panel.keys), max_runs_to_show=100)


def bars(panel: Panel) -> Any:
    """The mean of the runs of each group, with its range."""
    return wr.BarPlot(
        title=panel.title,
        metrics=[wr.SummaryMetric(key) for key in panel.keys],
        groupby=wr.Config(panel.axes[0]),
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=100,
    )


def scatter(panel: Panel) -> Any:
    """One point a run."""
    x, y = panel.keys
    return wr.ScatterPlot(title=panel.title, x=wr.SummaryMetric(x), y=wr.SummaryMetric(y))


def parallel(panel: Panel) -> Any:
    """One line a run, through what it is to what came out."""
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(axis), display_name=axis) for axis in panel.axes]
    columns += [wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(key)) for key in panel.keys]
    return wr.ParallelCoordinatesPlot(title=panel.title, columns=columns)


def chart(panel: Panel) -> Any:
    """A chart that was logged with its own table."""
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": f"{panel.keys[0]}_table"}},
        chart_name="wandb/lineseries/v0",
        chart_fields={"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"},
        chart_strings={"title": panel.title},
    )


def table(panel: Panel) -> Any:
    """A logged table."""
    return wr.WeavePanelSummaryTable(table_name=panel.keys[0])


def image(panel: Panel) -> Any:
    """Logged images."""
    return wr.MediaBrowser(title=panel.title, media_keys=list(panel.keys))


BUILD: dict[str, Callable[[Panel], Any]] = {
    "lines": lines,
    "bars": bars,
    "scatter": scatter,
    "parallel": parallel,
    "chart": chart,
    "table": table,
    "image": image,
}
