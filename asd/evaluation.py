"""The composition root of evaluation: finished runs → features of pieces → scores → the table."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd.config.instantiate import code_identity
from asd.config.schema import EvaluateConfig, RunConfig
from asd.data.bad_clips import Usable, read_clips
from asd.data.clips import ClipTable
from asd.data.placement import place
from asd.data.readers.configured import reader_of
from asd.data.recordings import open_recordings
from asd.data.waveforms import WaveformBank
from asd.inference.references import StoredReferences
from asd.inference.stored_features import FeatureStore
from asd.methods.method import Extractor, Method, ScorerChoice, build_method, config_of
from asd.models.embedder import PRECISIONS, name_of
from asd.report.collect import logmel_scores, write_results
from asd.report.scored import Scoring
from asd.runs.checkpoint import load_checkpoint
from asd.runs.excluded import refuse_other_training, write_skipped
from asd.runs.folder import RunFolder, find_runs
from asd.runs.lock import hold
from asd.runs.manifest import code_version, is_done, read_manifest, scorer_settings, sha256, write_manifest
from asd.runs.scores import ScoreTable, write_scores
from asd.scoring.logmel import mean_log_mel, nearest_distance
from asd.scoring.scorer import NO_REFERENCE, ClipPieces, Scores
from asd.simulator.dataset import simulate
from asd.system.allocator import keep_freed_memory
from asd.system.files import remove_leftovers, replacing
from asd.system.interruption import interruptible
from asd.system.progress import say, track


def evaluate(config: EvaluateConfig) -> None:
    """Scores every finished run that was asked for, then rebuilds the results of the whole name.

    Raises:
        ValueError: A run's data moved or changed, or its scores belong to another scorer.
    """
    keep_freed_memory()
    for run in find_runs(config.name, config.machines):
        if not is_done(run):
            say(f"{run.path} is not finished: left out")
            continue
        method = build_method(config_of(run, config.trust))
        choice = method.scorer(config)
        choice.build()  # mistakes in its settings are answered before a clip is read
        if is_scored(run, choice, config):
            say(f"{run.path} is scored already")
        else:
            with interruptible(), hold(run):
                remove_leftovers(run.path)
                score_run(run, method, choice, config)
    if config.logmel_neighbour:
        score_logmel_neighbours(config)
    chosen = partial(scoring_of, config=config)
    write_results(config.name, chosen, ensemble=config.ensemble, seed=config.seed, phase=config.phase)
    if mirror := config.logger.get("wandb"):  # imported here: it takes Lightning, and as long as all else
        from asd.report.wandb.evaluation import mirror_results
        from asd.report.wandb.runs import Destination

        mirror_results(
            config.name, chosen, Destination(**mirror.arguments), machines=config.machines, root=config.data.root
        )


def scoring_of(run: RunFolder, config: EvaluateConfig) -> Scoring:
    """Which of a finished run's scores the results show, and what they say of it."""
    method = build_method(config_of(run, config.trust))
    choice = method.scorer(config)
    formula = choice.arguments.get("formula")
    note = "" if method.in_ensembles else ", ".join(filter(None, (method.TITLE, formula)))
    return Scoring(choice.name, choice.arguments, note, joins=method.in_ensembles)


def is_scored(run: RunFolder, choice: ScorerChoice, config: EvaluateConfig) -> bool:
    """Whether the scores are there, made with this scorer and from this checkpoint.

    Raises:
        ValueError: Another scorer's scores are under the same name.
    """
    folder = run.scores(choice.name)
    manifest = read_manifest(folder / "manifest.json")
    if manifest is None or config.overwrite or manifest.get("checkpoint") != sha256(run.checkpoint):
        return False
    if config.data.on_bad_clip == "error" and manifest.get("skipped"):
        return False
    made_in = manifest.get("precision")
    asked = config.precision if choice.keeps_references else "auto"
    if made_in and asked != "auto" and made_in != name_of(PRECISIONS[asked]):
        raise ValueError(
            f"{folder} holds scores of embeddings in {made_in}: give overwrite=true to make them in precision={asked}"
        )
    theirs = scorer_settings(manifest, folder / "manifest.json")
    if theirs != choice.arguments:
        keys = sorted(theirs.keys() | choice.arguments.keys())
        differing = [
            f"{key}: {theirs.get(key)} → {choice.arguments.get(key)}"
            for key in keys
            if theirs.get(key) != choice.arguments.get(key)
        ]
        raise ValueError(
            f"{folder} holds scores of other settings ({', '.join(differing)}): "
            f"name this scorer, scorer.name=…, or give overwrite=true"
        )
    return True


