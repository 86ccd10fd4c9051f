"""The W&B workspaces of a grid and of a run as code (the extra `dashboard`); nothing else knows wandb-workspaces."""

import json
from typing import Any

from wandb_workspaces import expr
from wandb_workspaces.reports.v2 import interface as wr
from wandb_workspaces.workspaces import interface as ws

from asd.runs.folder import RunFolder

AXES = ("machine", "backbone_name", "input_name", "phase_name", "seed")


def curve(title: str, key: str) -> Any:
    """A curve over the training steps for each run."""
    return wr.LinePlot(title=title, x="trainer/global_step", y=[key], max_runs_to_show=100)


def bars(title: str, key: str, axis: str) -> Any:
    """The mean of the runs of each group, with its range."""
    return wr.BarPlot(
        title=title,
        metrics=[wr.SummaryMetric(key)],
        groupby=wr.Config(axis),
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=100,
    )


def table(key: str) -> Any:
    """A logged table."""
    return wr.WeavePanelSummaryTable(table_name=key)


def image(title: str, key: str) -> Any:
    """Logged images."""
    return wr.MediaBrowser(title=title, media_keys=[key])


def grid_panels() -> list[Any]:
    """The results of a grid: its table, and figures by machine, network, input and phase."""
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(axis), display_name=axis) for axis in AXES]
    columns.append(wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric("score/auc")))
    return [
        table("results/table2"),
        bars("AUC by machine", "score/auc", "machine"),
        bars("pAUC by machine", "score/pauc", "machine"),
        bars("AUC by backbone", "score/auc", "backbone_name"),
        bars("AUC by input", "score/auc", "input_name"),
        bars("AUC by phase", "score/auc", "phase_name"),
        wr.ScatterPlot(title="AUC and pAUC", x=wr.SummaryMetric("score/auc"), y=wr.SummaryMetric("score/pauc")),
        wr.ParallelCoordinatesPlot(title="From machine to AUC", columns=columns),
    ]


def run_panels() -> list[Any]:
    """The results of one run: sections and domains, plots, the worst errors."""
    return [
        table("results/sections"),
        image("ROC", "results/roc"),
        image("Scores of the test clips", "results/histogram"),
        image("Embeddings", "results/projection"),
        table("results/clips"),
    ]


def training_sections() -> list[Any]:
    """What is learnt, and how fast."""
    learning = [curve("Loss", "train/loss"), curve("Accuracy", "train/accuracy"), curve("Learning rate", "train/lr")]
    speed = [
        curve("Pieces per second", "speed/pieces_per_second"),
        curve("Seconds per epoch", "speed/seconds_per_epoch"),
    ]
    return [ws.Section(name=n, panels=p, is_open=True) for n, p in (("Learning", learning), ("Speed", speed))]


def grid_workspace(name: str, *, project: str, entity: str) -> ws.Workspace:
    """The workspace of a grid: only the runs of its group."""
    return workspace(f"asd grid {name}", grid_panels(), [expr.Metric("Group") == name], project, entity)


def run_workspace(run: RunFolder, *, project: str, entity: str) -> ws.Workspace:
    """The workspace of one run: its training and its evaluations."""
    mine = [
        expr.Metric("Group") == run.path.parents[2].name,
        expr.Config("machine") == run.machine,
        expr.Config("system") == run.system,
    ]
    title = f"asd run {run.machine} {run.system.replace('/', ' ')}"
    return workspace(title, run_panels(), mine, project, entity)


def workspace(name: str, panels: list[Any], filters: list[Any], project: str, entity: str) -> ws.Workspace:
    """A workspace over the runs that pass the filters: results, then the training."""
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[ws.Section(name="Results", panels=panels, is_open=True), *training_sections()],
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
