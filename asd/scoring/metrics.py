"""AUC, partial AUC and their harmonic means, as the official evaluators of DCASE Task 2 compute them."""

import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

Rule = Literal["2020", "2021", "2022"]  # "2022" stands for 2022 and later
BOTH = "both"  # the domain of a row that takes a section's domains together
UNKNOWN = "unknown"  # the domain of a clip whose name hides it
OWN = "own"  # the edition of recordings that are no DCASE data set

# How each rule computes its figures, for people.
RULE_TEXT: dict[Rule, str] = {
    "2020": "rule of 2020: AUC and pAUC per section, arithmetic means",
    "2021": "rule of 2021: AUC and pAUC per section and domain, harmonic means",
    "2022": "rule of 2022 and later: AUC of each domain's normal clips against the anomalies of all domains, "
    "pAUC per section, harmonic means",
}

OFFICIAL_MAX_FPR = 0.1  # of every edition


class Group(NamedTuple):
    """The test clips behind one row: how many of each class, in which section and domain."""

    section: int
    domain: str
    n_normal: int
    n_anomaly: int


@dataclass(frozen=True)
class MetricRow:
    """One line of metrics.csv; fractions, None where the edition's rule has no such figure."""

    machine: str
    section: int
    domain: str
    n_normal: int
    n_anomaly: int
    auc: float | None
    pauc: float | None


@dataclass(frozen=True, eq=False)
class TestClips:
    """Scored test clips of one machine as columns of equal length (clips,).

    Attributes:
        name: what messages call a clip.
        section: number of the section.
        domain: `source`, `target`, or `unknown` where it is hidden.
        label: `normal` or `anomaly`.
        score: higher = more anomalous.

    Raises:
        ValueError: if the columns differ in length, a label is another one or a score is not finite.
    """

    __test__ = False  # pytest takes a class of this name for tests

    name: NDArray[np.str_]
    section: NDArray[np.integer]
    domain: NDArray[np.str_]
    label: NDArray[np.str_]
    score: NDArray[np.floating]

    def __post_init__(self) -> None:
        columns = (self.name, self.section, self.domain, self.label, self.score)
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"columns of test clips have lengths {[len(c) for c in columns]}; give equal ones")
        strange = ~np.isin(self.label, ("normal", "anomaly"))
        if strange.any():
            raise ValueError(f"{self._first(strange)}: a clip counts only with the label normal or anomaly")
        bad = ~np.isfinite(self.score)
        if bad.any():
            raise ValueError(f"{self._first(bad)}: the score is NaN or infinite; no metric can use it")

    def _first(self, which: NDArray[np.bool_]) -> str:
        more = int(which.sum()) - 1
        return f"{self.name[which][0]}" + (f" and {more} more" if more else "")


def metric_rule(edition: str | int | None, *, has_domains: bool) -> Rule:
    """The metric rule that goes with data.

    Args:
        edition: Year of the DCASE edition, or `own`; None: a run made before runs kept it, which is 2021.
        has_domains: Whether the domain of any test clip is known; decides between the rules for own recordings.

    Raises:
        ValueError: There is no such edition.
    """
    name = "2021" if edition is None else str(edition)
    if name == OWN:
        return "2021" if has_domains else "2020"
    if name == "2020" or name == "2021":
        return "2020" if name == "2020" else "2021"
    if name.isdecimal() and int(name) >= 2022:
        return "2022"
    raise ValueError(f"edition is {name!r}; give a year from 2020 on, or {OWN} for recordings of your own")


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; labels (clips,) 1 = anomaly, scores (clips,) higher = more anomalous.

    Raises:
        ValueError: if only one class is there or a score is not finite.
    """
    return _area(labels, scores, None)


def partial_auc(labels: ArrayLike, scores: ArrayLike, max_fpr: float) -> float:
    """The ROC area up to a false positive rate, standardised (McClish): chance is 0.5, the best 1.

    Raises:
        ValueError: as `auc`, or if `max_fpr` is not in (0, 1].
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr is {max_fpr}; give a rate above 0, at most 1")
    return _area(labels, scores, max_fpr)


def hmean(values: Iterable[float]) -> float:
    """Harmonic mean with the evaluator's floor of 2.22e-16: a zero drags it to about 0 and is no error.

    Raises:
        ValueError: if there are no values or one is NaN.
    """
    found = np.array(list(values), dtype=np.float64)
    if not len(found) or np.isnan(found).any():
        raise ValueError(f"harmonic mean of {found.tolist()}; give at least one value and no NaN")
    return float(stats.hmean(np.maximum(found, sys.float_info.epsilon)))


