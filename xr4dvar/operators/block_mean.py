"""Means over the cells of a coarser grid: downscaling."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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

__all__ = ["BlockMean", "same_axis"]

log = logging.getLogger("xr4dvar")

Weights = Literal["area", "equal"]

#: Share of a block that may lie outside the grid of the state.
OUTSIDE = 0.01
#: The longest step between blocks over the shortest, at most: months, but no missing ones.
UNEVEN = 1.5
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
    used, and the log says so.

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
        if not self.cells:
            problems.add("cells is empty", "leave it out, or say how many cells blocks have")
        with problems.collect():
            for role, size in by_role(self.cells, grid.axes, "cells").items():
                check_count(f"cells along {grid[role].name!r}", size, problems)

    def reach(self, grid: Grid) -> dict[Role, int]:
        """Cells of the longest block, on either side of the one that stands for it."""
        found = {}
        for role, borders in self._borders(grid, Problems()).items():
            own = cell_borders(grid[role])
            first = np.searchsorted(own, borders[:-1], side="right") - 1
            found[role] = int((np.searchsorted(own, borders[1:]) - first).max() + 1) // 2 + 1
        return found

    def anchors(self, grid: Grid, problems: Problems) -> dict[Role, np.ndarray]:
        """Number of the cell that stands for each block, along each axis that is coarser.

        Parameters
        ----------
        grid : Grid
            Of the state, with that of the observations.
        problems : Problems
            Gets axes that do not fit.
        """
        found: dict[Role, np.ndarray] = {}
        observed = grid.observed
        for role, borders in self._borders(grid, problems).items():
            axis = grid[role]
            blocks = len(borders) - 1
            if observed is None or observed[role].size != blocks:
                size = 0 if observed is None else observed[role].size
                what = f"{axis.name!r} has {size} blocks, the grid has {blocks}"
                problems.add(what, f"select {blocks} of them, or correct cells=")
                continue
            middle = (borders[1:] + borders[:-1]) / 2
            places = cell_borders(axis)
            outside = (middle < places[0]) | (middle > places[-1])
            if axis.period is None and outside.any():
                what = (
                    f"{int(outside.sum())} of {blocks} blocks of {axis.name!r} lie outside the grid"
                )
                problems.add(what, "select those inside, or give a larger grid")
                continue
            found[role] = np.abs(axis.values - middle[:, np.newaxis]).argmin(1)
            if len(np.unique(found[role])) < blocks:
                what = f"{axis.name!r} of the observations is finer than that of the grid"
                problems.add(what, "BlockMean goes from a fine grid to a coarser one")
            elif beyond := int((_coverage(axis, borders) < 1 - OUTSIDE).sum()):
                log.warning(
                    "%d of %d blocks of %r reach beyond the grid, and are not used",
                    beyond, blocks, axis.name,
                )  # fmt: skip
        return found

    def bind(self, cells: Cells) -> Any:
        """Give the means of the blocks, each in the cell that stands for it."""
        return bound_weights(self._weights(cells), cells)

    def seen(self, cells: Cells) -> BoolArray | None:
        """Cells that stand for a block inside the patch."""
        return seen_rows(self._weights(cells), cells)

    def _borders(self, grid: Grid, problems: Problems) -> dict[Role, FloatArray]:
        """Borders of the blocks along each axis on which they differ from the cells."""
        if self.cells is not None:
            return {
                role: _counted(grid[role], int(size))
                for role, size in by_role(self.cells, grid.axes, "cells").items()
            }
        if grid.observed is None:
            return {}
        if grid.curvilinear:
            fix = "BlockMean(cells={'y': 6, 'x': 6}): blocks are counted from the first cell"
            problems.add("the grid has 2-D coordinates, which do not say where blocks end", fix)
            return {}
        found: dict[Role, FloatArray] = {}
        for role in grid.roles:
            if not same_axis(grid[role], grid.observed[role]):
                borders = _between(grid[role], grid.observed[role], problems)
                if borders is not None:
                    found[role] = borders
        return found

    def _weights(self, cells: Cells) -> dict[Role, FloatArray]:
        problems = Problems()
        borders = self._borders(cells.grid, problems)
        problems.raise_if_any()
        equal = self.weights == "equal"
        return {role: _means(cells, role, own, equal) for role, own in borders.items()}


def _counted(axis: Coordinate, size: int) -> FloatArray:
    """Borders of blocks of so many cells, counted from the first one of the user's."""
    own = cell_borders(axis)
    if axis.descending:
        return own[sorted({*range(axis.size, 0, -size), 0})]
    return own[sorted({*range(0, axis.size, size), axis.size})]


def _between(axis: Coordinate, blocks: Coordinate, problems: Problems) -> FloatArray | None:
    """Borders of blocks half way between their middles."""
    if blocks.size == 1:
        places = cell_borders(axis)
        middle = (places[0] + places[-1]) / 2
        if abs(float(blocks.values[0]) - middle) > axis.spacing:
            what = f"{blocks.name!r} has one block, whose middle is not that of the grid"
            problems.add(what, f"say how many cells it has, cells={{{blocks.name!r}: ...}}")
            return None
        return places[[0, -1]]
    steps = np.diff(blocks.values)
    if steps.max() > UNEVEN * steps.min():
        what = f"{blocks.name!r} of the observations has steps from {steps.min():g} to "
        what += f"{steps.max():g}: blocks would reach over what is missing"
        problems.add(what, f"put them on an even axis, obs.reindex({blocks.name}=...), as NaN")
        return None
    return cell_borders(blocks)


def _coverage(axis: Coordinate, borders: FloatArray) -> FloatArray:
    """Share of each block that lies on the grid, along an axis."""
    own = cell_borders(axis)
    if axis.period is not None:
        return np.ones(len(borders) - 1)
    inside = np.clip(borders, own[0], own[-1])
    share: FloatArray = np.diff(inside) / np.diff(borders)
    return share


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
