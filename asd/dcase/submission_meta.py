"""The description that goes with a submission: the fields of the challenge's meta.yaml, filled from the runs.

The fields are those of a package handed in to the 2020 challenge, whose template the later ones follow. Names of the
figures per domain are those of later editions; that 2021 had the same could not be confirmed (docs/evaluation.md).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asd.config.components import Component
from asd.config.instantiate import find_code
from asd.config.trust import require_trusted
from asd.dcase.official import FIGURES, official_rows
from asd.dcase.submission_entries import Entry, Order, in_part
from asd.runs.checkpoint import load_checkpoint
from asd.runs.folder import RunFolder
from asd.runs.recorded import RecordedConfig
from asd.scoring.metrics import Rule, hmean, scorable, section_rows
from asd.scoring.thresholds import decide

LABEL = re.compile(r"[A-Za-z0-9-]+_[A-Za-z0-9-]+_task2_[1-4]")
MAX_ABBREVIATION = 10
BATCHNORM_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # measured, not learnt


@dataclass(frozen=True)
class Author:
    """Who hands it in."""

    firstname: str
    lastname: str
    email: str | None = None
    institution: str | None = None


def make_label(team: str, index: int) -> str:
    """The submission's label.

    Args:
        team: last name of the corresponding author and abbreviation of the institute, such as `Lopez_IL`.
        index: 1 to 4.

    Raises:
        ValueError: it would not be a label of the challenge.
    """
    label = f"{team}_task2_{index}"
    if not LABEL.fullmatch(label):
        raise ValueError(
            f"{label} is no label of a submission: give --team NAME_INSTITUTE, such as Lopez_IL, and --index 1 to 4"
        )
    return label


def parse_author(text: str) -> Author:
    """An author from `First Last <email>, Institution`; email and institution may be left out.

    Raises:
        ValueError: there are not both names.
    """
    match = re.fullmatch(r"\s*(\S.*?)\s+([^\s<,]+)\s*(?:<([^<>]+@[^<>]+)>)?\s*(?:,\s*(.+?)\s*)?", text)
    if match is None:
        raise ValueError(f"{text!r} is no author: write 'First Last <email>, Institution'")
    return Author(*match.groups())


def describe(order: Order, entries: Mapping[str, Entry], authors: Sequence[Author], rule: Rule) -> dict[str, Any]:
    """The whole description, plain values; null where the runs cannot tell."""
    members = [entry.members for entry in entries.values()]
    configs = [RecordedConfig.read(run) for runs in members for run in runs]
    results = {
        machine: found for machine, entry in entries.items() if (found := development_figures(machine, entry, rule))
    }
    return {
        "submission": {
            "label": order.label,
            "name": f"{order.name} {order.system}",
            "abbreviation": abbreviate(order.system),
            "authors": [describe_author(author, index == 0) for index, author in enumerate(authors)],
        },
        "system": {
            "description": describe_system(order, configs, max(map(len, members))),
            "complexity": {"total_parameters": max(sum(map(n_parameters, runs)) for runs in members)},
            "external_datasets": None,
            "source_code": None,
        },
        "results": {"development_dataset": results or None},
    }


def abbreviate(system: str) -> str:
    """A name that fits the challenge's narrow tables."""
    return system.replace("submission", "ensemble").partition("/")[0][:MAX_ABBREVIATION]


def describe_author(author: Author, corresponding: bool) -> dict[str, Any]:
    """One author; the first one is the one to write to."""
    fields: dict[str, Any] = {"lastname": author.lastname, "firstname": author.firstname, "email": author.email}
    if corresponding:
        fields["corresponding"] = True
    affiliation = {"institution": author.institution, "department": None, "location": None}
    return {**fields, "affiliation": affiliation}


def describe_system(order: Order, configs: Sequence[RecordedConfig], n_members: int) -> dict[str, Any]:
    """General tags, each a comma-separated list over all members."""
    rates = {f"{config.rate / 1000:g}kHz" for config in configs if config.rate}
    mixes = any(config.mixup and config.mixup.probability for config in configs)
    methods = {technique(config) for config in configs} - {""}
    features = {"log-mel energies" if config.input.n_mels else "spectrogram" for config in configs}
    phases = {"fine-tuning" if config.phase != "train" else "development" for config in configs}
    return {
        "input_sampling_rate": ", ".join(sorted(rates)),
        "data_augmentation": "mixup" if mixes else None,
        "front_end": None,
        "acoustic_features": ", ".join(sorted(features)),
        "embeddings": None,
        "machine_learning_method": ", ".join([*sorted(methods), *(["ensemble"] if n_members > 1 else [])]) or None,
        "aggregation_method": "average",
        "ensemble_method_subsystem_count": n_members if n_members > 1 else None,
        "decision_making": {"mean": "average"}.get(order.ensemble, order.ensemble) if n_members > 1 else None,
        "external_data_usage": None,
        "development_data_usage": ", ".join(sorted({"development"} | phases)),
    }


def technique(config: RecordedConfig) -> str:
    """What the challenge calls the method of a run; empty for code of others, which is not imported for a word."""
    key = f"a run of outputs/{config.name}: method"
    try:
        require_trusted(config.method.target, key)
    except ValueError:
        return ""
    return str(getattr(find_code(Component.of({"_target_": config.method.target}), key), "TECHNIQUE", ""))


def n_parameters(run: RunFolder) -> int:
    """The weights of a run's network, without the centres that only training needs."""
    state = load_checkpoint(run.checkpoint)["state_dict"]
    kept = {name: weight for name, weight in state.items() if not name.startswith(("arcface.", "head."))}
    return sum(weight.numel() for name, weight in kept.items() if not name.endswith(BATCHNORM_STATISTICS))


def development_figures(machine: str, entry: Entry, rule: Rule) -> dict[str, float]:
    """Harmonic means over the sections of a machine's development test, domain by domain, in percent."""
    clips = entry.table.select(in_part(entry.table, "dev")).test_clips()
    if not len(clips.name):
        return {}
    decision = None if rule == "2020" else decide(clips.score, entry.threshold.value)
    metrics = section_rows(machine, clips, rule=rule, only=scorable(clips, rule)[0])
    cells: dict[str, list[float]] = {}
    for row in official_rows(metrics, clips, decision, rule):
        for figure in FIGURES:
            if (value := getattr(row, figure)) is not None:
                cells.setdefault(f"{figure}_{row.domain}", []).append(value)
    return {name: 100 * hmean(values) for name, values in cells.items()}
