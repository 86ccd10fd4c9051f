"""From tiny trained runs to a submission and back."""

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from asd.cli import main as cli
from asd.config.instantiate import instantiate
from asd.dcase import submission
from asd.dcase.submission import fill, is_taken, make_submission, staging
from asd.dcase.submission_entries import Entry, Order, find_missing, in_part
from asd.dcase.submission_meta import Author, abbreviate, make_label, parse_author, technique
from asd.evaluation import evaluate
from asd.experiment import train
from asd.methods.arcface import ArcFaceConfig
from asd.methods.method import config_of
from asd.runs.excluded import write_skipped
from asd.runs.folder import RunFolder
from asd.runs.recorded import RecordedConfig
from asd.runs.scores import ScoreTable, read_scores
from asd.scoring.thresholds import Threshold
from asd.system.processes import place
from tests.support.full_disk import check_message, files_below, full_at

Job = Callable[..., dict[str, Any]]
SYSTEM = "small-512x32-s0/train"
SCORES = Path("outputs/main/fan") / SYSTEM / "scores/cosine/scores.csv"
SUBMIT = ["official", "submit", "outputs/main", "--partial", "--team", "Lopez_IL"]


def hide_labels(root: Path, section: str = "section_01", hidden: str = "section_03") -> None:
    """Makes a section one of the evaluation set: names tell no label."""
    for path in sorted((root / "dev_data").rglob(f"{section}_*.wav")):
        folder = root / "eval_data" / path.parent.relative_to(root / "dev_data")
        folder.mkdir(parents=True, exist_ok=True)
        name = path.name.replace(section, hidden)
        if "_test_" in name:
            index = int(path.stem[-4:]) + 50 * ("normal" in name)
            name = f"{name.split('_test_')[0]}_test_{index:04d}.wav"
        path.rename(folder / name)


@pytest.fixture
def scored(workplace: Path, job: Job) -> Path:
    """A run on one labelled section and one of the evaluation set, scored."""
    hide_labels(workplace / "data")
    train(job("train"))
    evaluate(job("evaluate"))
    return workplace


def values_of(path: Path) -> dict[str, float]:
    with path.open(newline="") as file:
        return {name: float(value) for name, value in csv.reader(file)}


