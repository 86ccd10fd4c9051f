"""Choices of conf/ that need a package from an extra of this project."""

import importlib.util

# The extra of this project that brings it, and Hydra's plugin in it.
EXTRAS = {
    "joblib_pool": ("joblib", "hydra_plugins.hydra_joblib_launcher"),
    "ray_cluster": ("ray", "hydra_plugins.hydra_ray_launcher"),
    "slurm": ("slurm", "hydra_plugins.hydra_submitit_launcher"),
}


def require_launcher(choice: str) -> None:
    """Makes sure that a launcher can be used.

    Raises:
        ValueError: Its package is missing; the message says what to install.
    """
    if choice in EXTRAS and not is_there(EXTRAS[choice][1]):
        extra = EXTRAS[choice][0]
        raise ValueError(f"hydra/launcher={choice} needs a package: pip install -e '.[{extra}]' (docs/clusters.md)")


def is_there(plugin: str) -> bool:
    """Whether a plugin is installed."""
    try:
        return importlib.util.find_spec(plugin) is not None
    except ModuleNotFoundError:
        return False
