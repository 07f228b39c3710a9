"""Linear interpolation in time: the baseline that everything must beat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xr4dvar.contract.engine import Engine
from xr4dvar.contract.method import FitOptions, Parameters, Window
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.labels import Grid
from xr4dvar.registry import register
from xr4dvar.types import FloatArray, Role

__all__ = ["LinearInterpolation"]


@register
@dataclass(frozen=True)
class LinearInterpolation:
    """Linear in time between the observations of each cell; the rest from the nearest cell.

    Before the first and after the last observation of a cell its value is kept. Cells that
    were never observed take the value of the nearest cell, in cells, at the same time.
    The whole of the data is one patch. Along an axis that closes on itself (``periodic=``) the
    first cell is the neighbour of the last: there is no end at which a value could be kept.

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
        """Nothing is to be fitted; periods are those of the grid."""
        periods = {role: grid[role].period for role in grid.roles}
        closed = {role: period for role, period in periods.items() if period is not None}
        return Parameters({"periods": closed} if closed else {})

    def closed_axes(self, grid: Grid, parameters: Parameters | None) -> Collection[Role]:
        """All; if fitted, those that closed then."""
        if parameters is None:
            return grid.roles
        fitted: Collection[Role] = parameters.settings.get("periods", {})
        return fitted

    def windows(self, grid: Grid, parameters: Parameters) -> dict[Role, Window]:
        """Give the whole domain."""
        return {role: Window(grid[role].size, grid[role].size) for role in grid.roles}

    def fit(
        self, data: TrainingData, options: FitOptions, background: Engine | None = None
    ) -> Parameters:
        """Nothing is to be fitted."""
        return self.known(data.grid, data.names)

    @property
    def engine_type(self) -> type[LinearEngine]:
        """What solves with the periods."""
        return LinearEngine


class LinearEngine:
    """Interpolation with the periods of the axes that close."""

    def __init__(self, method: LinearInterpolation, parameters: Parameters, device: str):
        self.periods: Mapping[Role, float] = parameters.settings.get("periods", {})

    def maps(self, patches: Patches) -> FloatArray:
        """Map patches."""
        result = np.empty_like(patches.y)
        for n, sample in enumerate(patches.y):
            axes = {role: values[n] for role, values in patches.coordinates.items()}
            # of a circle that a patch holds in part, the rest lies between its ends
            known = {role: period for role, period in self.periods.items() if role in axes}
            closed = {role for role, period in known.items() if _is_whole(axes[role], period)}
            time = axes.get("time", np.zeros(1))
            period = known["time"] if "time" in closed else None
            for v, field in enumerate(sample):
                filled = _linear_in_time(field, time, period)
                result[n, v] = _nearest_fill(filled, ("y" in closed, "x" in closed))
        return result


def _is_whole(positions: FloatArray, period: float) -> bool:
    """Whether even positions go once round."""
    length, steps = positions[-1] - positions[0], len(positions) - 1
    return bool(abs(length * (steps + 1) - period * steps) < 0.5 * length)  # half a spacing


def _linear_in_time(field: FloatArray, time: FloatArray, period: float | None) -> FloatArray:
    """Interpolate (T, Y, X) along T, cell by cell; a cell without data stays NaN."""
    columns = field.reshape(len(time), -1)
    filled = columns.copy()
    for cell in np.flatnonzero(np.isfinite(columns).any(0)):
        known = np.isfinite(columns[:, cell])
        filled[:, cell] = np.interp(time, time[known], columns[known, cell], period=period)
    return filled.reshape(field.shape)


def _nearest_fill(field: FloatArray, closed: tuple[bool, bool]) -> FloatArray:
    """Fill cells that have no value at any time from the nearest one that has.

    Axes y and x that are `closed` go on with their first cells, half of the circle each way.
    """
    from scipy import ndimage

    missing = ~np.isfinite(field[0])
    if not missing.any() or missing.all():
        return field
    margins = [size // 2 if wraps else 0 for size, wraps in zip(missing.shape, closed, strict=True)]
    wide = np.pad(missing, [(margin, margin) for margin in margins], mode="wrap")
    nearest = ndimage.distance_transform_edt(wide, return_distances=False, return_indices=True)
    inside = tuple(slice(m, m + size) for m, size in zip(margins, missing.shape, strict=True))
    rows, columns = (
        (index[inside] - margin) % size
        for index, margin, size in zip(nearest, margins, missing.shape, strict=True)
    )
    return field[:, rows, columns]
