"""Official figures against a published run and the evaluators' own formulas; every kind of wrong file."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from asd.cli import main as cli
from asd.dcase.official import detection, evaluate_folder
from asd.dcase.official_files import Key, file_name, parse_clip, write_values
from asd.dcase.result_csv import result_csv, text_table
from asd.scoring.metrics import BOTH, hmean

Edit = Callable[[Path], object]
FAN = "anomaly_score_fan_section_00_source_test.csv"


def write_run(folder: Path, machines: tuple[str, ...] = ("fan", "pump"), *, blind: bool = False) -> Path:
    """A small run of 2021: scores and decisions; `blind` names tell no label."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for machine in machines:
        for section in (0, 1):
            for domain in ("source", "target"):
                key, scores = Key(machine, section, domain), {}
                for i in range(8):
                    shown = f"{i:04d}" if blind else f"{'anomaly' if i % 2 else 'normal'}_{i:04d}"
                    scores[f"section_{section:02d}_{domain}_test_{shown}.wav"] = float(random.normal() + i % 2)
                write_values(folder, "anomaly_score", key, "2021", scores)
                write_values(folder, "decision_result", key, "2021", {n: int(s > 0.5) for n, s in scores.items()})
    return folder


def write_truth(folder: Path, run: Path) -> Path:
    """The ground truth of a blind run: every second clip is an anomaly."""
    folder.mkdir()
    for path in run.glob("anomaly_score_*.csv"):
        rows = [(name, i % 2) for i, (name, _) in enumerate(rows_of(path))]
        with open(folder / path.name.replace("anomaly_score", "ground_truth"), "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_the_published_run_to_the_last_digit(shared: Path) -> None:
    evaluation = evaluate_folder(shared / "official_2021" / "ae_run", rule="2021")
    ours = list(csv.reader(result_csv(evaluation).splitlines()))
    published = rows_of(shared / "official_2021" / "ae_run" / "result.csv")[: len(ours)]
    assert len(ours) == 81
    for line, expected in zip(ours, published, strict=True):
        assert line[:2] == expected[:2]
        if line and line[-1].startswith("0."):
            np.testing.assert_allclose(np.float64(line[2:]), np.float64(expected[2:]), rtol=0, atol=1e-12)
        else:
            assert line == expected
    assert evaluation.official_score == pytest.approx(0.573851, abs=5e-7)
    assert "official score 0.573851" in text_table(evaluation)


def test_rows_are_matched_by_name(tmp_path: Path) -> None:
    """Another order of rows in one file changes nothing."""
    run = write_run(tmp_path / "run", blind=True)
    truth = write_truth(tmp_path / "truth", run)
    before = evaluate_folder(run, truth, rule="2021")
    (run / FAN).write_text("".join(reversed((run / FAN).read_text().splitlines(keepends=True))))
    assert evaluate_folder(run, truth, rule="2021") == before


def test_labels_from_names_files_and_a_data_set_agree(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", ("fan",))
    truth = write_truth(tmp_path / "truth", run)
    for key in (path.name for path in run.glob("anomaly_score_*")):
        for name, _ in rows_of(run / key):
            path = tmp_path / "data" / "dev_data" / "fan" / f"{name.split('_')[2]}_test" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    by_name = evaluate_folder(run, rule="2021")
    assert by_name == evaluate_folder(run, truth, rule="2021") == evaluate_folder(run, tmp_path / "data", rule="2021")
    next((tmp_path / "data").rglob("*_normal_0002.wav")).with_name("section_00_source_test_normal_0099.wav").touch()
    with pytest.raises(ValueError, match=r"1 scores missing: section_00_source_test_normal_0099\.wav"):
        evaluate_folder(run, tmp_path / "data", rule="2021")


def test_detection_against_the_confusion_matrix() -> None:
    random = np.random.default_rng(0)
    truth, found = random.random(50) < 0.4, random.random(50) < 0.5
    _, false_alarms, missed, hits = confusion_matrix(truth, found).ravel()
    precision, recall, f1 = detection(truth, found)
    assert (precision, recall) == (hits / (hits + false_alarms), hits / (hits + missed))
    assert f1 == pytest.approx(2 / (1 / precision + 1 / recall))
    assert detection(truth, np.zeros(50, dtype=bool)) == (0, 0, 0)


def change(path: str, old: str, new: str, count: int = 1) -> Edit:
    """An edit that replaces text in a file of the run."""

    def edit(run: Path) -> None:
        text = (run / path).read_text()
        assert old in text
        (run / path).write_text(text.replace(old, new, count))

    return edit


N0, N2 = "section_00_source_test_normal_0000.wav", "section_00_source_test_normal_0002.wav"


@pytest.mark.parametrize(
    ("edit", "messages"),
    [
        (change(FAN, N0, N2), [rf"line 3: {N2} stands there twice", rf"of clips that the scores do not know: {N0}"]),
        (change(FAN, N0 + ",", N0), [r"line 1: .* has 1 columns; two are wanted"]),
        (change(FAN, f"{N0},", f"{N0},nan\n{N2},much\n"), [rf"{N0}: the score is nan", r"'much' is no number"]),
        (lambda run: (run / FAN).write_text("file,score\n"), [r"line 1: 'file' is not the name of a test clip"]),
        (lambda run: (run / FAN).write_text(""), [r"no rows"]),
        (lambda run: (run / FAN).write_bytes(b"\xff\xfe"), [r"invalid UTF-8 at byte 0"]),
        (lambda run: (run / FAN).unlink(), [r"fan section 00 source: no file of scores", r"decisions without a file"]),
        (lambda run: (run / FAN.replace("anomaly_score", "decision_result")).unlink(), [r"no file of decisions"]),
        (change(FAN, "section_00", "section_01"), [r"section_01_source_test_normal_0000.wav does not belong to fan"]),
        (change(FAN.replace("anomaly_score", "decision_result"), ",0", ",2"), [r"'2' is neither 0 \(normal\) nor 1"]),
        (change(FAN, "_normal_", "_anomaly_", 9), [r"fan section 00 source: 0 normal and 8 anomalous clips"]),
        (lambda run: (run / FAN).rename(run / "anomaly_score_fan.csv"), [r"anomaly_score_fan\.csv: unknown; names of"]),
    ],
)  # fmt: skip
def test_every_wrong_row_is_named(tmp_path: Path, edit: Edit, messages: list[str]) -> None:
    run = write_run(tmp_path / "run")
    edit(run)
    change("anomaly_score_pump_section_01_target_test.csv", "section_01_target_test_normal_0004", "noise")(run)
    with pytest.raises(ValueError, match=r"'noise\.wav' is not the name") as caught:  # the second mistake too
        evaluate_folder(run, rule="2021")
    for message in messages:
        assert caught.match(message)


def test_the_truth_of_another_machine(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", ("fan",), blind=True)
    truth = write_truth(tmp_path / "truth", write_run(tmp_path / "other", ("pump",), blind=True))
    with pytest.raises(ValueError, match=r"is the ground truth of pump, and there are no scores of it but of fan"):
        evaluate_folder(run, truth, rule="2021")
    with pytest.raises(ValueError, match=r"no ground_truth_\*\.csv and no labelled clips of fan"):
        evaluate_folder(run, truth, rule="2021", machines=["fan"])
    with pytest.raises(ValueError, match=r"no such folder; it should hold the ground truth"):
        evaluate_folder(run, tmp_path / "nowhere", rule="2021")
    with pytest.raises(ValueError, match="no such folder; it should hold anomaly_score"):
        evaluate_folder(tmp_path / "nowhere", rule="2021")


def test_missing_and_extra_rows_against_the_truth(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", blind=True)
    truth = write_truth(tmp_path / "truth", run)
    for kind in ("anomaly_score", "decision_result"):
        change(FAN.replace("anomaly_score", kind), "0000.wav", "0777.wav")(run)
        (run / f"{kind}_pump_section_01_target_test.csv").unlink()
    with pytest.raises(ValueError, match=r"3 problems") as caught:
        evaluate_folder(run, truth, rule="2021")
    assert caught.match(r"fan section 00 source: 1 scores missing: section_00_source_test_0000\.wav")
    assert caught.match(r"clips that the ground truth do not know: section_00_source_test_0777\.wav")
    assert caught.match(r"pump section 01 target: no file of scores")


def test_names_and_truth_must_agree(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    truth = write_truth(tmp_path / "truth", run)
    change("ground_truth_fan_section_00_source_test.csv", ",0", ",1")(truth)
    with pytest.raises(ValueError, match=rf"names and ground truth contradict each other: {N0}"):
        evaluate_folder(run, truth, rule="2021")


def test_unknown_labels_are_an_error_or_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", blind=True)
    with pytest.raises(ValueError, match=r"8 problems.*\n  fan section 00 source: nobody knows its labels; give the"):
        evaluate_folder(run, rule="2021")
    with pytest.raises(ValueError, match=r"no clip has a known label"):
        evaluate_folder(run, rule="2021", skip_unlabelled=True)
    truth = write_truth(tmp_path / "truth", run)
    for path in truth.glob("*pump*"):
        path.unlink()
    evaluation = evaluate_folder(run, truth, rule="2021", skip_unlabelled=True)
    assert {row.machine for row in evaluation.rows} == {"fan"}
    assert str(evaluation.unlabelled[0]) == "pump section 00 source"


def test_without_decisions(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", ("fan",))
    for path in run.glob("decision_result_*"):
        path.unlink()
    with pytest.raises(ValueError, match="4 problems"):
        evaluate_folder(run, rule="2021")
    evaluation = evaluate_folder(run, rule="2021", need_decisions=False)
    assert {row.f1 for row in evaluation.rows} == {None}
    assert result_csv(evaluation).splitlines()[2].endswith(",,,")
    assert "–" in text_table(evaluation)


def write_run_2022(folder: Path, *, blind: bool) -> tuple[dict[str, np.ndarray], Path]:
    """One section of one machine by the names of 2022; its columns and the folder of its truth."""
    random = np.random.default_rng(3)
    label, domain = random.random(60) < 0.5, random.random(60) < 0.5
    score = random.normal(size=60) + label + domain
    names = [
        f"section_00_{i:04d}.wav"
        if blind
        else f"section_00_{'target' if d else 'source'}_test_{'anomaly' if y else 'normal'}_{i:04d}_a_1.wav"
        for i, (y, d) in enumerate(zip(label, domain, strict=True))
    ]
    key, truth = Key("bearing", 0), folder.with_name("truth")
    for place, kind, values in (
        (folder, "anomaly_score", score),
        (folder, "decision_result", (score > 1).astype(int)),
        (truth / "ground_truth_data", "ground_truth", label.astype(int)),
        (truth / "ground_truth_domain", "ground_truth", domain.astype(int)),
    ):
        place.mkdir(parents=True, exist_ok=True)
        write_values(place, kind, key, "2022", dict(zip(names, values.tolist(), strict=True)))
    return {"label": label, "domain": domain, "score": score}, truth


@pytest.mark.parametrize("blind", [False, True])
def test_the_rules_of_2022(tmp_path: Path, blind: bool) -> None:
    """Against the formulas of the official evaluator, written out."""
    clips, truth = write_run_2022(tmp_path / "run", blind=blind)
    evaluation = evaluate_folder(tmp_path / "run", truth.parent if blind else None, rule="2022")  # found at any depth
    label, score = clips["label"], clips["score"]
    pauc, aucs = roc_auc_score(label, score, max_fpr=0.1), []
    for row, in_domain in zip(evaluation.rows, (~clips["domain"], clips["domain"]), strict=True):
        used = in_domain | label
        aucs.append(roc_auc_score(label[used], score[used]))
        _, false_alarms, missed, hits = confusion_matrix(label[in_domain], score[in_domain] > 1).ravel()
        assert row.auc == pytest.approx(aucs[-1], abs=1e-12)
        assert row.pauc == pytest.approx(pauc, abs=1e-12)
        assert row.auc_all == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        assert (row.precision, row.recall) == (hits / (hits + false_alarms), hits / (hits + missed))
        assert (row.n_normal, row.n_anomaly) == ((in_domain & ~label).sum(), (in_domain & label).sum())
    assert evaluation.official_score == pytest.approx(hmean([*aucs, pauc]), abs=1e-12)
    lines = list(csv.reader(result_csv(evaluation).splitlines()))
    assert lines[1][:5] == ["section", "AUC (all)", "AUC (source)", "AUC (target)", "pAUC"]
    assert [float(value) for value in lines[2][2:5]] == pytest.approx([*aucs, pauc], abs=1e-12)
    assert lines[6][0] == "source harmonic mean"
    assert float(lines[6][2]) == pytest.approx(aucs[0], abs=1e-12)
    assert lines[-1] == ["official score", "", str(evaluation.official_score)]


def test_the_domains_of_2022_must_be_known(tmp_path: Path) -> None:
    _, truth = write_run_2022(tmp_path / "run", blind=True)
    path = truth / "ground_truth_domain" / "ground_truth_bearing_section_00_test.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(
        ValueError, match=r"bearing section 00: no domain of section_00_0000\.wav; .*ground_truth_domain"
    ):
        evaluate_folder(tmp_path / "run", truth, rule="2022")


def test_the_rules_of_2020(tmp_path: Path) -> None:
    run, scores = tmp_path / "run", {f"id_01_{i:08d}.wav": float(i % 3 + i % 2) for i in range(12)}
    run.mkdir()
    write_values(run, "anomaly_score", Key("fan", 1), "2020", scores)
    lines = [f"{name},normal_id_01_{i:08d}.wav,{i % 2}" for i, name in enumerate(scores)]
    (tmp_path / "eval_data_list.csv").write_text("\n".join(["fan", *lines, ""]))
    evaluation = evaluate_folder(run, tmp_path, rule="2020")
    (row,) = evaluation.rows
    label = [i % 2 for i in range(12)]
    assert (row.domain, row.section) == (BOTH, 1)
    assert row.auc == pytest.approx(roc_auc_score(label, list(scores.values())), abs=1e-12)
    assert row.pauc == pytest.approx(roc_auc_score(label, list(scores.values()), max_fpr=0.1), abs=1e-12)
    assert result_csv(evaluation) == f"fan\nid,AUC,pAUC\n01,{row.auc},{row.pauc}\nAverage,{row.auc},{row.pauc}\n\n"
    assert evaluation.official_score is None
    assert "no official score" in text_table(evaluation)
    (tmp_path / "eval_data_list.csv").write_text("fan\nid_01_00000000.wav,perhaps\n")
    with pytest.raises(ValueError, match=r"line 2: 'id_01_00000000\.wav,perhaps' is not name,original name,0 or 1"):
        evaluate_folder(run, tmp_path, rule="2020")


def test_folders_of_the_organisers_own_baseline(tmp_path: Path) -> None:
    """Its files carry the data set in front of the machine, and seed and model behind; the figures are the same."""
    write_run_2022(tmp_path / "run", blind=False)
    plain = evaluate_folder(tmp_path / "run", rule="2022")
    for path in sorted((tmp_path / "run").iterdir()):
        kind = path.name.partition("_bearing")[0]
        path.rename(path.with_name(f"{kind}_DCASE2023T2bearing_section_00_test_seed13711_id(0_).csv"))
    assert evaluate_folder(tmp_path / "run", rule="2022") == plain
    assert plain.rows[0].machine == "bearing"
    for path in sorted((tmp_path / "run").iterdir()):
        path.rename(path.with_name(path.name.replace(".csv", "_Eval.csv")))
    assert evaluate_folder(tmp_path / "run", rule="2022") == plain
    other = "anomaly_score_DCASE2023T2bearing_section_00_test_seed1_id(0_).csv"
    (tmp_path / "run" / other).write_text("")
    with pytest.raises(ValueError, match=r"a second file of bearing section 00, beside .*leave those of one system"):
        evaluate_folder(tmp_path / "run", rule="2022")


def test_decisions_that_are_not_wanted_are_left_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", ("fan",))
    (run / FAN.replace("anomaly_score", "decision_result")).unlink()
    assert {row.f1 for row in evaluate_folder(run, rule="2021", need_decisions=False).rows} == {None}


def test_one_domain_alone_is_partial(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", ("fan",))
    for path in run.glob("*_target_*"):
        path.unlink()
    with pytest.raises(ValueError, match="fan section 00 target: no file of scores"):
        evaluate_folder(run, rule="2021")
    assert [row.domain for row in evaluate_folder(run, rule="2021", partial=True).rows] == ["source", "source"]
    assert cli(["official", "evaluate", str(run), "--partial"]) == 0


def test_names_of_clips() -> None:
    assert parse_clip("section_05_target_test_0123.wav", "2021") == (5, "target", None)
    assert parse_clip("section_00_source_test_anomaly_0000_strenght_1_ambient.wav", "2022") == (0, "source", "anomaly")
    assert parse_clip("anomaly_id_06_00000012.wav", "2020") == (6, None, "anomaly")
    with pytest.raises(ValueError, match="not the name of a test clip of edition 2020"):
        parse_clip("section_05_target_test_0123.wav", "2020")
    assert file_name("decision_result", Key("pump", 3, "target"), "2021") == (
        "decision_result_pump_section_03_target_test.csv"
    )


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = write_run(tmp_path / "run"), tmp_path / "result.csv"
    assert cli(["official", "evaluate", str(run), "--out", str(out), "--machine", "fan"]) == 0
    assert "official score 0." in capsys.readouterr().out
    assert out.read_text().startswith("fan\nsection,domain,AUC,pAUC,precision,recall,F1 score\n00,source,0.")
    out.unlink()
    for edition, hint in (("2022", "a file of edition 2021: give that --edition"), ("2020", "a file of edition 2021")):
        assert cli(["official", "evaluate", str(run), "--edition", edition, "--out", str(out)]) == 1
        assert hint in capsys.readouterr().err
    assert cli(["official", "evaluate", str(run), "--machine", "valve", "--out", str(out)]) == 1
    assert "no anomaly_score_*.csv of valve" in capsys.readouterr().err
    assert not out.exists()
    (run / "result.csv").touch()  # other files are none of its business
    for path in list(run.glob("*pump*")):
        path.rename(path.with_name(path.name.replace("pump", "mixer")))
    assert cli(["official", "evaluate", str(run)]) == 0
    assert "mixer: no machine of 2021; that edition's rules are applied all the same" in capsys.readouterr().out


def test_the_command_says_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", ("pump",))
    for path in write_run(tmp_path / "blind", ("fan",), blind=True).iterdir():
        path.rename(run / path.name)
    assert cli(["official", "evaluate", str(run), "--skip-unlabelled"]) == 0
    assert "fan section 01 target: nobody knows its labels: left out" in capsys.readouterr().out
