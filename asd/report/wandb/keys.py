"""What is logged to W&B, under which key and in which runs: the one table that logging and panels both go by."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

TRAINING = ("train", "finetune")
EVALUATE = ("evaluate",)
ENSEMBLE = ("ensemble",)
JOB_TYPES = (*TRAINING, *EVALUATE, *ENSEMBLE)

Kind = Literal["curve", "figure", "chart", "table", "image"]


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: What W&B calls it; `*` stands for what differs from run to run, such as a section.
        job_types: Of the runs that have it.
        kind: A curve has a value at every epoch, a figure one per run; the others are media.
        meaning: What it is, for people.
        column: Of a curve: its name in metrics.jsonl.
    """

    name: str
    job_types: tuple[str, ...]
    kind: Kind
    meaning: str
    column: str = ""


KEYS = (
    Key("train/loss", TRAINING, "curve", "ArcFace loss, mean of the epoch", "loss"),
    Key("train/accuracy", TRAINING, "curve", "share of pieces whose section was found", "accuracy"),
    Key("train/lr", TRAINING, "curve", "learning rate at the end of the epoch", "lr"),
    Key("train/epoch", TRAINING, "curve", "number of the epoch, from 0", "epoch"),
    Key("speed/pieces_per_second", TRAINING, "curve", "pieces trained on per second", "pieces_per_second"),
    Key("speed/seconds_per_epoch", TRAINING, "curve", "duration of the epoch in seconds", "seconds"),
    Key("train/*", TRAINING, "curve", "whatever else a line of metrics.jsonl holds", "*"),
    Key("score/auc", EVALUATE, "figure", "harmonic mean of the AUCs of the machine, in percent"),
    Key("score/pauc", EVALUATE, "figure", "harmonic mean of the pAUCs of the machine, in percent"),
    Key("score/official", EVALUATE, "figure", "harmonic mean of all AUCs and pAUCs of the machine, in percent"),
    Key("auc/*", EVALUATE, "figure", "AUC of a section and domain, such as auc/00_source, in percent"),
    Key("pauc/*", EVALUATE, "figure", "pAUC of a section and domain, in percent"),
    Key("results/sections", EVALUATE, "table", "AUC and pAUC of every section and domain"),
    Key("results/roc", EVALUATE, "chart", "ROC curve of every section and domain"),
    Key("results/histogram", EVALUATE, "chart", "scores of normal and of anomalous test clips, by domain"),
    Key("results/projection", EVALUATE, "image", "embeddings of the test clips on their two main axes (PCA)"),
    Key("results/points", EVALUATE, "table", "the points of the projection: clip, section, domain, label, score"),
    Key("results/clips", EVALUATE, "table", "the most telling misses and false alarms, to listen to"),
    Key("results/table2", ENSEMBLE, "table", "all systems of the grid beside the rows of the report"),
    Key("official/*", ENSEMBLE, "figure", "official score of a system of the grid, in percent"),
)


def find(name: str) -> Key:
    """The entry of a key; the first that fits.

    Raises:
        KeyError: It is not in the table.
    """
    for key in KEYS:
        if fnmatchcase(name, key.name):
            return key
    raise KeyError(f"{name} stands in no line of asd/report/wandb/keys.py")


def curve(column: str) -> str:
    """The key of a column of metrics.jsonl."""
    return next((key.name for key in KEYS if key.column == column), f"train/{column}")


def markdown() -> str:
    """The table for docs/dashboards.md."""
    lines = ["| key | in runs of type | what | meaning |", "|---|---|---|---|"]
    lines += [f"| `{key.name}` | {', '.join(key.job_types)} | {key.kind} | {key.meaning} |" for key in KEYS]
    return "\n".join(lines) + "\n"
