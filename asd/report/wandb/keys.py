"""What is logged to W&B, under which key and in which runs: the one table that logging and panels both go by."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

TRAINING = ("train", "finetune")
EVALUATE = ("evaluate",)
ENSEMBLE = ("ensemble",)

Kind = Literal["curve", "figure", "table", "image"]


@dataclass(frozen=True)
class LoggedKey:
    """A key that is logged.

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
    LoggedKey("train/loss", TRAINING, "curve", "ArcFace loss, mean of the epoch", "loss"),
    LoggedKey("train/accuracy", TRAINING, "curve", "share of pieces whose section was found", "accuracy"),
    LoggedKey("train/lr", TRAINING, "curve", "learning rate at the end of the epoch", "lr"),
    LoggedKey("train/epoch", TRAINING, "curve", "number of the epoch, from 0", "epoch"),
    LoggedKey("speed/pieces_per_second", TRAINING, "curve", "pieces trained on per second", "pieces_per_second"),
    LoggedKey("speed/seconds_per_epoch", TRAINING, "curve", "duration of the epoch in seconds", "seconds"),
    LoggedKey("train/*", TRAINING, "curve", "whatever else a line of metrics.jsonl holds", "*"),
    LoggedKey("score/auc", EVALUATE, "figure", "harmonic mean of the AUCs of the machine, in percent"),
    LoggedKey("score/pauc", EVALUATE, "figure", "harmonic mean of the pAUCs of the machine, in percent"),
    LoggedKey("score/official", EVALUATE, "figure", "harmonic mean of all AUCs and pAUCs of the machine, in percent"),
    LoggedKey("auc/*", EVALUATE, "figure", "AUC of a section and domain, such as auc/00_source, in percent"),
    LoggedKey("pauc/*", EVALUATE, "figure", "pAUC of a section and domain, in percent"),
    LoggedKey(
        "results/sections", EVALUATE, "table", "AUC and pAUC of each section and domain as fractions, with their rule"
    ),
    LoggedKey("results/roc", EVALUATE, "image", "ROC curve of every section and domain"),
    LoggedKey("results/histogram", EVALUATE, "image", "scores of normal and anomalous test clips"),
    LoggedKey("results/projection", EVALUATE, "image", "embeddings of the clips on their two main axes (PCA)"),
    LoggedKey("results/clips", EVALUATE, "table", "the worst misses and false alarms, to listen to"),
    LoggedKey("results/table2", ENSEMBLE, "table", "all systems; the report's too, where the data are the same"),
    LoggedKey("official/*", ENSEMBLE, "figure", "official score of a system of the grid, in percent"),
)


def find(name: str) -> LoggedKey:
    """The entry of a key; the first that fits.

    Raises:
        KeyError: It is not in the table.
    """
    for key in KEYS:
        if fnmatchcase(name, key.name):
            return key
    raise KeyError(f"{name} is not in the table in asd/report/wandb/keys.py")


def curve(column: str) -> str:
    """The key of a column of metrics.jsonl."""
    return next((key.name for key in KEYS if key.column == column), f"train/{column}")


def markdown() -> str:
    """The table for docs/dashboards.md."""
    lines = ["| key | in runs of type | what | meaning |", "|---|---|---|---|"]
    lines += [f"| `{key.name}` | {', '.join(key.job_types)} | {key.kind} | {key.meaning} |" for key in KEYS]
    return "\n".join(lines) + "\n"
