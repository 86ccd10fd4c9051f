"""From embeddings to scores, from scores to metrics."""
