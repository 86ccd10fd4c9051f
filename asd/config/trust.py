"""Which code may be named by whom.

What a user types, and their own `conf/`, may name any code. What comes out of a run's folder or a checkpoint is data:
it may name classes of this package, of the libraries named here, and of packages that the user trusts by name
(docs/security.md).
"""

import importlib
import importlib.util
import os
from collections.abc import Iterable

PACKAGE = "asd"
LIBRARIES = ("torch.nn", "torch.optim", "pytorch_lightning.callbacks", "pytorch_lightning.loggers")
ENVIRONMENT = "ASD_TRUST"  # more packages, separated by commas


def trusted_packages(trust: Iterable[str] = ()) -> set[str]:
    """The packages that the user trusts: those given, and those of the environment."""
    given = os.environ.get(ENVIRONMENT, "").replace(",", " ").split()
    return {*trust, *given}


def require_trusted(target: str, key: str, trust: Iterable[str] = ()) -> None:
    """Makes sure that code which a file names may be imported; nothing is imported that may not.

    Args:
        target: Whole name, as it is in the file.
        key: What messages call the place, such as `outputs/…/config.yaml: backbone`.
        trust: Names of packages that the user trusts.

    Raises:
        ValueError: It may not, or there is no such class.
    """
    root = target.partition(".")[0]
    if root in trusted_packages(trust):
        return
    if not any(target.startswith(f"{name}.") for name in (PACKAGE, *LIBRARIES)):
        raise ValueError(
            f"{key} names code of the package {root}, {target}: give trust=[{root}] (or --trust {root}, or "
            f"{ENVIRONMENT}={root}) if it is yours"
        )
    if not is_own_class(target):
        raise ValueError(f"{key}: {target} is not a class of {root}")


def is_own_class(target: str) -> bool:
    """Whether a whole name is that of a class which its own package defines, and not of what a module imported."""
    module, _, name = target.rpartition(".")
    try:
        if importlib.util.find_spec(module) is None:
            return False
    except (ImportError, AttributeError, ValueError):
        return False
    found = getattr(importlib.import_module(module), name, None)
    allowed = next(package for package in (PACKAGE, *LIBRARIES) if target.startswith(f"{package}."))
    defined = getattr(found, "__module__", "")
    return isinstance(found, type) and (defined == allowed or defined.startswith(f"{allowed}."))
