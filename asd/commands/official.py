"""`asd official …`: the organisers' figures from their files, and the files of a submission from finished runs."""

import argparse
from pathlib import Path
from typing import Any

EDITIONS = tuple(str(year) for year in range(2020, 2026))


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its subcommands."""
    official = commands.add_parser("official", help="official figures and submissions")
    subcommands = official.add_subparsers(required=True, metavar="COMMAND")
    add_evaluate(
        subcommands.add_parser("evaluate", help="figures of submission files", description=evaluate_files.__doc__)
    )


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Options of `asd official evaluate`."""
    parser.add_argument(
        "scores", type=Path, metavar="SCORES_DIR", help="holds anomaly_score_*.csv, decision_result_*.csv"
    )
    parser.add_argument("--truth", type=Path, metavar="DIR", help="ground truth (in the clips' names, if not given)")
    parser.add_argument("--edition", choices=EDITIONS, default="2021", help="whose rules (%(default)s)")
    parser.add_argument("--machine", type=words, help="only these, such as fan,pump (all)")
    parser.add_argument("--without-decisions", action="store_true", help="AUC and pAUC alone, where no decisions are")
    parser.add_argument("--skip-unlabelled", action="store_true", help="leave out files whose labels nobody knows")
    parser.add_argument("--out", type=Path, metavar="result.csv", help="write the official result file")
    parser.set_defaults(command=evaluate_files)


def words(text: str) -> list[str]:
    """A comma-separated list."""
    return text.split(",")


def evaluate_files(options: argparse.Namespace) -> int:
    """Computes AUC, pAUC, precision, recall and F1 from submission files, by the rules of an edition."""
    from asd.atomic import write_text
    from asd.report.official import result_csv, text_table
    from asd.scoring.official import evaluate_folder

    evaluation = evaluate_folder(
        options.scores,
        options.truth,
        rule=rule_of(options.edition),
        machines=options.machine,
        need_decisions=not options.without_decisions,
        skip_unlabelled=options.skip_unlabelled,
    )
    for key in evaluation.unlabelled:
        print(f"{key}: nobody knows its labels: left out")
    print(text_table(evaluation), end="")
    if options.out:
        write_text(options.out, result_csv(evaluation))
        print(f"{options.out} written")
    return 0


def rule_of(edition: str) -> Any:
    """The metric rule of an edition."""
    return edition if edition in ("2020", "2021") else "2022"
