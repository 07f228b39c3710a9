"""Optimal interpolation of a set of observations by one Cholesky factorisation, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xr4dvar.covariance.interfaces import Covariance

__all__ = ["Factor", "factorise"]

#: Added to the diagonal relative to the prior variance, so that observations of the same place
#: without error still have a factor.
JITTER = 1e-14

#: Covariances between observations and targets that are made at once: they stay in the cache.
VALUES = 2**19


@dataclass(frozen=True)
class Factor:
    """Cholesky factor of ``H B H' + R``.

    Parameters
    ----------
    covariance : covariance model
    points : Tensor (n, 3), float64
        Time, y and x of the observations.
    lower : Tensor (n, n), float64
    """

    covariance: Covariance
    points: Tensor
    lower: Tensor

    def solve(self, innovation: Tensor) -> Tensor:
        """Give ``(H B H' + R)^-1 d``, shape (n,)."""
        return torch.cholesky_solve(innovation[:, None], self.lower)[:, 0]

    def increment(self, targets: Tensor, weights: Tensor) -> Tensor:
        """Increment (m,) at targets (m, 3), from the weights that `solve` gives."""
        parts = [self.covariance.between(t, self.points) @ weights for t in self._split(targets)]
        return torch.cat(parts)

    def variance(self, targets: Tensor) -> Tensor:
        """Variance (m,) of the analysis error at targets (m, 3), between 0 and the prior's."""
        parts = []
        for some in self._split(targets):
            cross = self.covariance.between(self.points, some)
            gain = torch.linalg.solve_triangular(self.lower, cross, upper=False)
            parts.append(self.covariance.variance - gain.square_().sum(0))
        return torch.cat(parts).clamp(min=0.0)

    def _split(self, targets: Tensor) -> tuple[Tensor, ...]:
        parts: tuple[Tensor, ...] = targets.split(max(64, VALUES // max(1, len(self.points))))
        return parts


def factorise(covariance: Covariance, points: Tensor, error_variance: Tensor) -> Factor:
    """Factorise the covariance of the innovations.

    Parameters
    ----------
    covariance : covariance model
        Prior covariance.
    points : Tensor (n, 3), float64
        Time, y and x of the observations.
    error_variance : Tensor (n,), float64
        Of the observations, in the units of the prior variance.

    Returns
    -------
    Factor

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Separable, factorise
    >>> here = torch.zeros(1, 3, dtype=torch.float64)
    >>> factor = factorise(Separable((1.0, 1.0, 1.0)), here, torch.tensor([0.25]).double())
    >>> weight = factor.solve(torch.ones(1).double())
    >>> round(float(weight), 6), round(float(factor.variance(here)), 6)
    (0.8, 0.2)
    """
    matrix = covariance.between(points, points)
    matrix.diagonal().add_(error_variance + JITTER * covariance.variance)
    return Factor(covariance, points, torch.linalg.cholesky(matrix))
