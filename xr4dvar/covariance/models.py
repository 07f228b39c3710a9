"""Covariance models: what the prior covariance between any two points is.

A model is a value (family, lengths, variance). It gives the covariance between points, which is
what the local solver needs, and its root on a grid, which is what the gridded solver needs, so
that both solve the same problem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xr4dvar.covariance.families import FAMILIES, find_family
from xr4dvar.covariance.interfaces import Coordinates, Covariance, Root
from xr4dvar.covariance.roots import SumRoot, product_root
from xr4dvar.covariance.spherical import EARTH_RADIUS, spherical_root
from xr4dvar.errors import Problems


@dataclass(frozen=True)
class Separable:
    """Product of three one-dimensional correlations: time, y and x.

    ``variance * f(|dt| / lt) * f(|dy| / ly) * f(|dx| / lx)``. For the Gaussian family this is the
    covariance of the SSH mapping challenge baseline.

    Parameters
    ----------
    lengths : tuple of float
        Correlation lengths along time, y and x, in the units of the coordinates.
    family : str
        Key of `FAMILIES`.
    variance : float
        Prior variance, in the squared units of the data (or 1: then errors are ratios).
    period : float, optional
        Period of x, in the units of x. Distances along x are then chords of the circle,
        ``period / pi * sin(pi * dx / period)``: unlike the wrapped distance the chord keeps every
        family positive definite, and it differs from it by less than ``(dx / period)**2 * 1.7``.

    Raises
    ------
    InputError
        If a length, the variance or the period is not positive, or the family is not known.

    Examples
    --------
    >>> import torch
    >>> model = Separable((7.0, 1.0, 1.0))
    >>> points = torch.tensor([[0.0, 35.0, 300.0], [7.0, 35.0, 300.0]])
    >>> model.between(points, points).numpy().round(3)
    array([[1.   , 0.368],
           [0.368, 1.   ]], dtype=float32)
    """

    lengths: tuple[float, float, float]
    family: str = "gaussian"
    variance: float = 1.0
    period: float | None = None

    def __post_init__(self) -> None:
        positive = {
            **{
                f"length along {n}": v
                for n, v in zip(("time", "y", "x"), self.lengths, strict=True)
            },
            "variance": self.variance,
            "period": 1.0 if self.period is None else self.period,
        }
        _check(self.family, positive)

    @property
    def terms(self) -> tuple[Covariance, ...]:
        return (self,)

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        correlation = find_family(self.family)
        # one axis at a time: (n, m) arrays stay in the cache, (n, m, 3) ones do not
        time, y, x = (
            (a[..., :, None] - b[..., None, :]).abs_()
            for a, b in zip(first.unbind(-1), second.unbind(-1), strict=True)
        )
        if self.period is not None:
            x = chord(x, self.period)
        if self.family == "gaussian":  # one exponential instead of three
            lt, ly, lx = self.lengths
            squares = time.div_(lt).square_().add_(y.div_(ly).square_()).add_(x.div_(lx).square_())
            return squares.neg_().exp_().mul_(self.variance)
        terms = (correlation(lag / n) for lag, n in zip((time, y, x), self.lengths, strict=True))
        return math.prod(terms, start=torch.as_tensor(self.variance, dtype=x.dtype))

    def embed(self, points: Tensor) -> Tensor:
        time, y, x = (p / n for p, n in zip(points.unbind(-1), self.lengths, strict=True))
        if self.period is None:
            return torch.stack((time, y, x), -1)
        radius = self.period / (2.0 * math.pi * self.lengths[2])
        angle = x / radius
        return torch.stack((time, y, radius * angle.cos(), radius * angle.sin()), -1)

    def root(
        self,
        coordinates: Coordinates,
        *,
        tolerance: float = 1e-6,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Root:
        correlation = find_family(self.family)
        correlations = []
        for axis, (values, length) in enumerate(zip(coordinates, self.lengths, strict=True)):
            values = torch.as_tensor(values, dtype=torch.float64)
            lags = (values[:, None] - values[None, :]).abs()
            if axis == 2 and self.period is not None:
                lags = chord(lags, self.period)
            correlations.append(correlation(lags / length))
        time, y, x = correlations
        return product_root(
            time, y, x, variance=self.variance, tolerance=tolerance, dtype=dtype, device=device
        )


@dataclass(frozen=True)
class Spherical:
    """Correlation in time times correlation on the sphere, by chordal distance in km.

    ``variance * f(|dt| / lt) * f(chord / l)``; points are (time, latitude, longitude in degrees).

    Parameters
    ----------
    lengths : tuple of float
        Correlation lengths: in time (units of time) and on the sphere (km).
    family : str
        Key of `FAMILIES`. All are positive definite on the sphere, because the chord is a distance
        in three dimensions.
    variance : float
        Prior variance.

    Raises
    ------
    InputError
        If a length or the variance is not positive, or the family is not known.

    Examples
    --------
    >>> import torch
    >>> seam = torch.tensor([[0.0, 0.0, 359.875], [0.0, 0.0, 0.125]])
    >>> round(float(Spherical((7.0, 100.0)).between(seam[:1], seam[1:])), 3)
    0.926
    """

    lengths: tuple[float, float]
    family: str = "gaussian"
    variance: float = 1.0

    def __post_init__(self) -> None:
        time, distance = self.lengths
        _check(
            self.family,
            {"length along time": time, "length in km": distance, "variance": self.variance},
        )

    @property
    def terms(self) -> tuple[Covariance, ...]:
        return (self,)

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        correlation = find_family(self.family)
        time, *lags = (
            a[..., :, None] - b[..., None, :]
            for a, b in zip(
                self.embed(first).unbind(-1), self.embed(second).unbind(-1), strict=True
            )
        )
        distance = sum((lag.square_() for lag in lags[1:]), lags[0].square_()).sqrt_()
        return correlation(time.abs_()).mul_(correlation(distance)).mul_(self.variance)

    def embed(self, points: Tensor) -> Tensor:
        time, latitude, longitude = points.unbind(-1)
        latitude, longitude = latitude.deg2rad(), longitude.deg2rad()
        scale = EARTH_RADIUS / self.lengths[1]
        across = scale * latitude.cos()
        return torch.stack(
            (
                time / self.lengths[0],
                across * longitude.cos(),
                across * longitude.sin(),
                scale * latitude.sin(),
            ),
            -1,
        )

    def root(
        self,
        coordinates: Coordinates,
        *,
        tolerance: float = 1e-6,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Root:
        return spherical_root(
            *coordinates,
            lengths=self.lengths,
            correlation=find_family(self.family),
            variance=self.variance,
            tolerance=tolerance,
            dtype=dtype,
            device=device,
        )


@dataclass(frozen=True)
class Sum:
    """Sum of covariance models: several scales at once.

    Parameters
    ----------
    terms : sequence of covariance models
        Their variances are the weights.

    Examples
    --------
    >>> Sum((Separable((8.8, 1.4, 1.4)), Separable((3.9, 0.7, 0.7), variance=0.3))).variance
    1.3
    """

    terms: tuple[Covariance, ...]

    def __init__(self, terms: Sequence[Covariance]):
        object.__setattr__(self, "terms", tuple(terms))

    @property
    def variance(self) -> float:
        return sum(term.variance for term in self.terms)

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        total = self.terms[0].between(first, second)
        for term in self.terms[1:]:
            total = total + term.between(first, second)
        return total

    def embed(self, points: Tensor) -> Tensor:
        # neighbours are those of the leading scale
        return max(self.terms, key=lambda term: term.variance).embed(points)

    def root(
        self,
        coordinates: Coordinates,
        *,
        tolerance: float = 1e-6,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Root:
        return SumRoot(
            tuple(
                term.root(coordinates, tolerance=tolerance, dtype=dtype, device=device)
                for term in self.terms
            )
        )


def chord(lag: Tensor, period: float) -> Tensor:
    """Length of the chord of a circle of the given circumference, for an arc `lag`."""
    return (period / math.pi) * torch.sin(math.pi * lag / period).abs()


def _check(family: str, positive: dict[str, float]) -> None:
    problems = Problems()
    for name, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            problems.add(f"covariance {name} is {value}", "give a positive number")
    if family not in FAMILIES:
        problems.add(f"unknown covariance family {family!r}", f"use one of {', '.join(FAMILIES)}")
    problems.raise_if_any()
