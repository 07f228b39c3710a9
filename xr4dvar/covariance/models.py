"""Covariance models: what the prior covariance between any two points is.

A model is a value (family, lengths, variance). It gives the covariance between points, which is
what the local solver needs, and its root on a grid, which is what the gridded solver needs, so
that both solve the same problem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xr4dvar.covariance.families import FAMILIES, distance, find_family
from xr4dvar.covariance.interfaces import Coordinates, Covariance, Periods, Root
from xr4dvar.covariance.roots import SumRoot, product_root
from xr4dvar.covariance.spherical import EARTH_RADIUS, spherical_root
from xr4dvar.errors import Problems
from xr4dvar.types import ROLES

#: No axis closes.
OPEN: Periods = (None, None, None)


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
    periods : tuple of float or None
        Periods of time, y and x, in the units of the coordinates; None for an axis that does not
        close. Distances along a periodic axis are chords of the circle,
        ``period / pi * sin(pi * dx / period)``: unlike the wrapped distance the chord keeps every
        family positive definite, and it differs from it by less than ``(dx / period)**2 * 1.7``.

    Raises
    ------
    InputError
        If a length, the variance or a period is not positive, or the family is not known.

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
    periods: Periods = OPEN

    def __post_init__(self) -> None:
        positive = {"variance": self.variance}
        for axis, length, period in zip(ROLES, self.lengths, self.periods, strict=True):
            positive[f"length along {axis}"] = length
            positive[f"period of {axis}"] = 1.0 if period is None else period
        _check(self.family, positive)

    @property
    def terms(self) -> tuple[Covariance, ...]:
        return (self,)

    @property
    def steps(self) -> tuple[float, float, float]:
        return self.lengths

    @property
    def closing(self) -> Periods:
        return self.periods

    def scaled(self, factor: float) -> Separable:
        return replace(self, variance=factor * self.variance)

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        correlation = find_family(self.family)
        # one axis at a time: (n, m) arrays stay in the cache, (n, m, 3) ones do not
        time, y, x = (
            distance(a[..., :, None] - b[..., None, :], period)
            for a, b, period in zip(first.unbind(-1), second.unbind(-1), self.periods, strict=True)
        )
        if self.family == "gaussian":  # one exponential instead of three
            lt, ly, lx = self.lengths
            squares = time.div_(lt).square_().add_(y.div_(ly).square_()).add_(x.div_(lx).square_())
            return squares.neg_().exp_().mul_(self.variance)
        terms = (correlation(lag / n) for lag, n in zip((time, y, x), self.lengths, strict=True))
        return math.prod(terms, start=torch.as_tensor(self.variance, dtype=x.dtype))

    def along_axes(self, coordinates: Coordinates) -> list[Tensor]:
        """Correlation matrices (n, n), float64, of time, y and x."""
        correlation = find_family(self.family)
        matrices = []
        for values, length, period in zip(coordinates, self.lengths, self.periods, strict=True):
            values = torch.as_tensor(values, dtype=torch.float64)
            lags = distance(values[:, None] - values[None, :], period)
            matrices.append(correlation(lags / length))
        return matrices

    def embed(self, points: Tensor) -> Tensor:
        places: list[Tensor] = []
        for values, length, period in zip(
            points.unbind(-1), self.lengths, self.periods, strict=True
        ):
            places += _on_circle(values, length, period)
        return torch.stack(places, -1)

    def root(
        self,
        coordinates: Coordinates,
        *,
        tolerance: float = 1e-6,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Root:
        time, y, x = self.along_axes(coordinates)
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
    period : float, optional
        Period of time, as for `Separable`.

    Raises
    ------
    InputError
        If a length, the variance or the period is not positive, or the family is not known.

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
    period: float | None = None

    def __post_init__(self) -> None:
        time, kilometres = self.lengths
        positive = {"length along time": time, "length in km": kilometres}
        positive |= {"variance": self.variance, "period of time": self.period or 1.0}
        _check(self.family, positive)

    @property
    def terms(self) -> tuple[Covariance, ...]:
        return (self,)

    @property
    def steps(self) -> tuple[float, float, float]:
        degrees = math.degrees(self.lengths[1] / EARTH_RADIUS)
        return self.lengths[0], degrees, degrees

    @property
    def closing(self) -> Periods:
        return self.period, None, 360.0

    def scaled(self, factor: float) -> Spherical:
        return replace(self, variance=factor * self.variance)

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        correlation = find_family(self.family)
        time = distance(first[..., :, None, 0] - second[..., None, :, 0], self.period)
        lags = [
            a[..., :, None] - b[..., None, :]
            for a, b in zip(
                self._on_sphere(first).unbind(-1), self._on_sphere(second).unbind(-1), strict=True
            )
        ]
        chords = sum((lag.square_() for lag in lags[1:]), lags[0].square_()).sqrt_()
        along = correlation(time.div_(self.lengths[0]))
        return along.mul_(correlation(chords)).mul_(self.variance)

    def embed(self, points: Tensor) -> Tensor:
        time = torch.stack(_on_circle(points[..., 0], self.lengths[0], self.period), -1)
        return torch.cat((time, self._on_sphere(points)), -1)

    def _on_sphere(self, points: Tensor) -> Tensor:
        """Positions in space (..., 3), in correlation lengths."""
        latitude, longitude = points[..., 1].deg2rad(), points[..., 2].deg2rad()
        scale = EARTH_RADIUS / self.lengths[1]
        across = scale * latitude.cos()
        parts = (across * longitude.cos(), across * longitude.sin(), scale * latitude.sin())
        return torch.stack(parts, -1)

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
            period=self.period,
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

    @property
    def family(self) -> str:
        return self.terms[0].family

    @property
    def steps(self) -> tuple[float, float, float]:
        time, y, x = (min(values) for values in zip(*(t.steps for t in self.terms), strict=True))
        return time, y, x

    @property
    def closing(self) -> Periods:
        return self.terms[0].closing

    def scaled(self, factor: float) -> Sum:
        return Sum([term.scaled(factor) for term in self.terms])

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


def _on_circle(values: Tensor, length: float, period: float | None) -> list[Tensor]:
    """Coordinates in correlation lengths: one along a line, two on a circle."""
    if period is None:
        return [values / length]
    radius = period / (2.0 * math.pi * length)
    angle = 2.0 * math.pi * values / period
    return [radius * angle.cos(), radius * angle.sin()]


def _check(family: str, positive: dict[str, float]) -> None:
    problems = Problems()
    for name, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            problems.add(f"covariance {name} is {value}", "give a positive number")
    if family not in FAMILIES:
        problems.add(f"unknown covariance family {family!r}", f"use one of {', '.join(FAMILIES)}")
    problems.raise_if_any()
