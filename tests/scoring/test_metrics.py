"""AUC, pAUC and harmonic means against plain loops and a published run of the official evaluator."""

import csv
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from asd.scoring.metrics import (
    BOTH,
    Group,
    MetricRow,
    TestClips,
    auc,
    hmean,
    machine_row,
    metric_rule,
    official_score,
    partial_auc,
    scorable,
    section_rows,
)

SCORE_FILE = re.compile(r"anomaly_score_(\w+)_section_(\d\d)_(source|target)_test\.csv")


def read_published_scores(folder: Path) -> dict[str, TestClips]:
    """The scores of a published run, machine by machine; the label stands in each clip's name."""
    columns: dict[str, list[tuple[str, int, str, str, float]]] = {}
    for path in sorted(folder.glob("anomaly_score_*.csv")):
        machine, section, domain = SCORE_FILE.fullmatch(path.name).groups()
        with path.open(newline="") as lines:
            for name, score in csv.reader(lines):
                label = "anomaly" if "_anomaly_" in name else "normal"
                columns.setdefault(machine, []).append((name, int(section), domain, label, float(score)))
    return {
        machine: TestClips(*(np.array(column) for column in zip(*rows, strict=True)))
        for machine, rows in columns.items()
    }


def read_published_metrics(path: Path) -> dict[tuple[str, str, str], tuple[float, float]]:
    """(machine, section, domain) or (machine, `harmonic mean`, ``) → AUC, pAUC."""
    found, machine = {}, ""
    with path.open(newline="") as lines:
        for row in csv.reader(lines):
            if len(row) == 1:
                machine = row[0]
            elif len(row) > 3 and row[2] not in ("", "AUC"):
                found[machine, row[0], row[1]] = float(row[2]), float(row[3])
    return found


def test_every_figure_of_a_published_run(shared: Path) -> None:
    folder = shared / "official_2021" / "ae_run"
    published, everything = read_published_metrics(folder / "result.csv"), []
    for machine, clips in read_published_scores(folder).items():
        rows = section_rows(machine, clips, rule="2021")
        assert len(rows) == 6
        for row in rows:
            expected = published[machine, f"{row.section:02d}", row.domain]
            assert (row.auc, row.pauc) == pytest.approx(expected, abs=1e-12, rel=0)
        expected = published[machine, "harmonic mean", ""]
        assert machine_row(rows) == pytest.approx(expected, abs=1e-12, rel=0)
        everything += rows
    assert len(everything) == 42
    assert round(official_score(everything), 6) == 0.573851


