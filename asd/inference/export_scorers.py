"""What fitted scorers other than cosine neighbours are in the runtime: names of formulas and their arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asd.scoring.band_neighbours import BandNeighbours
from asd.scoring.cosine import CosineNeighbours
from asd.scoring.density import DensityScorer, LocalDensity, LocalOutlierFactor
from asd.scoring.distributions import GaussianMixture, Mahalanobis, PcaResidual
from asd.scoring.domain_neighbours import DomainNeighbours
from asd.scoring.euclidean import EuclideanNeighbours
from asd.scoring.fusion import Fusion
from asd.scoring.neighbours import References, ScorerSettings
from asd.scoring.scorer import NO_REFERENCE, Scorer
from asd_runtime.model_file import BackEndScoring

Arrays = dict[str, NDArray[Any]]


def scoring_of(scorer: Scorer) -> BackEndScoring:
    """The formulas of a scorer, which need not be fitted.

    Raises:
        ValueError: The runtime has no formula for it.
    """
    names = [formula_of(part)[0] for part in parts_of(scorer)]
    how = scorer.how if isinstance(scorer, Fusion) else "mean"
    return BackEndScoring(names, how, scorer.aggregation)


def state_of(scorer: Scorer) -> Arrays:
    """What a fitted scorer learned, as the arrays of its formulas."""
    scale = (scorer.mean, scorer.deviation) if isinstance(scorer, Fusion) else (np.zeros(1), np.ones(1))
    arrays: Arrays = dict(zip(("mean", "deviation"), scale, strict=True))
    for number, part in enumerate(parts_of(scorer)):
        arrays |= {f"{number}.{name}": array for name, array in formula_of(part)[1](part).items()}
    return arrays


def parts_of(scorer: Scorer) -> Sequence[Scorer]:
    """The scorers that are fused, or the one."""
    return scorer.scorers if isinstance(scorer, Fusion) else [scorer]


def formula_of(scorer: Scorer) -> tuple[str, Callable[[Any], Arrays]]:
    """Name of a scorer's formula and what makes its arrays; classes derived from ours may compute something else.

    Raises:
        ValueError: There is none.
    """
    if type(scorer) not in FORMULAS:
        known = ", ".join(sorted(kind.__name__ for kind in FORMULAS))
        raise ValueError(f"scorer {type(scorer).__name__} cannot be exported; {known} can, and Fusion of them")
    return FORMULAS[type(scorer)]


def cosine(scorer: CosineNeighbours) -> Arrays:
    """References of the domains that are searched."""
    return searched(scorer.references, scorer.settings)


def searched(kept: References, settings: ScorerSettings) -> Arrays:
    """References of the domains that are searched, and how."""
    if settings.references in ("source", "target"):
        kept = kept.of(settings.references)
    return {
        "unit": kept.unit.cpu().numpy(),
        "clip": kept.clip.cpu().numpy(),
        "is_source": kept.is_source.cpu().numpy(),
        "k": np.array(settings.n_neighbors),
        "by_domain": np.array(settings.references == "nearest"),
    }


def bands(scorer: BandNeighbours) -> Arrays:
    """As of cosine, but the references of each band: (bands, references, channels)."""
    of_band = [searched(references, scorer.settings) for references in scorer.references]
    return {**of_band[0], "unit": np.stack([arrays["unit"] for arrays in of_band])}


def domains(scorer: DomainNeighbours) -> Arrays:
    """References of both domains, made ones under their first parent; a domain of fewer than K is left out."""
    k = scorer.n_neighbors
    sides = ((scorer.source, True), (scorer.target, False))
    used = [(side, is_source) for side, is_source in sides if len(side.unit) >= k]
    return {
        "unit": torch.cat([side.unit for side, _ in used]).numpy(),
        "clip": torch.cat([side.parents[:, 0] for side, _ in used]).numpy(),
        "is_source": np.concatenate([np.full(len(side.unit), is_source) for side, is_source in used]),
        "k": np.array(k),
        "by_domain": np.array(len(used) == len(sides)),
    }


def euclidean(scorer: EuclideanNeighbours) -> Arrays:
    """References, centred, which keeps the squares of distances small beside rounding."""
    centre = scorer.reference.mean(axis=0)
    return {
        "reference": scorer.reference - centre,
        "centre": centre,
        "clip": scorer.clip,
        "k": np.array(scorer.n_neighbors),
    }


def centred(scorer: DensityScorer) -> Arrays:
    """References as they are compared."""
    return {
        "reference": scorer.reference.double().numpy(),
        "centre": scorer.centre.double().numpy(),
        "clip": scorer.clip.numpy(),
        "k": np.array(scorer.n_neighbors),
    }


def local_density(scorer: LocalDensity) -> Arrays:
    """References and the spacing around each."""
    spacing = scorer.of_reference.distance[:, : scorer.n_density].double().mean(dim=1)
    return {**centred(scorer), "spacing": spacing.numpy()}


def local_outlier_factor(scorer: LocalOutlierFactor) -> Arrays:
    """References, the distance of each to its k-th neighbour, and the density around it."""
    every = torch.arange(len(scorer.reference))
    density = scorer.reach_density(scorer.density_neighbours(every, NO_REFERENCE), NO_REFERENCE)
    k_distance = scorer.k_distance(every, NO_REFERENCE)
    return {**centred(scorer), "k_distance": k_distance.double().numpy(), "density": density.numpy()}


def mahalanobis(scorer: Mahalanobis) -> Arrays:
    """Means, and the inverse of the covariance's Cholesky factor."""
    model = scorer.models[0]
    return {"mean": model["mean"], "whitening": np.linalg.inv(model["factor"])}


def mixture(scorer: GaussianMixture) -> Arrays:
    """Means, factors of the precisions, (components, dim) or (components, dim, dim), and all that is constant."""
    model = scorer.models[0]
    mean, factor = model["mean"], model["precision_factor"]
    n_components, dim = mean.shape
    if scorer.covariance == "tied":
        factor = np.broadcast_to(factor, (n_components, dim, dim))
    if scorer.covariance == "spherical":
        factor = np.broadcast_to(factor[:, None], (n_components, dim))
    diagonal = factor if factor.ndim == 2 else np.diagonal(factor, axis1=1, axis2=2)
    constant = np.log(model["weight"]) + np.log(diagonal).sum(axis=1) - dim / 2 * np.log(2 * np.pi)
    return {"mean": mean, "factor": np.ascontiguousarray(factor), "constant": constant}


def principal_plane(scorer: PcaResidual) -> Arrays:
    """Mean and components."""
    return {name: scorer.models[0][name] for name in ("mean", "components")}


FORMULAS: dict[type[Scorer], tuple[str, Callable[[Any], Arrays]]] = {
    BandNeighbours: ("bands", bands),
    CosineNeighbours: ("cosine", cosine),
    DomainNeighbours: ("cosine", domains),
    EuclideanNeighbours: ("euclidean", euclidean),
    LocalDensity: ("local-density", local_density),
    LocalOutlierFactor: ("local-outlier-factor", local_outlier_factor),
    Mahalanobis: ("mahalanobis", mahalanobis),
    GaussianMixture: ("mixture", mixture),
    PcaResidual: ("principal-plane", principal_plane),
}
