"""Anomalous sound detection for machines: ArcFace section classifiers, trained on normal sound alone."""