def score_run(run: RunFolder, method: Method[RunConfig], choice: ScorerChoice, config: EvaluateConfig) -> None:
    """Scores all clips of a run's machine and keeps references, scores and manifest."""
    device = choose_device(config.accelerator)
    clips = open_clips(run, method, config)
    extractor = method.extractor(load_checkpoint(run.checkpoint), choice, device, config.precision)
    if choice.keeps_references:
        refuse_other_references(run, choice, extractor)
    table, bank = clips.table, place(clips.bank, "auto", device, workers=0)
    title = f"embedding {run.machine}/{run.system}"
    store = FeatureStore.of_run(
        run,
        Path(config.data.cache),
        checkpoint=sha256(run.checkpoint),
        clips=clips.bank.fingerprint(table),
        order=table.path.tolist(),
        stride=choice.stride,
        bands=choice.bands,
        precision=name_of(extractor.precision),
        device=device.type,
        code=code_identity(method.components),
        versions=code_version(),
    )
    features = store.get(
        lambda: track(extractor.extract(bank), title, total=len(bank), show=config.progress), anew=config.overwrite
    )
    scores = score_sections(table, features, choice, config.progress)
    folder = run.scores(choice.name)
    files = {"scores.csv": folder / "scores.csv", "pieces.npz": folder / "pieces.npz"}
    if choice.keeps_references:
        references = choice.references(run)
        StoredReferences.of_clips(table, features).write(references)
        files[Path(os.path.relpath(references, folder)).as_posix()] = references
    write_scores(files["scores.csv"], ScoreTable.of_clips(table, scores.clips))
    write_pieces(files["pieces.npz"], table, features, scores, with_embedding=choice.keeps_references)
    write_manifest(
        folder / "manifest.json",
        {**files, **write_skipped(folder, clips.skipped)},
        scorer=choice.arguments,
        checkpoint=sha256(run.checkpoint),
        precision=name_of(extractor.precision),
        data=method.config.data.fingerprint,
        skipped=len(clips.skipped),
    )


def refuse_other_references(run: RunFolder, choice: ScorerChoice, extractor: Extractor) -> None:
    """Raises ValueError where another scorer's scores would lose the references that they were made from.

    A run has one references.npz: all its scorers of embeddings share their stride and precision. A scorer of frequency
    bands has a file of its own.
    """
    if choice.bands is not None:
        return
    ours = choice.stride, name_of(extractor.precision)
    for folder in sorted(run.scores(choice.name).parent.glob("*/")):
        manifest = read_manifest(folder / "manifest.json")
        if folder.name == choice.name or manifest is None:
            continue
        settings = scorer_settings(manifest, folder / "manifest.json")
        if "bands" in settings:
            continue
        theirs = settings.get("stride"), manifest.get("precision")
        if theirs != ours:
            raise ValueError(
                f"{folder} was made of embeddings with stride {theirs[0]} in {theirs[1]}, and {run.references} "
                f"holds one kind only: keep to scorer.stride={theirs[0]} and that precision, or remove {folder}"
            )


def open_clips(run: RunFolder, method: Method[RunConfig], config: EvaluateConfig) -> Usable[WaveformBank]:
    """The clips that a run was trained on, decoded.

    Raises:
        ValueError: They are not what they were at training time.
    """
    data = method.config.data
    root = Path(config.data.root or data.root)
    policy = config.data.on_bad_clip or data.on_bad_clip
    if data.simulate and root == Path(data.root):  # what was lost of a factory is made again
        simulate(root, machines=[run.machine], progress=False, **data.simulate.plain())
    reading = read_clips(reader_of(data, root), run.machine, policy)
    table = reading.table
    if table.fingerprint() != data.fingerprint:
        raise ValueError(
            f"the clips of {run.machine} under {root} are not those that {run.path} was trained on: "
            f"give their place, data.root=DIR, or train again under another name"
        )
    cache = Path(config.data.cache)
    clips = open_recordings(reading, method.decoding, cache=cache, on_bad_clip=policy, progress=config.progress)
    clips.announce()
    refuse_other_training(run, table, clips.skipped)
    refuse_other_content(run, clips)
    return clips