def scorable(clips: TestClips, rule: Rule) -> tuple[list[Group], list[Group]]:
    """The sections and domains whose test clips have both classes, and those that lack one.

    Rule 2020 knows no domains: a section (then called ID) is one group named `both`. Rule 2021 takes each domain by
    itself. From 2022 on a domain's normal clips meet the anomalies of all domains (AUC), and a section as a whole is a
    group named `both` (pAUC), to which clips of a hidden domain belong too.
    """
    groups = [Group(s, d, *_class_counts(clips, s, d, rule)) for s, d in _keys(clips, rule)]
    complete = [group for group in groups if group.n_normal and group.n_anomaly]
    return complete, [group for group in groups if group not in complete]


def section_rows(
    machine: str, clips: TestClips, *, rule: Rule, only: Collection[Group] | None = None
) -> list[MetricRow]:
    """Metrics of one machine, one row per section and domain (rule 2022: a third row, `both`, has the pAUC).

    Args:
        machine: name of the machine.
        clips: its scored test clips with known labels.
        rule: `2020`, `2021`, or `2022` for that year and later.
        only: the groups wanted, as `scorable` gave them; None: all, which must then be complete.

    Raises:
        ValueError: naming the sections and domains that lack normal or anomalous clips.
    """
    complete, incomplete = scorable(clips, rule)
    groups = complete + incomplete if only is None else list(only)
    lacking = [g for g in groups if not (g.n_normal and g.n_anomaly)]
    if lacking:
        raise ValueError(
            f"{machine}: no AUC without normal and anomalous test clips in "
            + ", ".join(f"section {g.section:02d} {g.domain} ({g.n_normal}+{g.n_anomaly})" for g in lacking)
            + "; leave these out (see scorable) or add labelled clips"
        )
    return [_row(machine, clips, group, rule) for group in sorted(groups)]


def machine_row(rows: Iterable[MetricRow], rule: Rule = "2021") -> tuple[float, float]:
    """Means of AUC and of pAUC over a machine's rows, as fractions: arithmetic in 2020, harmonic since.

    With rule 2021 this is one cell of Report Table 2.
    """
    rows = list(rows)
    mean = arithmetic_mean if rule == "2020" else hmean
    return mean(r.auc for r in rows if r.auc is not None), mean(r.pauc for r in rows if r.pauc is not None)


def arithmetic_mean(values: Iterable[float]) -> float:
    """The plain mean of at least one value."""
    return float(np.mean(list(values)))


def official_score(rows: Iterable[MetricRow]) -> float:
    """Harmonic mean of all AUC and pAUC values of all machines together (84 of them in 2021)."""
    return hmean(value for row in rows for value in (row.auc, row.pauc) if value is not None)


def _row(machine: str, clips: TestClips, group: Group, rule: Rule) -> MetricRow:
    used = members(clips, group.section, group.domain, rule)
    labels, scores = clips.label[used] == "anomaly", clips.score[used]
    has_auc = rule != "2022" or group.domain != BOTH
    has_pauc = rule != "2022" or group.domain == BOTH
    return MetricRow(
        machine,
        *group,
        auc=auc(labels, scores) if has_auc else None,
        pauc=partial_auc(labels, scores, OFFICIAL_MAX_FPR) if has_pauc else None,
    )


def _keys(clips: TestClips, rule: Rule) -> list[tuple[int, str]]:
    """Sections and domains that the clips show, in order; what is not there is not assumed."""
    if rule not in get_args(Rule):
        raise ValueError(f"rule is {rule!r}; give 2020, 2021, or 2022 for that year and later")
    if rule == "2020":
        return sorted({(int(section), BOTH) for section in clips.section})
    keys = {(int(s), str(d)) for s, d in zip(clips.section, clips.domain, strict=True)}
    if rule == "2022":
        sections = {section for section, _ in keys}
        keys = {key for key in keys if key[1] != UNKNOWN} | {(section, BOTH) for section in sections}
    return sorted(keys)


def members(clips: TestClips, section: int, domain: str, rule: Rule) -> NDArray[np.bool_]:
    """(clips,) which clips a section's and domain's figure is computed from."""
    in_section = clips.section == section
    if domain == BOTH:
        return in_section
    in_domain = clips.domain == domain
    return in_section & (in_domain if rule == "2021" else in_domain | (clips.label == "anomaly"))


def _class_counts(clips: TestClips, section: int, domain: str, rule: Rule) -> tuple[int, int]:
    is_anomaly = clips.label[members(clips, section, domain, rule)] == "anomaly"
    return int((~is_anomaly).sum()), int(is_anomaly.sum())


def _area(labels: ArrayLike, scores: ArrayLike, max_fpr: float | None) -> float:
    is_anomaly, score = np.asarray(labels).astype(bool), np.asarray(scores, dtype=np.float64)
    if is_anomaly.all() or not is_anomaly.any():
        raise ValueError(f"{is_anomaly.sum()} of {is_anomaly.size} clips are anomalous; AUC needs both classes")
    if not np.isfinite(score).all():
        raise ValueError(f"score {int(np.flatnonzero(~np.isfinite(score))[0])} is NaN or infinite")
    return float(roc_auc_score(is_anomaly, score, max_fpr=max_fpr))
