"""The launcher of this project: `hydra/launcher=slots`, the default of train.py -m and finetune.py -m."""
