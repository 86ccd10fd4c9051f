"""Score finished runs, average them, and print the report's Table 2 beside ours.

python evaluate.py
python evaluate.py machine=fan phase=finetune-until_last_block
python evaluate.py name=report machine=[fan,pump] ensemble=zscore
"""

from asd.system.entry import begin

begin()  # before the imports that take time

from asd.config.schema import EvaluateConfig
from asd.launch.script import script
from asd.runs.folder import results
from asd.runs.lock import hold


@script("evaluate")
def main(config: EvaluateConfig) -> None:
    """Scores the runs under a name and writes outputs/<name>/results/."""
    with hold(results(config.name)):  # before torch is imported: a second start is refused at once
        from asd.evaluation import evaluate

        evaluate(config)


if __name__ == "__main__":
    main()
