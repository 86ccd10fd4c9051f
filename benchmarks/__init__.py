"""How fast it is: every figure a ratio of things measured in turns in one run (docs/performance.md)."""
