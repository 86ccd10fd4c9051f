"""One set of scores, three ways to its figures: our tables, the official evaluation, the rule worked out by hand."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from asd.dcase import submission_meta
from asd.dcase.official import evaluate_folder
from asd.dcase.official_files import Key, write_values
from asd.dcase.submission import make_submission
from asd.dcase.submission_entries import Order
from asd.report.collect import write_results
from asd.report.scored import Scoring
from asd.runs.folder import RunFolder
from asd.runs.manifest import write_manifest
from asd.runs.scores import ScoreTable, read_scores, write_scores
from asd.scoring.metrics import Rule

RUN = RunFolder(Path("outputs/main/bearing/net-512x32-s0/train"))
N = 40  # test clips of a section


def make_scored(
    edition: str, sections: tuple[int, ...], name: Callable[..., str], *, hidden: bool = False
) -> ScoreTable:
    """A scored run with made-up scores; `name` gives a clip's name from section, domain, split, label and number."""
    random = np.random.default_rng(7)
    rows = [(s, d, "train", "normal", i) for s in sections for d in ("source", "target") for i in range(12)]
    rows += [
        (s, str(random.choice(["source", "target"])), "test", str(random.choice(["normal", "anomaly"])), i)
        for s in sections
        for i in range(N)
    ]
    score = random.gamma(2.0, 1.0, len(rows)) + [0.8 * (row[3] == "anomaly") for row in rows]
    folder = "eval_data" if hidden else "dev_data"
    clips = [f"{folder}/bearing/{split}/{name(s, d, split, label, i)}" for s, d, split, label, i in rows]
    section, domain, split, label, _ = (np.array(column) for column in zip(*rows, strict=True))
    if hidden:
        domain = np.where(split == "test", "unknown", domain)
        label = np.where(split == "test", "unknown", label)
    table = ScoreTable(np.array(clips), np.full(len(rows), "bearing"), section, domain, split, label, score)
    data = {"name": "mine", "root": "data", "edition": edition}
    sound = {"name": "512x32", "sample_rate": 16_000, "n_frames": 32, "hop_length": 512}
    method = {"_target_": "asd.methods.arcface.ArcFaceMethod"}
    config = {"name": "main", "seed": 0, "phase": "train", "data": data, "input": sound, "method": method}
    RUN.write_config(config)
    RUN.checkpoint.parent.mkdir(parents=True)
    RUN.checkpoint.touch()
    write_manifest(RUN.manifest, {"config.yaml": RUN.config})
    path = RUN.scores("cosine") / "scores.csv"
    write_scores(path, table)
    write_manifest(path.with_name("manifest.json"), {"scores.csv": path}, scorer={})
    return table


def name_2020(section: int, domain: str, split: str, label: str, number: int) -> str:
    return f"{label}_id_{section:02d}_{number:08d}.wav"


def name_2021(section: int, domain: str, split: str, label: str, number: int) -> str:
    return f"section_{section:02d}_{domain}_{split}_{label}_{number:04d}.wav"


def name_2022(section: int, domain: str, split: str, label: str, number: int) -> str:
    return f"section_{section:02d}_{domain}_{split}_{label}_{number:04d}_vel_{number}.wav"


def name_blind(section: int, domain: str, split: str, label: str, number: int) -> str:
    return name_2022(section, domain, split, label, number) if split == "train" else f"section_00_{number:04d}.wav"


EDITIONS = [("2020", "2020", name_2020), ("2021", "2021", name_2021), ("2022", "2022", name_2022)]
EDITIONS += [("2023", "2022", name_2022), ("2026", "2022", name_2022)]


def evaluate() -> None:
    write_results("main", lambda _: Scoring("cosine"), ensemble="mean", seed=0, phase=None)


