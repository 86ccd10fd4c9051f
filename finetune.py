"""Phase 2: fine-tune a trained run on target clips, with part of the network frozen (Report 2.4).

python finetune.py machine=fan
python finetune.py -m machine=fan freeze=none,until_last_block,backbone,arcface
python finetune.py machine=fan freeze.parts=[until_last_block,arcface] trainer.max_steps=1000
"""

from asd.system.entry import begin

begin()  # before the imports that take time

from asd.config.schema import RunConfig
from asd.launch.script import script
from asd.runs.folder import RunFolder
from asd.runs.ranks import hold_together


@script("finetune")
def main(config: RunConfig) -> None:
    """Fine-tunes the run that the configuration describes, or says that it is finished."""
    with hold_together(RunFolder(config.folder())) as lock:  # before torch: a second start is refused at once
        from asd.experiment import train

        train(config, lock)


if __name__ == "__main__":
    main()
