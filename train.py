"""Phase 1: train a section classifier on source clips (Report 2.4).

python train.py machine=fan
python train.py -m machine=fan,pump backbone=resnet50 input=1024x32,512x32
python train.py -m experiment=report
"""

from asd.system.entry import begin

begin()  # before the imports that take time

from asd.config.schema import RunConfig
from asd.launch.script import script
from asd.runs.folder import RunFolder
from asd.runs.ranks import hold_together


@script("train")
def main(config: RunConfig) -> None:
    """Trains the run that the configuration describes, or says that it is finished."""
    with hold_together(RunFolder(config.folder())) as lock:  # before torch: a second start is refused at once
        from asd.experiment import train

        train(config, lock)


if __name__ == "__main__":
    main()
