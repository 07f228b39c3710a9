"""Covariance parameters that make gappy data most likely.

The likelihood of a few hundred observations is exact and has a gradient, and needs neither a truth
nor observations held out. Samples of close observations from many places tell the small scales and
the noise, and, as wide as some correlation lengths, the large ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

from xr4dvar.covariance.families import Family, distance, find_family, gaussian
from xr4dvar.covariance.interfaces import Coordinates, Periods
from xr4dvar.covariance.models import Separable

__all__ = ["Sample", "draw_samples", "most_likely"]

#: Points (n, 3) along time, y and x, and the innovations (n,) there.
Sample: TypeAlias = tuple[Tensor, Tensor]

#: The most observations of a sample, and its extent in correlation lengths.
SAMPLE_SIZE, SAMPLE_LENGTHS = 250, 3.0

#: Parameters stay within this factor of the start.
REACH = 30.0


def draw_samples(
    innovation: Tensor,
    coordinates: Coordinates,
    lengths: tuple[float, float, float],
    number: int,
    generator: np.random.Generator,
) -> list[Sample]:
    """Draw observations from boxes of 3 correlation lengths around observations at random.

    Parameters
    ----------
    innovation : Tensor (time, y, x)
        Observation minus background, NaN where there is none.
    coordinates : tuple of Tensor
        Time, y and x.
    lengths : tuple of float
        First guess of the lengths along them.
    number : int
        Samples.
    generator : numpy.random.Generator
        Chooses.

    Returns
    -------
    list of (Tensor (n, 3), Tensor (n,))
        Points and innovations, float64; none where nothing is observed.
    """
    values = innovation.numpy()
    axes = [np.asarray(axis, dtype=np.float64) for axis in coordinates]
    observed = np.flatnonzero(np.isfinite(values))
    samples: list[Sample] = []
    for _ in range(number if observed.size else 0):
        centre = np.unravel_index(observed[generator.integers(observed.size)], values.shape)
        box = tuple(
            slice(
                *np.searchsorted(axis, axis[i] + 0.5 * SAMPLE_LENGTHS * length * np.array((-1, 1)))
            )
            if axis.size > 1
            else slice(0, 1)
            for axis, i, length in zip(axes, centre, lengths, strict=True)
        )
        inside = np.argwhere(np.isfinite(values[box]))
        if len(inside) > SAMPLE_SIZE:
            inside = inside[generator.permutation(len(inside))[:SAMPLE_SIZE]]
        index = tuple((inside + [part.start for part in box]).T)
        points = np.stack([axis[i] for axis, i in zip(axes, index, strict=True)], -1)
        samples.append((torch.from_numpy(points), torch.from_numpy(values[index]).double()))
    return samples


def most_likely(
    samples: Sequence[Sample],
    start: Sequence[Separable],
    error_variance: float,
    shortest: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> tuple[list[Separable], float]:
    """Maximise the likelihood of samples over all lengths, variances and the error variance.

    L-BFGS in the logarithms of the parameters, with exact gradients.

    Parameters
    ----------
    samples : sequence of (Tensor (n, 3), Tensor (n,))
        From `draw_samples`. Samples are taken to be independent of each other.
    start : sequence of Separable
        Covariances that add up, of one family and with the same periods. A length along which no
        two points differ stays as it is; no other comes out longer than the widest sample, beyond
        which it would only stand for a mean of its own in each.
    error_variance : float
        Start of the error variance.
    shortest : tuple of float
        Lower bounds of the lengths.

    Returns
    -------
    terms : list of Separable
        From long to short.
    error_variance : float

    References
    ----------
    Mardia and Marshall 1984, https://doi.org/10.1093/biomet/71.1.135

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Separable, most_likely
    >>> model = Separable((1.0, 1.0, 5.0))
    >>> line = torch.stack((torch.zeros(200), torch.zeros(200), torch.arange(200.0)), -1).double()
    >>> system = model.between(line, line) + 0.1 * torch.eye(200)
    >>> noise = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> values = torch.linalg.cholesky(system) @ noise
    >>> [found], error = most_likely([(line, values)], [Separable((1.0, 1.0, 2.0))], 0.5)
    >>> 3.5 < found.lengths[2] < 6.5
    True
    """
    family, periods = find_family(start[0].family), start[0].periods
    prepared = [_Prepared.of(points, values, periods) for points, values in samples]
    first = [[*term.lengths, term.variance] for term in start]
    begin = np.log(np.array([value for term in first for value in term] + [error_variance]))

    def cost(logarithms: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        parts = [sample.cost(torch.from_numpy(logarithms), family) for sample in prepared]
        return sum(part[0] for part in parts), np.sum([part[1].numpy() for part in parts], axis=0)

    reach = math.log(REACH)
    low, high = begin - reach, begin + reach
    widest = np.max([np.ptp(points.numpy(), axis=0) for points, _ in samples], axis=0)
    for n in range(len(start)):  # what no data can tell is not made up
        own = slice(4 * n, 4 * n + 3)
        low[own] = np.maximum(low[own], np.log(np.maximum(shortest, 1e-300)))
        high[own] = np.minimum(high[own], np.log(np.where(widest > 0, widest, np.inf)))
    high = np.maximum(high, low)
    begin = np.clip(begin, low, high)
    found = minimize(
        cost,
        begin,
        jac=True,
        method="L-BFGS-B",
        bounds=np.stack((low, high), -1),
        options={"maxiter": 60, "ftol": 1e-6},
    )
    best = np.exp(found.x)
    terms = [
        replace(term, lengths=(float(t), float(y), float(x)), variance=float(v))
        for term, (t, y, x, v) in zip(start, best[:-1].reshape(-1, 4), strict=True)
    ]
    return sorted(terms, key=lambda term: -math.prod(term.lengths)), float(best[-1])


@dataclass(frozen=True)
class _Prepared:
    """A sample with what does not change from evaluation to evaluation."""

    pairs: Tensor  # (2, m): first and second of each pair of observations, and of each with itself
    lags: Tensor  # (3, m)
    squares: Tensor  # (3, m)
    values: Tensor  # (n,)

    @classmethod
    def of(cls, points: Tensor, values: Tensor, periods: Periods) -> _Prepared:
        pairs = torch.tril_indices(len(points), len(points))
        apart = (points[pairs[0]] - points[pairs[1]]).T
        lags = torch.stack([distance(a, period) for a, period in zip(apart, periods, strict=True)])
        return cls(pairs, lags, lags**2, values)

    def cost(self, logarithms: Tensor, family: Family) -> tuple[float, Tensor]:
        """Negative log-likelihood, without its constant, and its gradient."""
        logarithms = logarithms.clone().requires_grad_()
        parameters = logarithms.exp()
        same = (self.pairs[0] == self.pairs[1]).to(torch.float64)
        pairs = parameters[-1] * same
        for term in parameters[:-1].reshape(-1, 4):
            pairs = pairs + term[3] * self._correlation(term[:3], family)
        with torch.no_grad():
            total, slope = self._density(pairs)
        (gradient,) = torch.autograd.grad(pairs, logarithms, slope * (1.0 - 0.5 * same))
        return total, gradient

    def _density(self, pairs: Tensor) -> tuple[float, Tensor]:
        """Negative logarithm of the density for the covariances of pairs; its slopes, both ways."""
        matrix = torch.zeros(len(self.values), len(self.values), dtype=torch.float64)
        first, second = self.pairs
        matrix[first, second] = pairs
        factor = torch.linalg.cholesky(matrix)
        inverse = torch.cholesky_inverse(factor)
        weights = inverse @ self.values
        total = 0.5 * self.values @ weights + factor.diagonal().log().sum()
        slope = inverse[first, second] - weights[first] * weights[second]
        return float(total), slope

    def _correlation(self, lengths: Tensor, family: Family) -> Tensor:
        if family is gaussian:  # one exponential in place of three
            return (-(lengths**-2 @ self.squares)).exp()
        return family(self.lags / lengths[:, None]).prod(0)
