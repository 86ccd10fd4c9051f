"""Scorers that model the training pieces by a distribution or a plane: Mahalanobis, Gaussian mixture, PCA residual."""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from asd.scoring.cross_fitted import CrossFittedScorer, Model
from asd.scoring.scorer import Aggregation

Covariance = Literal["full", "tied", "diag", "spherical"]


class Mahalanobis(CrossFittedScorer):
    """Distance to the mean in units of a shrunken covariance (Ledoit and Wolf, 2004).

    Args:
        per_domain: Whether each domain has a mean of its own, of which the nearer counts. The covariance is that around
            these means, pooled: the few target pieces could not give one of their own.
        n_folds: As of `CrossFittedScorer`.
        aggregation: As of `Scorer`.
    """

    def __init__(self, *, per_domain: bool = False, n_folds: int = 5, aggregation: Aggregation = "mean") -> None:
        super().__init__(n_folds=n_folds, aggregation=aggregation)
        self.per_domain = per_domain

    def fit_model(self, embedding: NDArray[np.float64], is_source: NDArray[np.bool_]) -> Model:
        """Means (domains, dim) and the Cholesky factor of the covariance (dim, dim), lower.

        Raises:
            ValueError: All pieces are equal.
        """
        group = np.where(is_source, 0, 1) if self.per_domain else np.zeros(len(embedding), int)
        present, number = np.unique(group, return_inverse=True)
        mean = np.stack([embedding[group == domain].mean(axis=0) for domain in present])
        covariance, _ = ledoit_wolf(embedding - mean[number], assume_centered=True)
        if not np.trace(covariance) > 0:
            raise ValueError("all training pieces are equal; they have no covariance")
        floor = np.finfo(np.float64).eps * np.trace(covariance)  # of directions in which they never differ
        return {"mean": mean, "factor": np.linalg.cholesky(covariance + floor * np.eye(len(covariance)))}

    def score_model(self, model: Model, embedding: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest distance to a mean: ‖L⁻¹ (x − μ)‖ with the Cholesky factor L."""
        distances = [
            np.linalg.norm(solve_triangular(model["factor"], (embedding - mean).T, lower=True), axis=0)
            for mean in model["mean"]
        ]
        return np.min(distances, axis=0)


class GaussianMixture(CrossFittedScorer):
    """Negative log-likelihood under a mixture of normal distributions, in nats.

    Args:
        n_components: Normal distributions.
        covariance: Their shape, as of scikit-learn; "full" takes minutes for a machine of 128-d pieces.
        regularisation: Added to the variances.
        max_iter: Steps of expectation maximisation; it ends there without harm where it has not converged.
        seed: Of its start.
        n_folds: As of `CrossFittedScorer`.
        aggregation: As of `Scorer`.

    Raises:
        ValueError: A setting out of range.
    """

    def __init__(
        self,
        *,
        n_components: int = 2,
        covariance: Covariance = "diag",
        regularisation: float = 1e-4,
        max_iter: int = 20,
        seed: int = 0,
        n_folds: int = 5,
        aggregation: Aggregation = "mean",
    ) -> None:
        super().__init__(n_folds=n_folds, aggregation=aggregation)
        if n_components < 1 or max_iter < 1 or not regularisation > 0:
            raise ValueError(
                f"scorer.n_components={n_components}, max_iter={max_iter}, regularisation={regularisation}: "
                "all must be positive"
            )
        if covariance not in ("full", "tied", "diag", "spherical"):
            raise ValueError(f"scorer.covariance={covariance}: give full, tied, diag or spherical")
        if seed < 0:
            raise ValueError(f"scorer.seed={seed}: give 0 or more")
        self.n_components = n_components
        self.covariance = covariance
        self.regularisation = regularisation
        self.max_iter = max_iter
        self.seed = seed

    def fit_model(self, embedding: NDArray[np.float64], is_source: NDArray[np.bool_]) -> Model:
        """Weights (components,), means (components, dim) and Cholesky factors of the precisions."""
        if len(embedding) < self.n_components:
            raise ValueError(f"{len(embedding)} pieces for {self.n_components} components; lower scorer.n_components")
        mixture = self.mixture()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter says how far it is to go
            mixture.fit(embedding)
        factors = np.asarray(mixture.precisions_cholesky_)
        return {"weight": mixture.weights_, "mean": mixture.means_, "precision_factor": factors}

    def score_model(self, model: Model, embedding: NDArray[np.float64]) -> NDArray[np.float64]:
        """−ln p(x)."""
        mixture = self.mixture()
        mixture.weights_, mixture.means_ = model["weight"], model["mean"]
        mixture.precisions_cholesky_ = model["precision_factor"]
        return -mixture.score_samples(embedding)

    def mixture(self) -> SklearnMixture:
        """scikit-learn's, not fitted."""
        return SklearnMixture(
            self.n_components,
            covariance_type=self.covariance,
            reg_covar=self.regularisation,
            max_iter=self.max_iter,
            init_params="k-means++",
            random_state=self.seed,
        )


class PcaResidual(CrossFittedScorer):
    """Distance to the plane of the training pieces' principal components.

    Args:
        explained: Share of the variance that the plane explains, between 0 and 1.
        n_folds: As of `CrossFittedScorer`.
        aggregation: As of `Scorer`.

    Raises:
        ValueError: A setting out of range.
    """

    def __init__(self, *, explained: float = 0.95, n_folds: int = 5, aggregation: Aggregation = "mean") -> None:
        super().__init__(n_folds=n_folds, aggregation=aggregation)
        if not 0 < explained < 1:
            raise ValueError(f"scorer.explained={explained}: give a share between 0 and 1")
        self.explained = explained

    def fit_model(self, embedding: NDArray[np.float64], is_source: NDArray[np.bool_]) -> Model:
        """The mean (dim,) and as many components (components, dim) as explain the share, at least one."""
        mean = embedding.mean(axis=0)
        centred = embedding - mean
        variance, components = np.linalg.eigh(centred.T @ centred / len(embedding))
        largest_first = np.maximum(variance[::-1], 0)
        n_kept = 1 + int(np.searchsorted(largest_first.cumsum(), self.explained * largest_first.sum()))
        return {"mean": mean, "components": components.T[::-1][:n_kept]}

    def score_model(self, model: Model, embedding: NDArray[np.float64]) -> NDArray[np.float64]:
        """‖x − μ − its projection‖."""
        centred = embedding - model["mean"]
        return np.linalg.norm(centred - centred @ model["components"].T @ model["components"], axis=1)
