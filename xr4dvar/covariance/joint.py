"""Covariance of several variables that share some of their parts.

``x_v = sum_k a_kv z_k`` with independent fields z_k and loadings a: the covariance between
two variables is ``sum_k a_kv a_kw C_k`` (linear model of coregionalisation of rank one; Wackernagel
2003, doi:10.1007/978-3-662-05294-5). Solvers know fields of one variable in time, y and x: the
variables lie one after the other along time, and a time is the number of its slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xr4dvar.covariance.interfaces import Coordinates, Covariance, Periods, Root

__all__ = ["Joint", "JointRoot", "prior_deviations"]


def prior_deviations(parts: Sequence[Covariance], loadings: Tensor) -> Tensor:
    """Prior standard deviation (V,) of variables that are sums of independent fields."""
    variances = torch.tensor([part.variance for part in parts], dtype=torch.float64)
    return (loadings.double() ** 2 * variances[:, None]).sum(0).sqrt()


@dataclass(frozen=True, eq=False)
class Joint:
    """Covariance of V variables, each in units of its own prior standard deviation.

    Parameters
    ----------
    parts : sequence of covariance models
        C of each of K independent fields, none of them a sum.
    loadings : Tensor (K, V)
        What each field counts in each variable, before these get the variance 1; some field counts
        in each.
    times : Tensor (T,)
        The times of a variable: slot ``v T + t`` is time t of variable v.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Separable
    >>> from xr4dvar.covariance.joint import Joint
    >>> shared, own = Separable((1.0, 1.0, 1.0)), Separable((1.0, 1.0, 1.0))
    >>> both = Joint([shared, own], torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.zeros(1))
    >>> slots = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> both.between(slots, slots).numpy().round(3)  # 1 / sqrt(2)
    array([[1.   , 0.707],
           [0.707, 1.   ]])
    """

    parts: tuple[Covariance, ...]
    loadings: Tensor
    times: Tensor

    def __init__(self, parts: Sequence[Covariance], loadings: Tensor, times: Tensor):
        object.__setattr__(self, "parts", tuple(parts))
        own = loadings.double() / prior_deviations(parts, loadings)
        object.__setattr__(self, "loadings", own)
        object.__setattr__(self, "times", times.double())

    @property
    def terms(self) -> tuple[Covariance, ...]:
        return (self,)

    @property
    def variance(self) -> float:
        return 1.0

    @property
    def family(self) -> str:
        return self.parts[0].family

    @property
    def steps(self) -> tuple[float, float, float]:
        _, y, x = (min(values) for values in zip(*(p.steps for p in self.parts), strict=True))
        return 1.0, y, x

    @property
    def closing(self) -> Periods:
        return (None, *self.parts[0].closing[1:])

    def scaled(self, factor: float) -> Joint:
        if factor != 1.0:
            raise NotImplementedError("variables are in units of their own standard deviations")
        return self

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        (v, at), (w, to) = self._places(first), self._places(second)
        total = first.new_zeros(())
        for part, loading in zip(self.parts, self.loadings, strict=True):
            weight = loading[v][..., :, None] * loading[w][..., None, :]
            total = total + weight * part.between(at, to)
        return total

    def _places(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Variables of points (..., n, 3) whose time is a slot, and the points with their times."""
        slot = points[..., 0].round().long()
        times = self.times.to(points)[slot % len(self.times)]
        return slot // len(self.times), torch.cat([times[..., None], points[..., 1:]], -1)

    def embed(self, points: Tensor) -> Tensor:
        return self.parts[0].embed(self._places(points)[1])

    def root(
        self,
        coordinates: Coordinates,
        *,
        tolerance: float = 1e-6,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Root:
        places = self.times, coordinates[1], coordinates[2]
        roots = [
            part.root(places, tolerance=tolerance, dtype=dtype, device=device)
            for part in self.parts
        ]
        return JointRoot(tuple(roots), self.loadings.to(device=device, dtype=dtype))


@dataclass(frozen=True, eq=False)
class JointRoot:
    """Root of several variables: the controls of independent fields are concatenated.

    Parameters
    ----------
    parts : tuple of roots
        Of each field.
    loadings : Tensor (K, V)
    """

    parts: tuple[Root, ...]
    loadings: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        times, y, x = self.parts[0].shape
        return self.loadings.shape[1] * times, y, x

    @property
    def spectrum(self) -> Tensor:
        squares = (self.loadings**2).sum(1)
        pairs = zip(squares, self.parts, strict=True)
        return torch.cat([square * part.spectrum for square, part in pairs])

    def information(self, precision: Tensor) -> Tensor:
        """Diagonal (..., size) of ``L' W L`` for precisions W (..., slots, y, x) spread evenly.

        One variable may be seen everywhere and another hardly.
        """
        density = precision.unflatten(-3, (self.loadings.shape[1], -1)).mean((-3, -2, -1))
        each = density @ (self.loadings.to(density) ** 2).T
        parts = zip(self.parts, each.unbind(-1), strict=True)
        return torch.cat([part.spectrum * one[..., None] for part, one in parts], -1)

    def apply(self, control: Tensor) -> Tensor:
        controls = control.split([len(part.spectrum) for part in self.parts], -1)
        times, y, x = self.parts[0].shape
        total = control.new_zeros(*control.shape[:-1], self.loadings.shape[1], times, y, x)
        for part, own, loading in zip(self.parts, controls, self.loadings, strict=True):
            field = part.apply(own)
            for v in loading.nonzero()[:, 0]:
                total[..., v, :, :, :] += loading[v] * field
        return total.flatten(-4, -3)

    def adjoint(self, field: Tensor) -> Tensor:
        fields = field.unflatten(-3, (self.loadings.shape[1], -1))
        found = []
        for part, loading in zip(self.parts, self.loadings, strict=True):
            used = loading.nonzero()[:, 0]
            total = torch.einsum("v,...vtyx->...tyx", loading[used], fields[..., used, :, :, :])
            found.append(part.adjoint(total))
        return torch.cat(found, -1)
