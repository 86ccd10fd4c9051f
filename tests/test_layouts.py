"""Real recordings as people keep them, through every command as a new user would type it."""

import contextlib
import io
import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from asd.cli import main
from asd.dcase.official import evaluate_folder
from asd.evaluation import evaluate
from asd.experiment import train
from asd.runs.folder import RunFolder
from asd.runs.scores import ScoreTable, read_scores
from tests.support.jobs import compose
from tests.support.layouts import LAYOUTS, Layout, Original, long_recordings, originals, stereo_flac, two_folders

TINY = ["backbone=small", "batch_size=4", "trainer.max_epochs=-1", "trainer.max_steps=2"]
ANY = ["trainer.accelerator=cpu", "progress=false"]


@pytest.fixture
def recordings(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Original]:
    """All recordings of the fan; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    return originals(shared / "mimii_fan")


def asd(*words: str) -> str:
    """What a command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(words) == 0
    return out.getvalue()


def lay_out(name: str, clips: list[Original]) -> tuple[Layout, dict[str, Any]]:
    """A layout in `recordings/`, and what `asd data describe` says of it."""
    layout = LAYOUTS[name]
    layout.make(Path("recordings"), clips)
    return layout, json.loads(asd("data", "describe", "--json", f"recordings/{layout.place}", *layout.answers))


@pytest.mark.parametrize("name", LAYOUTS)
def test_describe_counts_and_has_nothing_left_to_ask(recordings: list[Original], name: str) -> None:
    parts = recordings if LAYOUTS[name].make is long_recordings else [replace(one, seconds=0.3) for one in recordings]
    layout, found = lay_out(name, parts)
    (machine,) = found["machines"]
    assert machine["machine"] == layout.machine
    counts: dict[tuple[int, str, str], int] = {}
    for group in machine["counts"]:
        key = (group["section"], group["split"], group["label"])
        counts[key] = counts.get(key, 0) + group["clips"]
    assert counts == layout.groups
    assert machine["excluded"] == {}
    assert not [text for text in found["questions"] if "one section" not in text]


