"""Linear interpolation in time: the baseline that everything must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xr4dvar.labels import Grid
from xr4dvar.methods.base import FitOptions, Parameters, Patches, Solver, Window
from xr4dvar.methods.training_data import TrainingData
from xr4dvar.types import FloatArray, Role

__all__ = ["LinearInterpolation"]


@dataclass(frozen=True)
class LinearInterpolation:
    """Linear in time between the observations of each cell; the rest from the nearest cell.

    Before the first and after the last observation of a cell its value is kept. Cells that
    were never observed take the value of the nearest cell, in cells, at the same time.
    The whole of the data is one patch.

    Examples
    --------
    >>> obs = xr.DataArray([0.0, np.nan, 2.0], dims="time", coords={"time": [0, 1, 2]})
    >>> xv.reconstruct(obs, xv.LinearInterpolation()).values
    array([0., 1., 2.])
    """

    background: ClassVar[None] = None

    def check(self, grid: Grid, names: Sequence[str]) -> None:
        """Accept any grid."""

    def known(self, grid: Grid, names: Sequence[str]) -> Parameters:
        """Nothing is to be fitted."""
        return Parameters()

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give the whole domain."""
        return {role: Window(grid[role].size, grid[role].size) for role in grid.roles}

    def fit(
        self, data: TrainingData, options: FitOptions, background: Solver | None = None
    ) -> Parameters:
        """Nothing is to be fitted."""
        return Parameters()

    def solver_for(self, parameters: Parameters, device: str) -> Solver:
        """Give the function that maps patches."""
        return _solve


def _solve(patches: Patches) -> FloatArray:
    result = np.empty_like(patches.y)
    for n, sample in enumerate(patches.y):
        time = patches.coordinates["time"][n] if "time" in patches.coordinates else np.zeros(1)
        for v, field in enumerate(sample):
            result[n, v] = _nearest_fill(_linear_in_time(field, time))
    return result


def _linear_in_time(field: FloatArray, time: FloatArray) -> FloatArray:
    """Interpolate (T, Y, X) along T, cell by cell; a cell without data stays NaN."""
    columns = field.reshape(len(time), -1)
    filled = columns.copy()
    for cell in np.flatnonzero(np.isfinite(columns).any(0)):
        known = np.isfinite(columns[:, cell])
        filled[:, cell] = np.interp(time, time[known], columns[known, cell])
    return filled.reshape(field.shape)


def _nearest_fill(field: FloatArray) -> FloatArray:
    """Fill cells that have no value at any time from the nearest one that has."""
    from scipy import ndimage

    missing = ~np.isfinite(field[0])
    if not missing.any() or missing.all():
        return field
    _, (rows, columns) = ndimage.distance_transform_edt(missing, return_indices=True)
    return field[:, rows, columns]