def refuse_other_content(run: RunFolder, clips: Usable[WaveformBank]) -> None:
    """Raises ValueError where a training clip's file holds other bytes than at training time.

    Names and sizes are compared before anything is decoded; runs of earlier versions have these alone.
    """
    known = (read_manifest(run.manifest) or {}).get("content")
    if known and known != clips.bank.fingerprint(clips.table, clips.table.is_train):
        raise ValueError(
            f"training clips of {run.machine} under {clips.table.root} hold other sound than those that {run.path} was "
            f"trained on, under the same names: bring them back, or train again under another name"
        )


def score_sections(table: ClipTable, features: list[Tensor], choice: ScorerChoice, progress: bool) -> Scores:
    """Scores of all clips, section by section, in the table's order; `nearest` are rows of the table.

    Raises:
        ValueError: A test clip's section has no training clips, or too few for the scorer.
    """
    n_pieces = np.array([len(pieces) for pieces in features])
    piece_clip = np.repeat(np.arange(len(table)), n_pieces)
    clips = np.full(len(table), np.nan)
    pieces = np.full(len(piece_clip), np.nan)
    nearest: NDArray[np.int64] | None = None
    for section in track(np.unique(table.section), f"scoring {table.machine}", unit="section", show=progress):
        if section not in table.sections:
            raise ValueError(f"section {section:02d} has no training clips: the network knows {table.sections}")
        rows = np.flatnonzero(table.section == section)
        train = rows[table.is_train[rows]]
        scorer = choice.build()
        scorer.fit(section_pieces(table, features, train))
        own_clip = np.where(table.is_train[rows], np.searchsorted(train, rows), NO_REFERENCE)
        found = scorer.score(section_pieces(table, features, rows), own_clip)
        here = np.isin(piece_clip, rows)
        if nearest is None:
            nearest = np.full((len(piece_clip), found.nearest.shape[1]), -1)
        clips[rows], pieces[here], nearest[here] = found.clips, found.pieces, train[found.nearest]
    assert nearest is not None
    return Scores(clips, pieces, nearest)


def section_pieces(table: ClipTable, features: list[Tensor], rows: NDArray[np.int64]) -> ClipPieces:
    """The pieces of clips of one section that has training clips."""
    section = int(table.section[rows[0]])
    return ClipPieces(
        section=f"{table.machine} section {section:02d}",
        class_index=table.sections.index(section),
        embedding=torch.cat([features[row] for row in rows]),
        clip=np.repeat(np.arange(len(rows)), [len(features[row]) for row in rows]),
        is_source=table.is_source[rows],
    )


def write_pieces(path: Path, table: ClipTable, features: list[Tensor], scores: Scores, *, with_embedding: bool) -> None:
    """Keeps the score and the nearest training clips of each piece, and the mean embedding of each clip.

    `clip` and `nearest` are rows of `path` and of `embedding`.
    """
    clip = np.repeat(np.arange(len(table)), [len(pieces) for pieces in features])
    arrays: dict[str, Any] = {"score": scores.pieces, "clip": clip, "nearest": scores.nearest, "path": table.clip_names}
    if with_embedding:
        arrays["embedding"] = torch.stack([pieces.mean(dim=0) for pieces in features]).numpy()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def score_logmel_neighbours(config: EvaluateConfig) -> None:
    """Scores the reference system that learns nothing, once per machine, into results/logmel/."""
    for machine, run in {run.machine: run for run in find_runs(config.name, config.machines)}.items():
        method = build_method(config_of(run, config.trust))
        clips = open_clips(run, method, config)
        table, bank = clips.table, clips.bank
        rows = track(range(len(bank)), f"log-mel of {machine}", show=config.progress)
        features = np.stack([mean_log_mel(bank.waveform(row), method.sample_rate) for row in rows])
        scores = np.empty(len(table))
        for section in np.unique(table.section):
            here = np.flatnonzero(table.section == section)
            scores[here] = nearest_distance(features[here], table.is_train[here])
        write_scores(logmel_scores(config.name, machine), ScoreTable.of_clips(table, scores))


def choose_device(accelerator: str) -> torch.device:
    """The device to compute on."""
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise ValueError("accelerator=gpu: no GPU is there; give cpu or auto")
    return torch.device("cuda" if has_gpu and accelerator != "cpu" else "cpu")
