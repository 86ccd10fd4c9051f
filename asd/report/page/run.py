"""Everything that the page of one run shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asd.report.clips import ClipRow, WorstErrors, clip_rows, listening_order, worst_errors
from asd.report.page.load import TRAIN, Grid, Run
from asd.report.page.media import Media
from asd.report.page.names import run_slug
from asd.report.page.points import Point, map_points, section_classes
from asd.report.page.timeline import Timeline, timeline
from asd.report.plots import Plot, histograms, roc_of_run, training_curves
from asd.report.projection import Confusion, Projection, confusion, project
from asd.runs.scores import ScoreTable
from asd.scoring.thresholds import GroupThreshold, Threshold, find_threshold, group_thresholds, sound_threshold


@dataclass(frozen=True)
class Picture:
    """A plot beside the page, and what it shows in words."""

    path: str
    description: str


@dataclass(frozen=True)
class GroupRow:
    """Thresholds of one section and domain, and what they flag among its normal test clips.

    Attributes:
        gamma: The official threshold.
        empirical: The quantile of the training scores themselves.
        n_normal: Its normal test clips.
        flagged: Share of them above either threshold, in the same order; NaN without such clips.
    """

    gamma: GroupThreshold
    empirical: GroupThreshold
    n_normal: int
    flagged: tuple[float, float]


@dataclass(frozen=True, eq=False)
class RunPage:
    """The content of a page.

    Attributes:
        run: Whose page it is.
        threshold: Of the machine.
        groups: Thresholds per section and domain.
        rows: The test clips, the highest score first.
        errors: The clips to listen to, by section.
        pictures: Name → plot: roc, histogram, curves; those there is something to draw for.
        projection: None where no embeddings were kept.
        points: Projection → its points.
        confusion: None where no embeddings were kept.
        timeline: How the pieces lie in time.
        media: What there is to hear.
        colours: Section → number of its colour.
    """

    run: Run
    threshold: Threshold
    groups: list[GroupRow]
    rows: list[ClipRow]
    errors: list[WorstErrors]
    pictures: dict[str, Picture]
    projection: Projection | None
    points: dict[str, list[Point]]
    confusion: Confusion | None
    timeline: Timeline
    media: dict[str, Media] = field(default_factory=dict)
    colours: dict[int, int] = field(default_factory=dict)

    def path_of(self, row: int) -> str:
        """The clip in a row of scores.csv."""
        return str(self.run.table.clip[row])

    def media_of(self, row: int) -> Media | None:
        """What there is to hear of a clip in a row of scores.csv."""
        return self.media.get(self.path_of(row))

    def curve(self, clip: ClipRow) -> str:
        """The score of each of its pieces, for a polyline."""
        media = self.media.get(clip.path)
        return self.timeline.points(clip.pieces, media.seconds if media else None)

    @property
    def limit(self) -> int:
        """Where the threshold is drawn."""
        return self.timeline.height(self.threshold.value)

    def player(self) -> list[dict[str, Any]]:
        """What the player needs to know of each test clip, in the order of `rows`."""
        return [
            {
                "name": clip.name,
                **self.sound(clip.row),
                "points": self.curve(clip),
                "nearest": [{"name": short(self.path_of(row)), **self.sound(row)} for row in clip.nearest],
            }
            for clip in self.rows
        ]

    def sound(self, row: int) -> dict[str, Any]:
        """Sound and picture of a clip, if they are there."""
        media = self.media_of(row)
        return {"audio": media.audio, "image": media.image, "seconds": media.seconds, "khz": media.khz} if media else {}


def short(path: str) -> str:
    """The name of a clip without folders and suffix."""
    return path.rpartition("/")[2].removesuffix(".wav")


def wanted_clips(runs: Sequence[Run]) -> list[str]:
    """A machine's clips in the order in which they get sound: the worst errors of all runs, then every test clip."""
    orders: list[list[str]] = []
    rest: list[str] = []
    for run in runs:
        rows = clip_rows(run.table, run.pieces, sound_threshold(run.table.score[run.table.is_train]))
        first = [row for clip in listening_order(worst_errors(rows)) for row in (clip.row, *clip.nearest)]
        orders.append([str(run.table.clip[row]) for row in first])
        rest += [row.path for row in rows]
    longest = max(map(len, orders), default=0)
    turns = [order[index] for index in range(longest) for order in orders if index < len(order)]
    return list(dict.fromkeys(turns + rest))


