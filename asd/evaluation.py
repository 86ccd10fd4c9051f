"""The composition root of evaluation: finished runs → embeddings → scores → the table."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.config.preconditions import machine_list
from asd.data.bad_clips import Usable, open_usable, scan_clips
from asd.data.clips import ClipTable
from asd.data.placement import place
from asd.data.waveforms import WaveformBank
from asd.features.shortest import shortest_clip
from asd.inference.embedder import PRECISIONS, Embedder, load_embedder, name_of
from asd.methods.baseline_score import score_baseline
from asd.report.results import logmel_scores, write_results
from asd.report.wandb.evaluation import mirror_results
from asd.runs.excluded import refuse_other_training, write_skipped
from asd.runs.folder import RunFolder, find_runs
from asd.runs.lock import hold
from asd.runs.manifest import is_done, read_manifest, sha256, write_manifest
from asd.runs.method import is_baseline, scorer_of
from asd.runs.scores import ScoreTable, write_scores
from asd.scoring.logmel import mean_log_mel, nearest_distance
from asd.scoring.neighbours import ScorerSettings, Scores, SectionPieces, score_section
from asd.system.allocator import keep_freed_memory
from asd.system.files import remove_leftovers, replacing
from asd.system.interruption import interruptible
from asd.system.progress import say, track


def evaluate(config: Mapping[str, Any]) -> None:
    """Scores every finished run that was asked for, then rebuilds the results of the whole name.

    Args:
        config: A checked configuration of evaluate.py.

    Raises:
        ValueError: A run's data moved or changed, or its scores belong to another scorer.
    """
    keep_freed_memory()
    for run in find_runs(config["name"], machine_list(config)):
        if not is_done(run):
            say(f"{run.path} is not finished: left out")
        elif is_scored(run, config):
            say(f"{run.path} is scored already")
        else:
            with interruptible(), hold(run):
                remove_leftovers(run.path)
                score_run(run, config)
    if config["logmel_neighbour"]:
        score_logmel_neighbours(config)
    write_results(config)
    mirror_results(config, machine_list(config))


def is_scored(run: RunFolder, config: Mapping[str, Any]) -> bool:
    """Whether the scores are there, made with this scorer and from this checkpoint.

    Raises:
        ValueError: Another scorer's scores stand under the same name.
    """
    scorer = scorer_of(run.read_config(), config)
    manifest = read_manifest(run.scores(scorer.name) / "manifest.json")
    if manifest is None or config["overwrite"] or manifest["checkpoint"] != sha256(run.checkpoint):
        return False
    if config["data"]["on_bad_clip"] == "error" and manifest["skipped"]:
        return False
    asked, made_in = config["precision"], manifest.get("precision")
    if made_in and asked != "auto" and made_in != name_of(PRECISIONS[asked]):
        raise ValueError(
            f"{run.scores(scorer.name)} holds scores of embeddings in {made_in}: "
            f"give overwrite=true to make them in precision={asked}"
        )
    settings = scorer.settings
    if manifest["scorer"] != settings:
        differing = [f"{key}: {manifest['scorer'][key]} → {settings[key]}" for key in settings]
        raise ValueError(
            f"{run.scores(scorer.name)} holds scores of other settings ({', '.join(differing)}): "
            f"name this scorer, scorer.name=…, or give overwrite=true"
        )
    return True


def scorer_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The scorer's settings without its name."""
    return {key: value for key, value in config["scorer"].items() if key != "name"}


def score_run(run: RunFolder, config: Mapping[str, Any]) -> None:
    """Embeds and scores all clips of a run's machine and keeps references, scores and manifest."""
    device, made_with = choose_device(config["accelerator"]), run.read_config()
    clips = open_clips(run, config)
    if is_baseline(made_with):
        score_baseline(run, scorer_of(made_with, config), clips, device=device, progress=config["progress"])
        return
    settings = scorer_settings(config)
    embedder = load_embedder(run.checkpoint, device, config["precision"])
    refuse_other_references(run, config["scorer"]["name"], settings["stride"], embedder.precision)
    table, bank = clips.table, place(clips.bank, "auto", device, workers=0)
    unit = embed_clips(embedder, bank, settings["stride"], run, config["progress"])
    write_references(run, table, unit)
    scorer = ScorerSettings(**{k: v for k, v in settings.items() if k != "stride"})
    scores = score_sections(table, unit, scorer, config["progress"])
    folder = run.scores(config["scorer"]["name"])
    write_scores(folder / "scores.csv", ScoreTable.of_clips(table, scores.clips))
    write_pieces(folder / "pieces.npz", table, unit, scores)
    write_manifest(
        folder / "manifest.json",
        {
            "scores.csv": folder / "scores.csv",
            "pieces.npz": folder / "pieces.npz",
            "../../references.npz": run.references,
            **write_skipped(folder, clips.skipped),
        },
        scorer=settings,
        checkpoint=sha256(run.checkpoint),
        precision=name_of(embedder.precision),
        data=run.read_config()["data"]["fingerprint"],
        skipped=len(clips.skipped),
    )


def refuse_other_references(run: RunFolder, scorer: str, stride: int, precision: torch.dtype) -> None:
    """Raises ValueError where another scorer's scores would lose the references that they were made from.

    A run has one references.npz: all its scorers share the stride and the precision of the embeddings.
    """
    for folder in sorted(run.scores(scorer).parent.glob("*/")):
        manifest = read_manifest(folder / "manifest.json")
        if folder.name == scorer or manifest is None:
            continue
        theirs = manifest["scorer"]["stride"], manifest["precision"]
        if theirs != (stride, name_of(precision)):
            raise ValueError(
                f"{folder} was made of embeddings with stride {theirs[0]} in {theirs[1]}, and {run.references} "
                f"holds one kind only: keep to scorer.stride={theirs[0]} and that precision, or remove {folder}"
            )