def slow_roc(labels: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """(false positive rate, true positive rate) at every threshold, counted one by one."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(scores), reverse=True):
        flagged = [(s >= threshold, y) for s, y in zip(scores, labels, strict=True)]
        false = sum(f and not y for f, y in flagged) / (labels == 0).sum()
        true = sum(f and y for f, y in flagged) / (labels == 1).sum()
        points.append((false, true))
    return points


def slow_area(labels: np.ndarray, scores: np.ndarray, end: float) -> float:
    """Trapezoids up to a false positive rate."""
    area, points = 0.0, slow_roc(labels, scores)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= end or x1 == x0:
            continue
        cut = min(x1, end)
        area += (cut - x0) * (y0 + y0 + (y1 - y0) * (cut - x0) / (x1 - x0)) / 2
    return area


@pytest.mark.parametrize("seed", range(5))
def test_areas_equal_a_slow_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([0, 1], [23, 17]))
    scores = np.round(generator.normal(size=40) + labels, 1) * 30  # ties, far outside [0, 1]
    assert auc(labels, scores) == pytest.approx(slow_area(labels, scores, 1.0), abs=1e-12)
    least, most = 0.1**2 / 2, 0.1
    expected = 0.5 * (1 + (slow_area(labels, scores, 0.1) - least) / (most - least))
    assert partial_auc(labels, scores, 0.1) == pytest.approx(expected, abs=1e-12)


def test_auc_of_scores_beyond_one_is_not_squashed() -> None:
    """FACTS 2: a sigmoid over large scores makes them equal; 0.75 became 0.5."""
    assert auc([0, 0, 1, 1], [100.0, 300.0, 200.0, 400.0]) == 0.75


def test_chance_and_perfection_of_the_partial_area() -> None:
    assert partial_auc([0, 1], [0.0, 0.0], 0.1) == pytest.approx(0.5)
    assert partial_auc([0, 1], [0.0, 1.0], 0.1) == pytest.approx(1.0)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_one_class_has_no_auc(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="AUC needs both classes"):
        auc(labels, [0.5] * len(labels))


def test_bad_scores_and_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="score 1 is NaN"):
        auc([0, 1], [0.5, np.nan])
    for rate in (0.0, 1.5):
        with pytest.raises(ValueError, match="max_fpr is"):
            partial_auc([0, 1], [0.1, 0.2], rate)


def test_harmonic_mean() -> None:
    assert hmean([1, 2, 4]) == pytest.approx(3 / (1 + 1 / 2 + 1 / 4))
    assert 0 < hmean([0.9, 0.0]) < 1e-15
    for values in ([], [0.5, np.nan]):
        with pytest.raises(ValueError, match="at least one value and no NaN"):
            hmean(values)


def clips_of(*groups: tuple[int, str, str, list[float]]) -> TestClips:
    rows = [(f"{s}{d}{y}{i}.wav", s, d, y, v) for s, d, y, values in groups for i, v in enumerate(values)]
    return TestClips(*(np.array(column) for column in zip(*rows, strict=True)))


TWO_DOMAINS = clips_of(
    (3, "source", "normal", [0.1, 0.4]),
    (3, "source", "anomaly", [0.3]),
    (3, "target", "normal", [0.2, 0.5, 0.9]),
    (3, "target", "anomaly", [0.8, 0.95]),
)


def test_rule_of_2021_keeps_the_domains_apart() -> None:
    rows = section_rows("fan", TWO_DOMAINS, rule="2021")
    assert [(r.section, r.domain, r.n_normal, r.n_anomaly) for r in rows] == [
        (3, "source", 2, 1),
        (3, "target", 3, 2),
    ]
    assert [r.auc for r in rows] == [pytest.approx(1 / 2), pytest.approx(5 / 6)]
    assert machine_row(rows)[0] == pytest.approx(2 / (2 + 6 / 5))


def test_rule_of_2022_takes_the_anomalies_of_both_domains() -> None:
    both, source, target = section_rows("fan", TWO_DOMAINS, rule="2022")
    assert (both.domain, both.n_normal, both.n_anomaly, both.auc) == (BOTH, 5, 3, None)
    is_anomaly = TWO_DOMAINS.label == "anomaly"
    assert both.pauc == partial_auc(is_anomaly, TWO_DOMAINS.score, 0.1)
    assert (source.n_normal, source.n_anomaly, source.pauc) == (2, 3, None)
    assert source.auc == pytest.approx(5 / 6)
    assert (target.n_normal, target.n_anomaly) == (3, 3)
    assert target.auc == pytest.approx((1 + 2 + 3) / 9)
    assert machine_row([both, source, target]) == (hmean([source.auc, target.auc]), pytest.approx(both.pauc))
    assert official_score([both, source, target]) == hmean([source.auc, target.auc, both.pauc])


INCOMPLETE = clips_of(
    (0, "source", "normal", [0.1]),
    (0, "source", "anomaly", [0.2]),
    (0, "target", "normal", [0.1, 0.2]),
    (4, "source", "anomaly", [0.3]),
)


def test_groups_that_lack_a_class_are_named() -> None:
    complete, lacking = scorable(INCOMPLETE, "2021")
    assert complete == [Group(0, "source", 1, 1)]
    assert lacking == [Group(0, "target", 2, 0), Group(4, "source", 0, 1)]
    with pytest.raises(ValueError, match=r"section 00 target \(2\+0\), section 04 source \(0\+1\)"):
        section_rows("pump", INCOMPLETE, rule="2021")
    rows = section_rows("pump", INCOMPLETE, rule="2021", only=complete)
    assert rows == [MetricRow("pump", 0, "source", 1, 1, 1.0, 1.0)]


def test_groups_of_2022_need_only_one_domains_anomalies() -> None:
    complete, lacking = scorable(INCOMPLETE, "2022")
    assert [(g.section, g.domain) for g in complete] == [(0, BOTH), (0, "source"), (0, "target")]
    assert [(g.section, g.domain) for g in lacking] == [(4, BOTH), (4, "source")]


def test_rule_of_2020_knows_no_domains() -> None:
    (row,) = section_rows("fan", TWO_DOMAINS, rule="2020")
    assert (row.section, row.domain, row.n_normal, row.n_anomaly) == (3, BOTH, 5, 3)
    is_anomaly = TWO_DOMAINS.label == "anomaly"
    assert row.auc == pytest.approx(slow_area(is_anomaly, TWO_DOMAINS.score, 1.0), abs=1e-12)
    assert row.pauc == partial_auc(is_anomaly, TWO_DOMAINS.score, 0.1)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="rule is '2019'; give 2020, 2021"):
        scorable(TWO_DOMAINS, "2019")


def test_bad_clips_are_named() -> None:
    with pytest.raises(ValueError, match=r"3sourcenormal1\.wav and 1 more: the score is NaN"):
        replace(TWO_DOMAINS, score=np.array([0.1, np.nan, 0, 0, 0, np.inf, 0, 0]))
    with pytest.raises(ValueError, match=r"3sourcenormal0\.wav and 7 more: a clip counts only with the label"):
        replace(TWO_DOMAINS, label=np.array(["unknown"] * 8))
    with pytest.raises(ValueError, match=r"lengths \[8, 8, 8, 8, 1\]"):
        replace(TWO_DOMAINS, score=np.array([0.1]))


@pytest.mark.parametrize(
    ("edition", "has_domains", "rule"),
    [
        (None, True, "2021"), ("2020", True, "2020"), (2021, False, "2021"), ("2022", True, "2022"),
        ("2023", False, "2022"), (2026, True, "2022"), ("own", True, "2021"), ("own", False, "2020"),
    ],
)  # fmt: skip
def test_the_rule_follows_the_edition(edition: str | int | None, has_domains: bool, rule: str) -> None:
    assert metric_rule(edition, has_domains=has_domains) == rule


@pytest.mark.parametrize("edition", ["2019", "mine", "", "-2022"])
def test_an_edition_that_does_not_exist_is_refused(edition: str) -> None:
    with pytest.raises(ValueError, match="give a year from 2020 on, or own"):
        metric_rule(edition, has_domains=True)


def test_clips_of_a_hidden_domain_count_for_the_section_alone() -> None:
    """Rule 2022: in pAUC all clips; in a domain's AUC its own normal clips and every anomaly, written out."""
    random = np.random.default_rng(5)
    label = random.choice(["normal", "anomaly"], 90)
    domain = random.choice(["source", "target", "unknown"], 90)
    score = random.normal(size=90) + (label == "anomaly")
    clips = TestClips(np.arange(90).astype(str), np.zeros(90, int), domain, label, score)
    rows = {row.domain: row for row in section_rows("fan", clips, rule="2022")}
    assert set(rows) == {"both", "source", "target"}
    assert rows["both"].pauc == partial_auc(label == "anomaly", score, 0.1)
    for name in ("source", "target"):
        pairs = [
            (a > n) + (a == n) / 2
            for a in score[label == "anomaly"]
            for n in score[(label == "normal") & (domain == name)]
        ]
        assert rows[name].auc == pytest.approx(np.mean(pairs), abs=1e-12)
