"""A prior covariance on one grid: its roots, made once, and its product with a field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xr4dvar.covariance.interfaces import Coordinates, Covariance, Root
from xr4dvar.errors import InputError

__all__ = ["TRUNCATION", "Prior"]

#: The variance that a truncated root lacks, as a share of the smallest observation error variance,
#: and over the prior variance at most, by default; of other shares the most is as much larger.
TRUNCATION, LARGEST_TRUNCATION = 1e-3, 1e-6

#: The truncation of a root that stands for the covariance itself.
UNTRUNCATED = 1e-15

#: Values of a matrix of covariances that are made at once.
VALUES = 2**22


@dataclass(frozen=True, eq=False)
class Prior:
    """A prior covariance on a grid, in units of the prior variance.

    Parameters
    ----------
    covariance : covariance model
        In the squared units of the data.
    coordinates : tuple of Tensor
        Time, y and x of the grid, ascending.
    device : torch.device or str
        Where roots and fields are.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Prior, Separable
    >>> axis = torch.arange(3.0)
    >>> Prior(Separable((1.0, 1.0, 1.0), variance=4.0), (axis, axis, axis)).deviation
    2.0
    """

    covariance: Covariance
    coordinates: Coordinates
    device: torch.device | str = "cpu"
    _roots: dict[tuple[float, torch.dtype], Root] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along time, y and x."""
        time, y, x = (len(axis) for axis in self.coordinates)
        return time, y, x

    @property
    def deviation(self) -> float:
        """Prior standard deviation, in the units of the data."""
        return math.sqrt(self.covariance.variance)

    @property
    def correlation(self) -> Covariance:
        """The covariance over the prior variance."""
        return self.covariance.scaled(1.0 / self.covariance.variance)

    def root(
        self, error_variance: float, dtype: torch.dtype, truncation: float = TRUNCATION
    ) -> Root:
        """Root of the correlation that is fit for observations of this error variance.

        Parameters
        ----------
        error_variance : float
            The smallest, over the prior variance.
        dtype : torch.dtype
        truncation : float
            Variance that the root may lack, as a share of it.
        """
        wanted = truncation * min(LARGEST_TRUNCATION / TRUNCATION, error_variance)
        tolerance = max(UNTRUNCATED, 10.0 ** math.floor(math.log10(wanted)))
        key = tolerance, dtype
        if key not in self._roots:
            self._roots[key] = self.correlation.root(
                self.coordinates, tolerance=tolerance, dtype=dtype, device=self.device
            )
        return self._roots[key]

    def points(self, cells: Tensor) -> Tensor:
        """Positions (n, 3), float64, of cells given as indices (n, 3)."""
        axes = [torch.as_tensor(axis, dtype=torch.float64) for axis in self.coordinates]
        return torch.stack([a[i] for a, i in zip(axes, cells.cpu().unbind(1), strict=True)], 1)

    def spread(self, cells: Tensor, weights: Tensor) -> Tensor:
        """Correlation of the whole grid with some cells, times weights there.

        Parameters
        ----------
        cells : Tensor (n, 3), int
        weights : Tensor (n,), float64

        Returns
        -------
        Tensor (time, y, x), float64
        """
        shape = [len(axis) for axis in self.coordinates]
        try:
            root = self.root(UNTRUNCATED, torch.float64)
        except InputError:  # no embedding of this sphere is positive to the last digit
            return self._spread_by_points(cells, weights).reshape(shape)
        field = torch.zeros(shape, dtype=torch.float64, device=self.device)
        field[tuple(cells.unbind(1))] = weights
        return root.apply(root.adjoint(field))

    def _spread_by_points(self, cells: Tensor, weights: Tensor) -> Tensor:
        axes = [torch.as_tensor(axis, dtype=torch.float64) for axis in self.coordinates]
        everywhere = torch.cartesian_prod(*axes)
        sources, correlation = self.points(cells), self.correlation
        parts = [
            correlation.between(some, sources) @ weights.cpu()
            for some in everywhere.split(max(1, VALUES // len(sources)))
        ]
        return torch.cat(parts).to(self.device)