def open_clips(run: RunFolder, config: Mapping[str, Any]) -> Usable[WaveformBank]:
    """The clips that a run was trained on, decoded.

    Raises:
        ValueError: They are not what they were at training time.
    """
    made_with = run.read_config()
    data = made_with["data"]
    root = Path(config["data"]["root"] or data["root"])
    policy = config["data"]["on_bad_clip"] or data["on_bad_clip"]
    table = scan_clips(root, run.machine, policy)
    if table.fingerprint() != data["fingerprint"]:
        raise ValueError(
            f"the clips of {run.machine} under {root} are not those that {run.path} was trained on: "
            f"give their place, data.root=DIR, or train again under another name"
        )
    cache, rate, least = Path(config["data"]["cache"]), made_with["input"]["sample_rate"], shortest_clip(made_with)
    open_bank = partial(
        WaveformBank.open, cache=cache, sample_rate=rate, min_samples=least, progress=config["progress"]
    )
    clips = open_usable(table, cache, open_bank, on_bad_clip=policy, sample_rate=rate, min_samples=least)
    clips.announce()
    refuse_other_training(run, table, clips.skipped)
    return clips


def embed_clips(embedder: Embedder, bank: WaveformBank, stride: int, run: RunFolder, progress: bool) -> list[Tensor]:
    """The unit embeddings of each clip's pieces, (pieces, embedding_dim) a clip."""
    found = embedder.embed_all(bank, stride=stride)
    return list(track(found, f"embedding {run.machine}/{run.system}", total=len(bank), show=progress))


def score_sections(table: ClipTable, unit: list[Tensor], settings: ScorerSettings, progress: bool) -> Scores:
    """Scores of all clips, section by section, in the table's order; `nearest` are rows of the table.

    Raises:
        ValueError: A test clip's section has no training clips, or too few for K neighbours.
    """
    n_pieces = np.array([len(pieces) for pieces in unit])
    piece_clip = np.repeat(np.arange(len(table)), n_pieces)
    clips = np.full(len(table), np.nan)
    pieces = np.full(len(piece_clip), np.nan)
    nearest = np.full((len(piece_clip), settings.n_neighbors), -1)
    for section in track(np.unique(table.section), f"scoring {table.machine}", unit="section", show=progress):
        rows = np.flatnonzero(table.section == section)
        found = score_section(section_pieces(table, unit, rows), settings)
        here = np.isin(piece_clip, rows)
        clips[rows], pieces[here], nearest[here] = found.clips, found.pieces, rows[found.nearest]
    return Scores(clips, pieces, nearest)


def section_pieces(table: ClipTable, unit: list[Tensor], rows: NDArray[np.int64]) -> SectionPieces:
    """The pieces of the clips of one section."""
    return SectionPieces(
        section=f"{table.machine} section {table.section[rows[0]]:02d}",
        unit=torch.cat([unit[row] for row in rows]),
        clip=np.repeat(np.arange(len(rows)), [len(unit[row]) for row in rows]),
        is_train=table.is_train[rows],
        is_source=table.is_source[rows],
    )


def write_references(run: RunFolder, table: ClipTable, unit: list[Tensor]) -> None:
    """Keeps the training pieces: with the checkpoint they score any recording."""
    rows = np.flatnonzero(table.is_train)
    with replacing(run.references) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            unit=torch.cat([unit[row] for row in rows]).numpy(),
            clip=np.repeat(np.arange(len(rows)), [len(unit[row]) for row in rows]),
            path=table.path[rows],
            section=table.section[rows].astype(np.int64),
            is_source=table.is_source[rows],
        )


def write_pieces(path: Path, table: ClipTable, unit: list[Tensor], scores: Scores) -> None:
    """Keeps the score and the nearest training clips of each piece, and the mean embedding of each clip.

    `clip` and `nearest` are rows of `path` and of `embedding`.
    """
    mean = torch.stack([pieces.mean(dim=0) for pieces in unit]).numpy()
    clip = np.repeat(np.arange(len(table)), [len(pieces) for pieces in unit])
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, score=scores.pieces, clip=clip, nearest=scores.nearest, path=table.path, embedding=mean)


def score_logmel_neighbours(config: Mapping[str, Any]) -> None:
    """Scores the reference system that learns nothing, once per machine, into results/logmel/."""
    for machine, run in {run.machine: run for run in find_runs(config["name"], machine_list(config))}.items():
        clips = open_clips(run, config)
        table, bank = clips.table, clips.bank
        rate = run.read_config()["input"]["sample_rate"]
        rows = track(range(len(bank)), f"log-mel of {machine}", show=config["progress"])
        features = np.stack([mean_log_mel(whole_clip(bank, row), rate) for row in rows])
        scores = np.empty(len(table))
        for section in np.unique(table.section):
            here = np.flatnonzero(table.section == section)
            scores[here] = nearest_distance(features[here], table.is_train[here])
        write_scores(logmel_scores(config["name"], machine), ScoreTable.of_clips(table, scores))


def whole_clip(bank: WaveformBank, clip: int) -> NDArray[np.float32]:
    """The waveform of a clip, (samples,), in [−1, 1)."""
    row = torch.tensor([clip])
    return bank.windows(row, torch.zeros_like(row), int(bank.lengths[clip]), pad="zeros")[0].numpy()


def choose_device(accelerator: str) -> torch.device:
    """The device to compute on."""
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise ValueError("accelerator=gpu: no GPU is there; give cpu or auto")
    return torch.device("cuda" if has_gpu and accelerator != "cpu" else "cpu")
