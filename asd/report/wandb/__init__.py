"""The mirror of runs and results on Weights & Biases; everything in it comes from files that are the record."""
