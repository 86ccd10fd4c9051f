"""What may be typed, and where conf/ is."""

from pathlib import Path

PACKED = Path(__file__).parents[1] / "project"  # made by the build: pyproject.toml, force-include

# The folder of train.py, finetune.py, evaluate.py and conf/: a checkout's, or what an installed wheel carries.
PROJECT = PACKED if PACKED.is_dir() else Path(__file__).parents[2]
CONF = PROJECT / "conf"
