"""An evaluated grid as files, made by hand: without training, with any name."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from asd.report.collect import write_files
from asd.report.results import Results, System
from asd.runs.folder import RunFolder
from asd.runs.manifest import write_manifest
from asd.runs.scores import ScoreTable, write_scores
from asd.scoring.metrics import MetricRow, Rule

TRAIN, TUNED = "net-512x32-s0/train", "net-512x32-s0/finetune-arcface"
SECTIONS = (0, 1)
CONFIG: dict[str, Any] = {
    "seed": 0,
    "phase": "train",
    "method": {"_target_": "asd.methods.arcface.ArcFaceMethod"},
    "data": {"name": "folder", "root": "data", "fingerprint": "f" * 64},
    "input": {"name": "512x32", "n_frames": 32, "hop_length": 512, "sample_rate": 16_000},
    "loss": {"margin": 0.05},
}


def make_grid(path: Path) -> Path:
    """Two machines; on fan both phases and a failed run, on pump phase 1 alone."""
    for machine, system in (("fan", TRAIN), ("fan", TUNED), ("pump", TRAIN)):
        make_run(path, machine, system)
    make_run(path, "fan", "net-512x32-s1/train", state="failed")
    figures = {(TRAIN, "fan"): (0.7, 0.6), (TUNED, "fan"): (0.75, 0.55), (TRAIN, "pump"): (0.8, 0.5)}
    write_results(path, figures, "a note")
    return path


def make_run(grid: Path, machine: str, system: str, *, seed: int = 0, state: str = "done", n: int = 6) -> Path:
    """One run with scores; its anomalies score higher than its normal clips, but for one in each section."""
    folder = RunFolder(grid / machine / system)
    folder.write_config(CONFIG | {"name": grid.name, "seed": int(system.partition("/")[0][-1])})
    folder.status.write_text(json.dumps({"state": state, "why": "<b>why</b>" if state == "failed" else ""}))
    if state != "done":
        return folder.path
    lines = [{"epoch": i, "step": 2 * (i + 1), "loss": 3.0 - i, "accuracy": 0.5, "lr": 0.05} for i in range(3)]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"epoch": 3, "st')
    write_manifest(folder.manifest, {"config.yaml": folder.config}, data="f" * 64)
    table = clips(machine, np.random.default_rng(seed), n)
    scored = folder.scores("cosine")
    write_scores(scored / "scores.csv", table)
    write_pieces(scored / "pieces.npz", table, np.random.default_rng(seed))
    files = {"scores.csv": scored / "scores.csv", "pieces.npz": scored / "pieces.npz"}
    write_manifest(scored / "manifest.json", files, scorer={"stride": 16, "n_neighbors": 2})
    return folder.path


def clips(machine: str, random: np.random.Generator, n: int) -> ScoreTable:
    """n training clips and n test clips of each label for each section and domain."""
    keys = [
        (section, domain, split, label, index)
        for section in SECTIONS
        for domain in ("source", "target")
        for split, label in (("train", "normal"), ("test", "normal"), ("test", "anomaly"))
        for index in range(n)
    ]
    section, domain, split, label, index = (np.array(column) for column in zip(*keys, strict=True))
    score = random.uniform(0.1, 0.2, len(keys)) + 0.2 * (label == "anomaly")
    score[(label == "anomaly") & (index == 0)] = 0.01  # missed
    path = [f"dev_data/{machine}/x/section_{s:02d}_{d}_{t}_{b}_{i:04d}.wav" for s, d, t, b, i in keys]
    return ScoreTable(np.array(path), np.full(len(keys), machine), section, domain, split, label, score)


def write_pieces(path: Path, table: ScoreTable, random: np.random.Generator, *, embedding: bool = True) -> None:
    """Three pieces a clip, whose mean is its score; a section's training clips as its nearest."""
    n = len(table.clip)
    nearest = [np.flatnonzero(table.is_train & (table.section == section))[[2, 1]] for section in table.section]
    arrays = {
        "score": np.repeat(table.score, 3) * np.tile([0.5, 1.0, 1.5], n),
        "clip": np.repeat(np.arange(n), 3),
        "nearest": np.repeat(nearest, 3, axis=0),
        "path": table.clip,
    }
    if embedding:  # sections lie on different axes
        arrays["embedding"] = np.eye(8)[table.section] + 0.05 * random.standard_normal((n, 8))
    np.savez(path, **arrays)


def write_results(
    grid: Path, figures: dict[tuple[str, str], tuple[float, float]], note: str = "", *, rule: Rule = "2021"
) -> None:
    """results/ with one AUC and pAUC for all sections and domains of each system and machine, as fractions."""
    systems: dict[str, System] = {}
    for (name, machine), (auc, pauc) in figures.items():
        model, _, phase = name.partition("/")
        seed = int(model[-1])
        system = systems.setdefault(name, System(name, "run", model=model[:-3], seed=seed, phase=phase))
        system.notes[machine] = note
        for section in SECTIONS:
            for domain in ("source", "target"):
                system.rows.append(MetricRow(machine, section, domain, 6, 6, auc, pauc))
    machines = sorted({machine for _, machine in figures})
    rules, editions = dict.fromkeys(machines, rule), dict.fromkeys(machines, rule)
    data = str(CONFIG["data"]["name"])
    write_files(grid / "results", Results([data], rules, dict(editions), list(systems.values()), []))