def build_page(
    grid: Grid, run: Run, media: dict[str, Media], projection: Projection | None, draw: Callable[[str, Plot], Picture]
) -> RunPage:
    """Computes the page of a scored run.

    Args:
        grid: What it is part of.
        run: Scored.
        media: What there is to hear.
        projection: Of its embeddings.
        draw: Where plots go.
    """
    scores, pieces = run.table, run.pieces
    threshold = sound_threshold(scores.score[scores.is_train])
    rows = clip_rows(scores, pieces, threshold)
    has_embedding = pieces is not None and pieces.embedding is not None
    piece_scores = [score for row in rows for score in row.pieces]
    return RunPage(
        run=run,
        threshold=threshold,
        groups=group_rows(scores),
        rows=rows,
        errors=worst_errors(rows),
        pictures=draw_run(grid, run, threshold, draw),
        projection=projection,
        points={} if projection is None else map_points(projection, scores),
        confusion=confusion(pieces.embedding, scores) if has_embedding else None,  # type: ignore[union-attr,arg-type]
        timeline=timeline(run.config.input, run.stride, piece_scores, threshold.value),
        media=media,
        colours=section_classes(scores),
    )


def project_run(run: Run) -> Projection | None:
    """The projection of a run's embeddings; None where none were kept."""
    return None if run.pieces is None or run.pieces.embedding is None else project(run.pieces.embedding)


def group_rows(scores: ScoreTable) -> list[GroupRow]:
    """The official and the empirical threshold of each section and domain, and what they flag."""
    training = scores.select(scores.is_train)
    columns = (training.score, training.section, training.domain)
    gamma = group_thresholds(*columns, find_threshold)
    empirical = group_thresholds(*columns, lambda group: find_threshold(group, method="empirical"))
    found = []
    for pair in zip(gamma, empirical, strict=True):
        here = (scores.section == pair[0].section) & (scores.domain == pair[0].domain)
        normal = scores.score[here & (scores.split == "test") & (scores.label == "normal")]
        flagged = [
            float((normal > one.threshold.value).mean()) if one.threshold and len(normal) else np.nan for one in pair
        ]
        found.append(GroupRow(*pair, len(normal), (flagged[0], flagged[1])))
    return found


@dataclass(frozen=True)
class Drawer:
    """Writes plots into the folder of a page.

    Attributes:
        folder: Of the page.
    """

    folder: Path

    def __call__(self, name: str, plot: Plot) -> Picture:
        """Writes a plot; `name` is its file's, without suffix."""
        (self.folder / "plots").mkdir(exist_ok=True)
        plot.write_svg(self.folder / "plots" / f"{name}.svg")
        return Picture(f"plots/{name}.svg", plot.description)


def draw_run(grid: Grid, run: Run, threshold: Threshold, draw: Callable[[str, Plot], Picture]) -> dict[str, Picture]:
    """ROC curves, histograms and training curves, each where there is something to draw."""
    assert run.scored is not None
    scored, name, found = run.scored, run_slug(run.machine, run.system), {}
    if scored.rows:
        found["roc"] = draw(f"{name}-roc", roc_of_run(scored.table, scored.rows, scored.rule))
    if (scored.table.split == "test").any():
        found["histogram"] = draw(f"{name}-scores", histograms(scored.table, threshold.value))
    phases = training_phases(grid, run)
    if any(lines for _, lines in phases):
        found["curves"] = draw(f"{name}-training", training_curves(phases))
    return found


def training_phases(grid: Grid, run: Run) -> list[tuple[str, list[dict[str, Any]]]]:
    """The record of the run, behind that of the phase 1 that it went on from."""
    own = (run.phase, run.record())
    if run.phase == TRAIN:
        return [own]
    first = [r for r in grid.of_machine(run.machine) if (r.address, r.phase) == (run.address, TRAIN)]
    return [*((r.phase, r.record()) for r in first), own]
