"""`asd official …`: the organisers' figures from their files, and the files of a submission from finished runs."""

import argparse
from pathlib import Path

from asd.dcase.editions import EDITIONS
from asd.system.printable import some_of

NOBODY = "Nobody_NONE"  # a team that says it has to be named yet


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its subcommands."""
    official = commands.add_parser("official", help="official figures and submissions")
    subcommands = official.add_subparsers(required=True, metavar="COMMAND")
    add_evaluate(
        subcommands.add_parser("evaluate", help="figures of submission files", description=evaluate_files.__doc__)
    )
    add_submit(subcommands.add_parser("submit", help="a submission from runs", description=submit_runs.__doc__))


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Options of `asd official evaluate`."""
    parser.add_argument(
        "scores", type=Path, metavar="SCORES_DIR", help="holds anomaly_score_*.csv, decision_result_*.csv"
    )
    parser.add_argument("--truth", type=Path, metavar="DIR", help="ground truth (in the clips' names, if not given)")
    parser.add_argument("--edition", type=int, choices=EDITIONS, default=2021, help="whose rules (%(default)s)")
    parser.add_argument("--machine", type=words, help="only these, such as fan,pump (all)")
    parser.add_argument("--without-decisions", action="store_true", help="AUC and pAUC alone, where no decisions are")
    parser.add_argument("--partial", action="store_true", help="even where a section has one domain only")
    parser.add_argument("--skip-unlabelled", action="store_true", help="leave out files whose labels nobody knows")
    parser.add_argument("--out", type=Path, metavar="result.csv", help="write the official result file")
    parser.set_defaults(command=evaluate_files)


def add_submit(parser: argparse.ArgumentParser) -> None:
    """Options of `asd official submit`."""
    parser.add_argument("runs", type=Path, metavar="outputs/NAME", help="finished runs, scored by evaluate.py")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--system", default="submission4", help="submission1 … 4, or BACKBONE-INPUT-sSEED/PHASE (%(default)s)"
    )
    parser.add_argument(
        "--part", choices=("dev", "evaluation", "both"), default="evaluation", help="whose test clips (%(default)s)"
    )
    parser.add_argument("--partial", action="store_true", help="even where machines or sections are missing")
    parser.add_argument("--scorer", default="cosine", help="whose scores (%(default)s)")
    parser.add_argument(
        "--ensemble", choices=("mean", "zscore", "rank"), default="mean", help="of the members (%(default)s)"
    )
    parser.add_argument("--phase", help="of the members (the only fine-tuning there is, else train)")
    parser.add_argument("--seed", type=int, default=0, help="of the members (%(default)s)")
    parser.add_argument(
        "--threshold", choices=("gamma", "empirical"), default="gamma", help="how it is found (%(default)s)"
    )
    parser.add_argument("--quantile", type=float, default=0.9, help="share of normal sound below it (%(default)s)")
    parser.add_argument("--team", default=NOBODY, metavar="NAME_INSTITUTE", help="such as Lopez_IL")
    parser.add_argument(
        "--index", type=int, choices=(1, 2, 3, 4), default=1, help="which of the team's submissions (%(default)s)"
    )
    parser.add_argument(
        "--author", action="append", default=[], metavar="'First Last <email>, Institution'", help="may be repeated"
    )
    parser.set_defaults(command=submit_runs)


def words(text: str) -> list[str]:
    """A comma-separated list."""
    return text.split(",")


def evaluate_files(options: argparse.Namespace) -> int:
    """Computes AUC, pAUC, precision, recall and F1 from submission files, by the rules of an edition."""
    from asd.dcase.official import evaluate_folder
    from asd.dcase.result_csv import result_csv, text_table
    from asd.system.files import write_text

    evaluation = evaluate_folder(
        options.scores,
        options.truth,
        rule=EDITIONS[options.edition].metric_rule,
        machines=options.machine,
        need_decisions=not options.without_decisions,
        skip_unlabelled=options.skip_unlabelled,
        partial=options.partial,
    )
    if others := sorted({row.machine for row in evaluation.rows} - set(EDITIONS[options.edition].machines)):
        print(f"{', '.join(others)}: no machine of {options.edition}; that edition's rules are applied all the same")
    for key in evaluation.unlabelled:
        print(f"{key}: nobody knows its labels: left out")
    print(text_table(evaluation), end="")
    if options.out:
        write_text(options.out, result_csv(evaluation))
        print(f"{options.out} written")
    return 0


def submit_runs(options: argparse.Namespace) -> int:
    """Writes a complete submission from finished runs (scores, decisions, description, archive) and reads it back."""
    from asd.dcase.result_csv import text_table
    from asd.dcase.submission import make_submission, warnings
    from asd.dcase.submission_entries import Order
    from asd.dcase.submission_meta import make_label, parse_author

    keys = ("system", "part", "partial", "scorer", "ensemble", "phase", "seed", "threshold", "quantile")
    order = Order(
        name=grid_of(options.runs),
        label=make_label(options.team, options.index),
        **{key: getattr(options, key) for key in keys},
    )
    made = make_submission(order, options.out, [parse_author(text) for text in options.author])
    if made.evaluation:
        print(text_table(made.evaluation))
    for machine, entry in made.entries.items():
        found = entry.threshold
        print(
            f"{machine}: threshold {found.value:.6g} ({found.method}), {found.flagged:.1%} of its training clips above"
        )
    for warning in warnings(made):
        print(f"Warning: {warning}")
    if options.team == NOBODY or not options.author:
        print(f"Still to fill in: --team, --author, and null fields of {order.label}.meta.yaml")
    archive = f"{options.out / order.label}.zip"
    if made.is_new:
        print(f"{archive}: written, read back, the same")
    elif made.repaired:
        print(f"{options.out}: {some_of(made.repaired)} missing or empty: written now; the rest was there already")
    else:
        print(f"{archive}: there already, the same: nothing to do")
    return 0


def grid_of(path: Path) -> str:
    """The name of the grid in a folder outputs/NAME, which lies in the working directory.

    Raises:
        ValueError: It is another folder.
    """
    from asd.runs.folder import OUTPUTS

    if path.parent != OUTPUTS:
        raise ValueError(f"{path}: give a folder of runs as {OUTPUTS}/NAME, from the folder that holds {OUTPUTS}")
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder of runs")
    return path.name
