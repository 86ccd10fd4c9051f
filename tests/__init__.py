"""The tests, in the rooms of the package; every process has one thread, which is said before torch is imported."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
