"""What a run's method is, and under which scorer its scores lie. Light: known before torch is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TITLES = {"autoencoder": "Autoencoder baseline", "mobilenetv2": "MobileNetV2 baseline"}  # as in Table 2


@dataclass(frozen=True)
class Scorer:
    """How a run is scored.

    Attributes:
        name: Of the folder under the run's scores/.
        settings: What two scorers of one name must agree in.
    """

    name: str
    settings: dict[str, Any]


def is_baseline(made_with: Mapping[str, Any]) -> bool:
    """Whether the configuration of a run is a baseline's; the report's own system names no method."""
    return "method" in made_with


def scorer_of(made_with: Mapping[str, Any], config: Mapping[str, Any]) -> Scorer:
    """The scorer of a run.

    Args:
        made_with: The configuration of the run.
        config: The configuration of evaluate.py.
    """
    method = made_with.get("method")
    if method == "autoencoder":
        return Scorer("mean_squared_error", {})
    if method == "mobilenetv2":
        settings = dict(config["log_odds"])
        return Scorer(f"log_odds-{settings['formula']}-hop{settings['hop']}", settings)
    settings = dict(config["scorer"])
    return Scorer(settings.pop("name"), settings)
