"""Scores, decisions and ground truth side by side, by name: what is missing, too much, unknown or contradictory."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from asd.dcase.official_files import Key, Values, listing
from asd.dcase.official_truth import DOMAINS, Truth, truth_of_names
from asd.scoring.metrics import Rule


def unmatched_machines(scores: Values, known: Truth, truth: Path | None) -> Iterator[str]:
    """Machines with truth and no scores: the truth of another machine, or a machine that was forgotten."""
    scored = {key.machine for key in scores}
    if other := {key.machine for key in known} - scored:
        yield (
            f"{truth} is the ground truth of {listing(other)}, and there are no scores of it but of {listing(scored)}; "
            "give the right --truth, or the machines wanted, --machine"
        )


def missing_domains(scores: Values, known: Truth, rule: Rule, *, partial: bool = False) -> Iterator[str]:
    """Files that must be there because the truth or, unless `partial`, the other domain of the section is."""
    wanted = {key for key in known if key.machine in {scored.machine for scored in scores}}
    if rule == "2021" and not partial:
        wanted |= {key._replace(domain=domain) for key in scores for domain in DOMAINS}
    for key in sorted(wanted - scores.keys()):
        yield f"{key}: no file of scores"


def complete_truth(scores: Values, known: Truth, rule: Rule, problems: list[str]) -> tuple[Truth, list[Key]]:
    """The truth of every scored file, from the clips' names where no other is given, and the files without any."""
    truth, unlabelled = {}, []
    for key, clips in sorted(scores.items()):
        told = truth_of_names(clips, rule, key.domain)
        if key in known:
            truth[key] = known[key]
            contrary = {n for n, k in (told or {}).items() if n in known[key] and known[key][n].label != k.label}
            if contrary:
                problems.append(f"{key}: names and ground truth contradict each other: {listing(contrary)}")
        elif told is None:
            unlabelled.append(key)
        else:
            truth[key] = told
    return truth, unlabelled


def unmatched_rows(
    have: Mapping[Key, Mapping[str, object]],
    want: Mapping[Key, Mapping[str, object]],
    other: str,
    *,
    kind: str = "score",
) -> Iterator[str]:
    """Rows (or whole files) of `want` that `have` lacks, and rows it has too much."""
    for key, names in sorted(want.items()):
        if key not in have:
            if kind == "decision":
                yield f"{key}: no file of decisions"
            continue
        if missing := names.keys() - have[key].keys():
            yield f"{key}: {len(missing)} {kind}s missing: {listing(missing)}"
        if extra := have[key].keys() - names.keys():
            yield f"{key}: {len(extra)} {kind}s of clips that the {other} do not know: {listing(extra)}"
    if kind == "decision":
        for key in sorted(have.keys() - want.keys()):
            yield f"{key}: decisions without a file of scores"