def test_both_parts_of_a_run(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path("made/both")
    assert cli([*SUBMIT, "--out", str(out), "--part", "both", "--author", "Ada Byron <ada@il.org>, IL"]) == 0
    said = capsys.readouterr().out
    table = read_scores(SCORES)
    label = "Lopez_IL_task2_1"
    threshold = stats.gamma.ppf(0.9, *stats.gamma.fit(table.score[table.is_train]))
    found: dict[str, float] = {}
    for section, domain in ((0, "source"), (0, "target"), (3, "source"), (3, "target")):
        scores = values_of(out / label / f"anomaly_score_fan_section_{section:02d}_{domain}_test.csv")
        flags = values_of(out / label / f"decision_result_fan_section_{section:02d}_{domain}_test.csv")
        assert flags == {name: score > threshold for name, score in scores.items()}
        found |= scores
    test = table.split == "test"
    assert found == {Path(c).name: s for c, s in zip(table.clip[test], table.score[test], strict=True)}
    assert (table.label == "unknown").sum() == 8
    assert "without" in said
    assert "fan section 01 source" in said  # is missing
    assert json.loads((out / "thresholds.json").read_text())["fan"]["value"] == pytest.approx(threshold, rel=1e-12)
    check_archive(out, label)
    check_description(yaml.safe_load((out / label / f"{label}.meta.yaml").read_text()))
    check_read_back(out, label, capsys)


def check_archive(out: Path, label: str) -> None:
    with zipfile.ZipFile(out / f"{label}.zip") as packed:
        assert sorted(packed.namelist()) == sorted(f"task2/{label}/{path.name}" for path in (out / label).iterdir())
        for path in (out / label).iterdir():
            assert packed.read(f"task2/{label}/{path.name}") == path.read_bytes()


def check_description(meta: dict[str, Any]) -> None:
    assert meta["submission"]["authors"][0]["email"] == "ada@il.org"
    assert meta["submission"]["authors"][0]["corresponding"] is True
    assert meta["system"]["description"]["input_sampling_rate"] == "16kHz"
    assert meta["system"]["description"]["ensemble_method_subsystem_count"] is None
    assert meta["system"]["complexity"]["total_parameters"] == count_learnt()
    with open("outputs/main/results/metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["system"] == "submission4"]
    assert {row["section"] for row in rows} == {"0"}  # unlabelled sections are in no table
    for row in rows:
        ours = meta["results"]["development_dataset"]["fan"][f"auc_{row['domain']}"]
        assert ours == pytest.approx(100 * float(row["auc"]), abs=1e-9)


def count_learnt() -> int:
    """The weights of the run's network, counted on the network itself."""
    config = config_of(RunFolder(SCORES.parents[2]))
    assert isinstance(config, ArcFaceConfig)
    backbone = instantiate(config.backbone, "backbone", n_bins=512, n_frames=32)
    return sum(weight.numel() for weight in backbone.parameters())


def check_read_back(out: Path, label: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The official evaluation of the files gives the figures of metrics.csv, and knows what it cannot judge."""
    capsys.readouterr()
    assert cli(["official", "evaluate", str(out / label)]) == 1
    assert "fan section 03 source: nobody knows its labels" in capsys.readouterr().err
    assert cli(["official", "evaluate", str(out / label), "--skip-unlabelled", "--out", "result.csv"]) == 0
    assert Path("result.csv").read_text() == (out / "result.csv").read_text()


def test_the_evaluation_set_alone(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = Order("main", SYSTEM, "Lopez_IL_task2_2", partial=True, threshold="empirical", quantile=0.5)
    Path("made").mkdir()  # an empty folder may be there
    made = make_submission(order, Path("made"))
    assert made.evaluation is None  # nobody knows a label
    assert not Path("made/result.csv").exists()
    names = {path.name for path in Path("made/Lopez_IL_task2_2").iterdir()}
    assert "anomaly_score_fan_section_03_target_test.csv" in names
    assert not [name for name in names if "section_00" in name]
    training = read_scores(SCORES)
    assert made.entries["fan"].threshold.value == np.quantile(training.score[training.is_train], 0.5)
    again = make_submission(order, Path("again"))
    assert again.missing == made.missing
    for path in Path("made").rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (Path("again") / path.relative_to("made")).read_bytes()
    refused(order, capsys)


def refused(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be submitted is said, and nothing is left behind."""
    before = sorted(Path().rglob("*"))
    runs = ["official", "submit", "outputs/main"]
    for arguments, message in (
        (["--out", "made"], "made is there already"),
        (["--out", "x", "--system", "submission4"], "would lack ToyCar, ToyTrain, "),
        (["--out", "x", "--system", "resnet50-512x32-s0/train"], "no system resnet50-512x32-s0/train"),
        (["--out", "x", "--system", "submission2", "--seed", "7"], f"there are {SYSTEM}, submission1"),
        (["--out", "x", "--scorer", "other"], "run evaluate.py first"),
        (["--out", "x", "--team", "Lopez"], "Lopez_task2_1 is no label of a submission"),
        (["--out", "x", "--author", "Ada"], "'Ada' is no author"),
        (["--out", "x", "--quantile", "2"], "fan: quantile is 2.0"),
    ):
        assert cli([*runs, *arguments]) == 1
        assert message in capsys.readouterr().err
    for folder, message in (("outputs/none", "no such folder of runs"), ("made", "give a folder of runs as outputs/")):
        assert cli(["official", "submit", folder, "--out", "x"]) == 1
        assert message in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(("name", "is_there"), [(".zip", False), ("anomaly_score_", True)])
def test_a_full_disk_while_a_submission_is_written(
    evaluated: RunFolder, name: str, is_there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new one, and one that is there but for an empty file."""
    command = [*SUBMIT, "--out", "made/it", "--part", "dev", "--system", SYSTEM]
    if is_there:
        assert cli(command) == 0
        next(Path("made").rglob(f"*{name}*")).write_bytes(b"")
    capsys.readouterr()
    before = files_below(Path())
    with full_at(name):
        assert cli(command) == 1
    check_message(capsys.readouterr().err, "made")
    assert files_below(Path()) == before
    assert cli(command) == 0
    assert all(files_below(Path("made")).values())


def test_what_does_not_read_back_is_not_kept(
    scored: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = submission.write_values

    def damage(folder: Path, kind: Any, key: Any, rule: Any, values: dict[str, float]) -> Path:
        return write(folder, kind, key, rule, {name: value * 0.5 for name, value in values.items()})

    monkeypatch.setattr(submission, "write_values", damage)
    assert cli([*SUBMIT, "--out", "made/it", "--part", "dev"]) == 1
    assert "does not read back as it was meant" in capsys.readouterr().err
    assert not list(Path("made").iterdir())


@pytest.mark.ci
@pytest.mark.slow
def test_nobody_knows_a_label(workplace: Path, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs without any labelled clip are scored, stand in no table, and can be submitted, averaged over all."""
    hide_labels(workplace / "data", "section_00", "section_04")
    hide_labels(workplace / "data")
    for seed in (0, 1):
        train(job("train", f"seed={seed}"))
    evaluate(job("evaluate"))
    assert "fan section 03, 04: test clips without labels: scored, not in the table" in capsys.readouterr().out
    with open("outputs/main/results/metrics.csv", newline="") as file:
        assert list(csv.DictReader(file)) == []
    assert cli([*SUBMIT, "--out", "all", "--part", "both"]) == 0
    assert cli([*SUBMIT, "--out", "best", "--system", "submission1"]) == 1
    assert "no system submission1" in capsys.readouterr().err
    assert cli([*SUBMIT, "--out", "dev", "--part", "dev"]) == 1
    assert "have no test clips of the part 'dev'" in capsys.readouterr().err
    assert len(list(Path("all").rglob("anomaly_score_*"))) == 4
    assert sorted(path.name for path in Path().iterdir()) == ["all", "data", "outputs"]


def test_what_whoever_hands_it_in_must_know() -> None:
    collapsed = Threshold(1.0, "gamma", 0.9, 1.0, warnings=("it flags 100% of the training clips",))
    entry = Entry(table_of(["dev_data/fan/a.wav"], ["normal"]), (), oracle=True, threshold=collapsed)
    said = list(submission.warnings(submission.Made({"fan": entry}, ["pump"], None)))
    assert said[0] == "partial, without pump"
    assert said[1].startswith("oracle: labelled test clips chose the members")
    assert said[3] == "fan: the threshold lies above every test score: no clip is called anomalous"
    assert said[2] == (
        "fan: it flags 100% of the training clips. Way out: --threshold empirical, or another --quantile"
    )


def table_of(clips: list[str], labels: list[str]) -> ScoreTable:
    n = len(clips)
    columns = (np.array(clips), np.full(n, "fan"), np.zeros(n, dtype=np.int64), np.full(n, "source"))
    return ScoreTable(*columns, np.full(n, "test"), np.array(labels), np.zeros(n))


def test_which_clips_are_of_the_evaluation_set() -> None:
    clips = ["dev_data/fan/a.wav", "eval_data/fan/b.wav", "fan/c.wav", "fan/d.wav"]
    table = table_of(clips, ["normal", "normal", "anomaly", "unknown"])
    assert in_part(table, "dev").tolist() == [True, False, True, False]
    assert in_part(table, "evaluation").tolist() == [False, True, False, True]
    assert in_part(table, "both").all()


def test_what_a_complete_submission_holds(tmp_path: Path) -> None:
    order = Order("main", SYSTEM, "Lopez_IL_task2_1", part="dev")
    assert list(find_missing({}, order, 2021)) == ["ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve"]
    run = RunFolder(tmp_path)
    run.scores("cosine").mkdir(parents=True)
    unusable = ["dev_data/fan/train/a.wav", "dev_data/fan/source_test/b.wav", "eval_data/fan/source_test/c.wav"]
    write_skipped(run.scores("cosine"), dict.fromkeys(unusable, "silent"))
    table = table_of(["dev_data/fan/a.wav"], ["normal"])
    entry = Entry(table, (run,), oracle=False, threshold=Threshold(1.0, "gamma", 0.9, 0.1))
    assert [name for name in find_missing({"fan": entry}, order, 2021) if "fan" in name] == [
        "fan section 00 target", "fan section 01 source", "fan section 01 target",
        "fan section 02 source", "fan section 02 target", "dev_data/fan/source_test/b.wav (silent)",
    ]  # fmt: skip


def test_authors_and_labels() -> None:
    assert (abbreviate("submission4"), abbreviate("resnet50-512x32-s0/train")) == ("ensemble4", "resnet50-5")
    assert parse_author("Ada King Lovelace <a@b.org>, Some Institute, London") == Author(
        "Ada King", "Lovelace", "a@b.org", "Some Institute, London"
    )
    assert parse_author("Ada Byron") == Author("Ada", "Byron")
    assert make_label("Lopez_IL", 4) == "Lopez_IL_task2_4"
    for team in ("Lopez", "a_b_c", "../a_b"):
        with pytest.raises(ValueError, match="no label of a submission"):
            make_label(team, 1)


def test_files_that_a_loss_of_power_emptied_are_written_again(tmp_path: Path) -> None:
    """Those with other content are somebody's: nothing is written then."""
    out, anew = tmp_path / "out", tmp_path / "anew"
    for folder, contents in ((anew, ("a", "b", "c")), (out, ("a", "", "\0"))):
        (folder / "label").mkdir(parents=True)
        for name, content in zip("xyz", contents, strict=True):
            (folder / "label" / name).write_text(content)
    (out / "label" / "x").unlink()
    assert fill(out, anew) == ["label/x", "label/y", "label/z"]
    assert fill(out, anew) == []
    (out / "label" / "x").unlink()
    (out / "label" / "y").write_text("mine")
    with pytest.raises(ValueError, match=r"is there already, with other content in label/y"):
        fill(out, anew)
    assert not (out / "label" / "x").exists()


def test_what_a_killed_process_left_is_in_the_way_of_nobody(tmp_path: Path) -> None:
    """It lies within the folder that was named, counts as nothing, and the next start removes it."""
    out = tmp_path / "sub"
    left = [out / f".label.{place()}-4194305-7-1.tmp/label", out / f"label/.label.meta.yaml.{place()}-4194305-7-1.tmp"]
    left[0].mkdir(parents=True)
    assert not is_taken(out)
    left[1].parent.mkdir()
    left[1].write_text("half of it")
    assert is_taken(out)
    with staging(out, "label") as folder:
        assert sorted(out.rglob("*")) == [left[1].parent]
        folder.mkdir()
        with staging(out, "label"):  # another one at the same time
            assert folder.is_dir()
    assert sorted(tmp_path.rglob("*")) == [out, left[1].parent]
    with staging(tmp_path / "failed", "label") as folder:
        folder.mkdir()
    assert not (tmp_path / "failed").exists()


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("asd.methods.arcface.ArcFaceMethod", "CNN"),
        ("asd.methods.autoencoder.AutoencoderMethod", "AE"),
        ("asd.methods.temporal_pooling.TemporalPoolingMethod", ""),
        ("own.method.Mine", ""),  # code of others is not imported for a word
    ],
)
def test_what_the_challenge_calls_a_method(target: str, word: str) -> None:
    values = {"name": "main", "seed": 0, "phase": "train", "data": {"root": "data"}, "method": {"_target_": target}}
    assert technique(RecordedConfig.of(values)) == word
