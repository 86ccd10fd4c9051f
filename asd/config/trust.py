"""Which code a configuration may name. Backbones have a rule of their own (models/build)."""

from collections.abc import Iterator, Mapping
from typing import Any

# Where Hydra's launcher, sweeper, callbacks and log handlers may come from.
TRUSTED = ("hydra.", "hydra_plugins.", "asd.", "logging.", "colorlog.")
NAMES_CODE = ("_target_", "()", "class")  # Hydra's word for it, and those of logging.config


def refuse_foreign_targets(values: Any, key: str) -> None:
    """Looks for names of code anywhere in a configuration.

    Args:
        values: Plain values, nested.
        key: What messages call them.

    Raises:
        ValueError: Code from outside of the trusted libraries.
    """
    for where, target in named_code(values, key):
        if not str(target).startswith(TRUSTED):
            allowed = ", ".join(f"{prefix}*" for prefix in TRUSTED)
            raise ValueError(f"{where}={target} is not allowed: code comes from {allowed} only")


def named_code(values: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Each dotted key that names code, with the name."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            if name in NAMES_CODE and not isinstance(value, Mapping):
                yield f"{key}.{name}", value
            yield from named_code(value, f"{key}.{name}")
    elif isinstance(values, list):
        for place, value in enumerate(values):
            yield from named_code(value, f"{key}[{place}]")