def trained(command: str, *words: str) -> RunFolder:
    """The run of a command of `asd data describe` with settings that are quick."""
    program, script, *typed = shlex.split(command)
    assert (program, script) == ("asd", "train")
    return train(compose("train", *typed, *words, *ANY))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.ci if name[0] in "ag" else []) for name in LAYOUTS]
)
def test_every_layout_through_every_command(recordings: list[Original], name: str) -> None:
    layout, found = lay_out(name, recordings)
    (command,) = found["commands"]
    run = trained(command, *(TINY[2:] if "method=autoencoder" in command else TINY))
    evaluate(compose("evaluate", "progress=false", "accelerator=cpu"))
    (path,) = run.path.glob("scores/*/scores.csv")
    scores = read_scores(path)
    assert len(set(scores.clip.tolist())) == len(scores.clip) == sum(layout.groups.values())
    results = json.loads(Path("outputs/main/results/results.json").read_text())
    edition = found["machines"][0]["edition"]
    assert results["editions"] == {layout.machine: edition}
    assert results["rules"] == {layout.machine: {"own": "2020", "2020": "2020"}.get(edition, "2022")}
    drawn = {f"{layout.machine}: {note}." for note in found["machines"][0]["notes"] if "split by file" in note}
    assert drawn <= set(results["remarks"])
    test = np.flatnonzero(scores.split == "test")[0]
    section, clip = int(scores.section[test]), re.sub(r"\[\d+:-?\d+\]$", "", str(scores.clip[test]))
    printed = asd("score", str(run.path), f"recordings/{clip}", "--section", str(section))
    assert float(printed.partition("\t")[0]) == pytest.approx(scores.score[test]) or clip != scores.clip[test]
    asd("report", "outputs/main", "--media-mb", "1", "--quiet")
    page = Path("outputs/main/report/index.html").read_text()
    assert layout.machine in page


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["2020", "2022", "2023", "2025", pytest.param("2026", marks=pytest.mark.ci)])
def test_every_simulated_edition_through_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edition: str
) -> None:
    """The fan with labels; blind are its section 03, and of first-shot editions another machine, the pump."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    sizes = ["--sections", "4" if edition < "2023" else "1", "--source", "6", "--target", "2", "--test", "4"]
    asd("data", "simulate", "--root", "set", "--edition", edition, "--machines", "fan,pump", *sizes, "--workers", "1")
    answers = ["data.channel=0"] if edition == "2026" else []
    found = json.loads(asd("data", "describe", "--json", "set", *answers))
    assert not [text for text in found["questions"] if "one section" not in text]
    assert all(machine["excluded"] == {} for machine in found["machines"])
    told = next(machine for machine in found["machines"] if machine["machine"] == "fan")
    assert told["edition"] == edition
    for command in found["commands"]:
        trained(command, *TINY)
    evaluate(compose("evaluate", "progress=false", "accelerator=cpu"))
    results = json.loads(Path("outputs/main/results/results.json").read_text())
    assert results["rules"]["fan"] == ("2020" if edition == "2020" else "2022")
    asd("report", "outputs/main", "--media-mb", "1", "--quiet")
    system = ("--system", "small-512x32-s0/train", "--partial")
    for part in ("dev", "evaluation"):
        asd("official", "submit", "outputs/main", "--out", part, "--part", part, *system)
    (blind,) = {path.name.split("_")[2] for path in Path("evaluation").rglob("anomaly_score_*")} - {"fan"} or {"fan"}
    assert blind == "pump"
    (folder,) = {path.parent for path in Path("dev").rglob("anomaly_score_*")}
    official = evaluate_folder(folder, None, rule=results["rules"]["fan"], machines=["fan"], partial=True)
    ours = next(row for row in results["systems"] if row["name"] == "small-512x32-s0/train")
    measured = {(row["section"], row["domain"]): row["auc"] for row in ours["rows"] if row["machine"] == "fan"}
    theirs = {(row.section, row.domain): row.auc for row in official.rows}
    assert {place: measured[place] for place in theirs} == pytest.approx(theirs)


def ranking(scores: ScoreTable, clips: list[Original], name: re.Pattern[str]) -> np.ndarray:
    """The scores of the test clips in the order of the original, whose number their names hold."""
    numbers = [int(name.findall(clip)[-1]) for clip in scores.clip]
    order = {int(one.name): row for row, one in enumerate(clips)}
    found = np.full(len(clips), np.nan)
    found[[order[number] for number in numbers]] = scores.score
    return found[[one.split == "test" for one in clips]]


@pytest.mark.slow
def test_two_folders_and_resampled_stereo_rank_as_the_original_does(recordings: list[Original]) -> None:
    clips = [one for one in recordings if one.section == 0]
    for one in clips:
        folder = "train" if one.split == "train" else f"{one.domain}_test"
        name = f"section_00_{one.domain}_{one.split}_{one.label}_{one.name}.wav"
        Path(f"original/dev_data/fan/{folder}").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.path, f"original/dev_data/fan/{folder}/{name}")
    two_folders(Path("two"), clips)
    stereo_flac(Path("stereo"), clips)
    found = {}
    for place, *words in (
        ("original", "machine=fan"),
        ("two", "machine=two"),
        ("stereo", "machine=stereo", "data.channel=mean", "data.sample_rate=resample"),
    ):
        typed = ("method=logmel_neighbour", "data=folder", f"data.root={place}", f"name={place}")
        run = train(compose("train", *typed, *words, *ANY))
        evaluate(compose("evaluate", f"name={place}", "progress=false", "accelerator=cpu"))
        (path,) = run.path.glob("scores/*/scores.csv")
        found[place] = ranking(read_scores(path), clips, re.compile(r"\d{4}"))
    assert np.isfinite(found["original"]).all()
    assert found["two"].tolist() == found["original"].tolist()
    assert spearmanr(found["stereo"], found["original"]).statistic > 0.999


@pytest.mark.slow
def test_a_first_shot_edition_from_the_simulator_to_the_official_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One section a machine, as of 2023: attributes are the classes; our table is the official evaluation's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASD_CACHE", raising=False)
    sizes = ("--source", "6", "--target", "2", "--test", "3", "--workers", "1", "--quiet")
    asd("data", "simulate", "--root", "data", "--edition", "2023", "--machines", "fan,gearbox", *sizes)
    commands = json.loads(asd("data", "describe", "--json", "data"))["commands"]
    assert [command.split()[3:] for command in commands] == [
        ["data.root=data", f"machine={machine}", "classes=attributes"] for machine in ("fan", "gearbox")
    ]
    for command in commands:
        trained(command, *TINY)
        train(compose("finetune", *shlex.split(command)[2:], *TINY, *ANY, "freeze=none"))
    evaluate(compose("evaluate", "progress=false", "accelerator=cpu"))
    results = json.loads(Path("outputs/main/results/results.json").read_text())
    assert (set(results["editions"].values()), set(results["rules"].values())) == ({"2023"}, {"2022"})
    system = "small-512x32-s0/finetune-none"
    (rows,) = (one["rows"] for one in results["systems"] if one["name"] == system)
    submit = ("--out", "sub", "--part", "dev", "--partial", "--system", system)
    asd("official", "submit", "outputs/main", *submit)
    ours = {(row["machine"], row["domain"]): row["auc"] for row in rows if row["auc"] is not None}
    assert len(ours) == 4
    evaluation = evaluate_folder(next(Path("sub").glob("*/anomaly_score_*")).parent, rule="2022")
    assert {(row.machine, row.domain): row.auc for row in evaluation.rows} == ours
    asd("report", "outputs/main", "--media-mb", "1", "--quiet")
    assert "rule of 2022 and later" in Path("outputs/main/report/index.html").read_text()
