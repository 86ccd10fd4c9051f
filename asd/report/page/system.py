"""Everything that the page of one run shows."""

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from asd.report.page.clips import ClipRow, Telling, clip_rows, listening_order, telling
from asd.report.page.figures import Rows, histograms, roc, training_curves
from asd.report.page.gather import TRAIN, Grid, Run
from asd.report.page.media import Media
from asd.report.page.projection import Confusion, Projection, confusion, project
from asd.report.page.scatter import scatter, section_classes
from asd.report.page.tables import machine_figures
from asd.report.page.threshold import Threshold, decision_threshold
from asd.report.page.timeline import Timeline, timeline
from asd.runs.scores import ScoreTable


@dataclass(frozen=True, eq=False)
class SystemPage:
    """The content of a page; figures are SVG, empty where there is nothing to draw.

    Attributes:
        run: Whose page it is.
        scores: Of the run.
        threshold: Of the run.
        rows: The test clips, the highest score first.
        telling: The clips to listen to, by section.
        figures: name → SVG: roc, histogram, curves, pca, tsne.
        projection: None where no embeddings were kept.
        confusion: None where no embeddings were kept.
        timeline: How the pieces lie in time.
        media: What there is to hear.
        colours: section → number of its colour.
    """

    run: Run
    scores: ScoreTable
    threshold: Threshold
    rows: list[ClipRow]
    telling: list[Telling]
    figures: dict[str, str]
    projection: Projection | None
    confusion: Confusion | None
    timeline: Timeline
    media: dict[str, Media] = field(default_factory=dict)
    colours: dict[int, int] = field(default_factory=dict)

    def path_of(self, row: int) -> str:
        """The clip in a row of scores.csv."""
        return str(self.scores.clip[row])

    def media_of(self, row: int) -> Media | None:
        """What there is to hear of a clip in a row of scores.csv."""
        return self.media.get(self.path_of(row))

    def points(self, clip: ClipRow) -> str:
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
                "points": self.points(clip),
                "nearest": [{"name": short(self.path_of(row)), **self.sound(row)} for row in clip.nearest],
            }
            for clip in self.rows
        ]

    def sound(self, row: int) -> dict[str, Any]:
        """Sound and picture of a clip, if they are there."""
        media = self.media_of(row)
        return {"audio": media.audio, "image": media.image, "seconds": media.seconds, "khz": media.khz} if media else {}


def short(path: str) -> str:
    """The name of a clip without folders and ending."""
    return path.rpartition("/")[2].removesuffix(".wav")


def wanted_clips(runs: list[Run]) -> list[str]:
    """A machine's clips in the order in which they get sound: the telling ones of all runs, then every test clip."""
    orders: list[list[str]] = []
    rest: list[str] = []
    for run in runs:
        scores = known_scores(run)
        rows = clip_rows(scores, run.pieces(), decision_threshold(scores.score[scores.is_train]))
        orders.append([str(scores.clip[row]) for row in listening_order(rows)])
        rest += [row.path for row in rows]
    telling_clips = [clip for rank in zip_longest(*orders) for clip in rank if clip is not None]
    return list(dict.fromkeys(telling_clips + rest))


def known_scores(run: Run) -> ScoreTable:
    """The scores of a scored run."""
    assert run.scores is not None, "only scored runs have a page"
    return run.scores


def build_page(grid: Grid, run: Run, media: dict[str, Media]) -> SystemPage:
    """Computes the page of a scored run; `media` is what there is to hear."""
    scores = known_scores(run)
    pieces = run.pieces()
    embedding = None if pieces is None else pieces.embedding
    threshold = decision_threshold(scores.score[scores.is_train])
    rows = clip_rows(scores, pieces, threshold)
    projection = None if embedding is None else project(embedding)
    piece_scores = [score for row in rows for score in row.pieces]
    return SystemPage(
        run=run,
        scores=scores,
        threshold=threshold,
        rows=rows,
        telling=telling(rows),
        figures=figures(grid, run, scores, threshold) | maps(projection, scores),
        projection=projection,
        confusion=None if embedding is None else confusion(embedding, scores),
        timeline=timeline(run.config, run.scorer, piece_scores, threshold.value),
        media=media,
        colours=section_classes(scores),
    )


def figures(grid: Grid, run: Run, scores: ScoreTable, threshold: Threshold) -> dict[str, str]:
    """ROC curves, histograms and training curves, each where there is something to draw."""
    rows: Rows = machine_figures(grid, run.machine).get(run.system, {})
    found = {"roc": roc(scores, rows)} if rows else {}
    if (scores.split == "test").any():
        found["histogram"] = histograms(scores, threshold)
    phases = training_phases(grid, run)
    if any(lines for _, lines in phases):
        found["curves"] = training_curves(phases)
    return found


def training_phases(grid: Grid, run: Run) -> list[tuple[str, list[dict[str, Any]]]]:
    """The record of the run, behind that of the phase 1 that it went on from."""
    own = (run.phase, run.record())
    if run.phase == TRAIN:
        return [own]
    address = (run.address, TRAIN)
    first = [r for r in grid.of_machine(run.machine) if (r.address, r.phase) == address]
    return [*((r.phase, r.record()) for r in first), own]


def maps(projection: Projection | None, scores: ScoreTable) -> dict[str, str]:
    """Both projections."""
    if projection is None:
        return {}
    return {
        "pca": scatter("pca", projection.pca, projection.rows, scores, "main axis"),
        "tsne": scatter("tsne", projection.tsne, projection.rows, scores, "t-SNE axis"),
    }