def our_metrics() -> dict[tuple[int, str], tuple[str, str]]:
    """Section and domain → AUC and pAUC of metrics.csv, as they were written."""
    with open("outputs/main/results/metrics.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["system"] == RUN.system]
    return {(int(line["section"]), line["domain"]): (line["auc"], line["pauc"]) for line in lines}


def by_hand(table: ScoreTable, rule: Rule) -> dict[tuple[int, str], tuple[float | None, float | None]]:
    """The rule written out, clip by clip."""
    clips = zip(table.section, table.domain, table.label, table.score, table.split, strict=True)
    test = [(int(s), str(d), lab == "anomaly", x) for s, d, lab, x, split in clips if split == "test"]
    found: dict[tuple[int, str], tuple[float | None, float | None]] = {}
    for section in sorted({row[0] for row in test}):
        here = [row for row in test if row[0] == section]
        whole = roc_auc_score([row[2] for row in here], [row[3] for row in here], max_fpr=0.1)
        if rule == "2020":
            found[section, "both"] = roc_auc_score([row[2] for row in here], [row[3] for row in here]), whole
            continue
        for domain in ("source", "target"):
            used = [row for row in here if row[1] == domain or (rule == "2022" and row[2])]
            labels, scores = [row[2] for row in used], [row[3] for row in used]
            pauc = roc_auc_score(labels, scores, max_fpr=0.1) if rule == "2021" else None
            found[section, domain] = roc_auc_score(labels, scores), pauc
        if rule == "2022":
            found[section, "both"] = None, whole
    return found


@pytest.mark.parametrize(("edition", "rule", "name"), EDITIONS)
def test_tables_and_official_evaluation_and_hand_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edition: str, rule: Rule, name: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = make_scored(edition, (0, 1), name)
    evaluate()
    ours, expected = our_metrics(), by_hand(table, rule)
    assert ours.keys() == expected.keys()
    for place, pair in expected.items():
        for text, value in zip(ours[place], pair, strict=True):
            assert (text == "") if value is None else float(text) == pytest.approx(value, abs=1e-12)
    monkeypatch.setattr(submission_meta, "n_parameters", lambda run: 7)
    made = make_submission(Order("main", RUN.system, "Lopez_IL_task2_1", part="dev", partial=True), Path("sub"))
    assert made.evaluation is not None
    official = {(row.section, row.domain): (row.auc, row.pauc) for row in made.evaluation.metrics}
    assert {k: tuple(None if t == "" else float(t) for t in pair) for k, pair in ours.items()} == official
    files = sorted(path.name for path in Path("sub/Lopez_IL_task2_1").glob("*.csv"))
    kinds = ["anomaly_score"] if rule == "2020" else ["anomaly_score", "decision_result"]
    stems = {"2020": ["id_00", "id_01"], "2022": ["section_00_test", "section_01_test"]}.get(
        rule, [f"section_{s}_{d}_test" for s in ("00", "01") for d in ("source", "target")]
    )
    assert files == [f"{kind}_bearing_{stem}.csv" for kind in kinds for stem in stems]
    results = json.loads(Path("outputs/main/results/results.json").read_text())
    assert (results["rules"], results["editions"]) == ({"bearing": rule}, {"bearing": edition})
    stated = f"rule of {rule}"
    assert stated in Path("outputs/main/results/table2.md").read_text()
    assert "Submission 1" not in Path("outputs/main/results/table2.md").read_text()
    score = json.loads(Path("outputs/main/results/summary.json").read_text())[RUN.system]
    wanted = made.evaluation.official_score
    assert score is None if wanted is None else score == pytest.approx(100 * wanted, abs=1e-12)


def test_own_recordings_have_the_rule_that_their_domains_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = make_scored("own", (0, 1), name_2021)
    evaluate()
    assert set(our_metrics()) == set(by_hand(table, "2021"))
    assert "rule of 2021" in capsys.readouterr().out
    path = RUN.scores("cosine") / "scores.csv"
    for domain in ("unknown", "none"):
        write_scores(path, ScoreTable(**{**vars(table), "domain": np.full(len(table.clip), domain)}))
        write_manifest(path.with_name("manifest.json"), {"scores.csv": path}, scorer={})
        evaluate()
        assert set(our_metrics()) == {(0, "both"), (1, "both")}
        assert "rule of 2020" in capsys.readouterr().out
    with pytest.raises(ValueError, match="the edition own: a submission is of one year of the challenge"):
        make_submission(Order("main", RUN.system, "Lopez_IL_task2_1", part="dev", partial=True), Path("sub"))


def test_clips_of_a_hidden_domain_are_scored_and_submitted_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = make_scored("2023", (0,), name_blind, hidden=True)
    evaluate()
    assert our_metrics() == {}
    with open("outputs/main/results/unmeasured.csv", newline="") as file:
        assert {(line["machine"], line["domain"]) for line in csv.DictReader(file)} == {("bearing", "unknown")}
    monkeypatch.setattr(submission_meta, "n_parameters", lambda run: 7)
    made = make_submission(Order("main", RUN.system, "Lopez_IL_task2_1", partial=True), Path("sub"))
    assert made.evaluation is None
    path = Path("sub/Lopez_IL_task2_1/anomaly_score_bearing_section_00_test.csv")
    scores = {name: float(value) for name, value in csv.reader(path.read_text().splitlines())}
    test = table.split == "test"
    assert scores == {Path(c).name: s for c, s in zip(table.clip[test], table.score[test], strict=True)}
    truth = Path("truth")
    for kind, values in (("data", [i % 2 for i in range(N)]), ("domain", [i // 2 % 2 for i in range(N)])):
        (truth / f"ground_truth_{kind}").mkdir(parents=True)
        labels = dict(zip(scores, values, strict=True))
        write_values(truth / f"ground_truth_{kind}", "ground_truth", Key("bearing", 0), "2022", labels)
    evaluation = evaluate_folder(path.parent, truth, rule="2022")
    assert {row.domain for row in evaluation.rows} == {"source", "target"}
    assert read_scores(RUN.scores("cosine") / "scores.csv").domain[test].tolist() == ["unknown"] * N
