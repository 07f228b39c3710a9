"""What the solvers ask of a covariance: between points, and as a root on a grid."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import torch
from torch import Tensor

#: Coordinates of a grid: time, y, x.
Coordinates: TypeAlias = tuple[Tensor, Tensor, Tensor]

#: Periods of time, y and x; None for an axis that does not close.
Periods: TypeAlias = tuple[float | None, float | None, float | None]


class Root(Protocol):
    """What a solver asks of a covariance root. Leading dimensions are batch.

    Attributes
    ----------
    shape : tuple of int
        Shape (time, y, x) of the field.
    spectrum : Tensor (size,)
        Diagonal of ``L^T L``: the prior variance that each control carries, for preconditioning.
    """

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def spectrum(self) -> Tensor: ...

    def apply(self, control: Tensor) -> Tensor:
        """L: control (..., size) to field (..., time, y, x)."""

    def adjoint(self, field: Tensor) -> Tensor:
        """L transposed: field (..., time, y, x) to control (..., size)."""


class Observes(Protocol):
    """An observation operator of fields (n, 1, time, y, x)."""

    def __call__(self, x: Tensor) -> Tensor:
        """The K observed fields (n, K, time, y, x)."""

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed operator."""

    def take(self, index: Tensor) -> Observes:
        """The operator of some of the samples, by their numbers."""


class Covariance(Protocol):
    """What the solvers ask of a covariance model; points are (time, y, x)."""

    @property
    def variance(self) -> float:
        """Prior variance, the same everywhere."""

    @property
    def family(self) -> str:
        """Name of the correlation function, of a sum that of its first term."""

    @property
    def steps(self) -> tuple[float, float, float]:
        """Correlation lengths along time, y and x in the units of the points, at the equator."""

    @property
    def closing(self) -> Periods:
        """Periods of time, y and x."""

    def scaled(self, factor: float) -> Covariance:
        """The same correlations with a multiple of the variance."""

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """Covariance (..., n, m) between points (..., n, 3) and points (..., m, 3)."""

    def embed(self, points: Tensor) -> Tensor:
        """Scaled positions (..., d): where these are near, the covariance is large."""

    def root(
        self,
        coordinates: Coordinates,
        *,
        tolerance: float = 1e-6,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Root:
        """Root of the covariance on the grid spanned by the coordinates."""

    @property
    def terms(self) -> tuple[Covariance, ...]:
        """The models that add up to this one: itself, unless it is a sum."""
