"""Means over the cells of a coarser grid: downscaling."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from xr4dvar.arguments import check_choice, check_count, check_mapping
from xr4dvar.errors import Problems
from xr4dvar.labels import Grid
from xr4dvar.labels.coordinates import Coordinate
from xr4dvar.labels.roles import by_role
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Operator
from xr4dvar.operators.weights import bound_weights, cell_borders, seen_rows
from xr4dvar.registry import register
from xr4dvar.types import BoolArray, FloatArray, Role

__all__ = ["BlockMean"]

Weights = Literal["area", "equal"]

#: Share of a block that may lie outside the grid of the state.
OUTSIDE = 0.01
#: Axes whose difference is below this share of a spacing are the same.
SAME = 1e-3


@register
@dataclass(frozen=True)
class BlockMean(Operator):
    r"""Means over blocks of cells, weighted by their area: what a coarser grid holds.

    .. math:: H(x)_i = \frac{\sum_{j} a_{ij} x_j}{\sum_{j} a_{ij}}

    with the area :math:`a_{ij}` of cell j inside block i. Borders of blocks are half way between
    the centres of the observations' grid, and those of cells half way between theirs: they need
    not match. So along time, where its axis is coarser. A mean is over the part of a block that
    ``mask=`` holds (sea). A block of which more than 1 % lies outside the grid of the state is not
    used.

    Parameters
    ----------
    cells : mapping of str to int, optional
        Cells of a block along each dimension, counted from the first one; a last one may have
        fewer. For grids with 2-D coordinates, and where the coordinates of the coarse grid are not
        the centres of its blocks. Not given: blocks follow from the coordinates.
    weights : {"area", "equal"}
        What a cell counts by: its area inside the block, or the share of it, as in
        ``fine.coarsen(...).mean()``.

    Examples
    --------
    >>> fine = xv.datasets.gulfstream_twin().ssh.isel(time=slice(0, 5))
    >>> coarse = fine.coarsen(lat=5, lon=5).mean()
    >>> oi = xv.OptimalInterpolation(
    ...     length={"time": "7D", "lat": 1.0, "lon": 1.0}, variance=0.05, error_variance=1e-5,
    ...     mean=0.3, operator=xv.operators.BlockMean())
    >>> maps = coarse.fourdvar.reconstruct(oi, grid=fine)
    >>> bool(abs(maps - fine).mean() < 0.5 * abs(coarse.interp_like(fine) - fine).mean())
    True
    """

    cells: Mapping[str, int] | None = None
    weights: Weights = "area"

    other_grid: ClassVar[bool] = True

    def check(self, grid: Grid, names: Sequence[str], problems: Problems) -> None:
        """Note blocks that the grid does not hold."""
        check_choice("weights", self.weights, get_args(Weights), problems)
        if self.cells is None or not check_mapping("cells", self.cells, "{'lat': 4}", problems):
            return
        with problems.collect():
            for role, size in by_role(self.cells, grid.axes, "cells").items():
                check_count(f"cells along {grid[role].name!r}", size, problems)

    def roles(self, grid: Grid) -> Collection[Role]:
        """Those that `cells` names, else all: what is coarse is told by the observations."""
        return grid.roles if self.cells is None else tuple(by_role(self.cells, grid.axes, "cells"))

    def anchors(self, grid: Grid, observed: Grid, problems: Problems) -> dict[Role, np.ndarray]:
        """Number of the cell that stands for each block, along each axis that is coarser.

        Parameters
        ----------
        grid, observed : Grid
            Of the state, and of the observations.
        problems : Problems
            Gets axes that do not fit.
        """
        found: dict[Role, np.ndarray] = {}
        for role, borders in self._borders(grid, observed, problems).items():
            axis, own = grid[role], observed[role]
            if len(borders) != own.size + 1:
                what = f"{own.name!r} has {own.size} blocks, the grid has {len(borders) - 1}"
                problems.add(what, f"select {len(borders) - 1} of them, or correct cells=")
                continue
            middle = (borders[1:] + borders[:-1]) / 2
            found[role] = np.abs(axis.values - middle[:, np.newaxis]).argmin(1)
            if len(np.unique(found[role])) < own.size:
                what = f"{own.name!r} of the observations is finer than that of the grid"
                problems.add(what, "BlockMean goes from a fine grid to a coarser one")
        return found

    def bind(self, cells: Cells) -> Any:
        """Give the means of the blocks, each in the cell that stands for it."""
        return bound_weights(self._weights(cells), cells)

    def seen(self, cells: Cells) -> BoolArray | None:
        """Cells that stand for a block inside the patch."""
        return seen_rows(self._weights(cells), cells)

    def _borders(
        self, grid: Grid, observed: Grid | None, problems: Problems
    ) -> dict[Role, FloatArray]:
        """Borders of the blocks along each axis on which they differ from the cells."""
        if self.cells is not None:
            found: dict[Role, FloatArray] = {}
            for role, size in by_role(self.cells, grid.axes, "cells").items():
                own = cell_borders(grid[role])
                found[role] = own[[*range(0, grid[role].size, size), grid[role].size]]
            return found
        if observed is None:
            return {}
        if grid.curvilinear:
            fix = "BlockMean(cells={'y': 6, 'x': 6}): blocks are counted from the first cell"
            problems.add("the grid has 2-D coordinates, which do not say where blocks end", fix)
            return {}
        return {
            role: cell_borders(observed[role])
            for role in grid.roles
            if not same_axis(grid[role], observed[role])
        }

    def _weights(self, cells: Cells) -> dict[Role, FloatArray]:
        problems = Problems()
        borders = self._borders(cells.grid, cells.observed, problems)
        problems.raise_if_any()
        equal = self.weights == "equal"
        return {role: _means(cells, role, own, equal) for role, own in borders.items()}


def same_axis(first: Coordinate, second: Coordinate) -> bool:
    """Whether two axes have their points at the same places, but for rounding.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> from xr4dvar.operators.block_mean import same_axis
    >>> line = xr.DataArray(np.zeros(3), dims="x", coords={"x": [0.0, 1.0, 2.0]})
    >>> axis = make_grid(line, find_axes(line))["x"]
    >>> same_axis(axis, axis)
    True
    """
    if first.size != second.size:
        return False
    near = SAME * min(first.spacing, second.spacing)
    return bool((np.abs(first.values - second.values) <= near).all())


def _means(cells: Cells, role: Role, borders: FloatArray, equal: bool) -> FloatArray:
    """Weights of all cells of an axis for those of a patch; zeros where none stands for a block."""
    axis, index = cells.grid[role], cells.index(role)
    own = cell_borders(axis)
    middle = (borders[1:] + borders[:-1]) / 2
    anchors = np.abs(axis.values - middle[:, np.newaxis]).argmin(1)
    weights = np.zeros((len(index), axis.size))
    rows, blocks = np.nonzero(index[:, np.newaxis] == anchors)
    inside = np.zeros((len(rows), axis.size))
    for turn in (0.0,) if axis.period is None else (-axis.period, 0.0, axis.period):
        low = np.maximum(own[:-1] + turn, borders[blocks, np.newaxis])
        high = np.minimum(own[1:] + turn, borders[blocks + 1, np.newaxis])
        inside += np.where(high > low, _measure(axis, high) - _measure(axis, low), 0.0)
    whole = _measure(axis, borders[blocks + 1]) - _measure(axis, borders[blocks])
    total = inside.sum(1)
    held = total >= (1 - OUTSIDE) * whole
    if equal:
        inside /= np.diff(_measure(axis, own))
        total = inside.sum(1)
    weights[rows[held]] = (inside / np.where(total > 0, total, 1.0)[:, np.newaxis])[held]
    return weights


def _measure(axis: Coordinate, places: FloatArray) -> FloatArray:
    """What differences along an axis are in area: of latitudes, those of their sine."""
    if axis.sphere in ("latitude", "grid_latitude"):
        sines: FloatArray = np.sin(np.deg2rad(np.clip(places, -90.0, 90.0)))
        return sines
    return places
