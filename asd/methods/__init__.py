"""The composition of the baselines: what asd/experiment.py and asd/evaluation.py do for the report's own system."""
