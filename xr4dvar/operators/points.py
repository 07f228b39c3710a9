"""Observations at places of their own: along tracks, of stations, on other grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from xr4dvar.arguments import check_choice
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid
from xr4dvar.labels.coordinates import Coordinate
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Composed, Operator
from xr4dvar.operators.weights import cell_borders
from xr4dvar.registry import register
from xr4dvar.types import ROLES, BoolArray, FloatArray, IntArray, Role

__all__ = ["PlacedPoints", "Points", "Stencils", "at_places", "place_points", "points_of"]

Times = Literal["linear", "nearest"]

#: Share of its weights that an observation may lack at a coast.
LACKING = 0.5


@register
@dataclass(frozen=True)
class Points(Operator):
    """The field at places and times of its own, linear between the cells around.

    Observations are given as `xr4dvar.Observations`. Those in one cell, at one time of the grid,
    are averaged, and so is what is observed of the state at their places: the ``error_variance`` of
    a method is that of such a mean; where it is given for each observation, means are weighted by
    it, and have that of independent errors. Observations that are lazy are read at once.

    Parameters
    ----------
    time : {"linear", "nearest"}
        Along time linear too, or at the nearest time of the grid.

    Examples
    --------
    >>> xv.operators.Points().reads_places
    True
    """

    time: Times = "linear"

    reads_places: ClassVar[bool] = True

    def check(self, grid: Grid, names: Any, problems: Problems) -> None:
        """Note a setting that is none, and 2-D coordinates, whose cells are no product of axes."""
        check_choice("time", self.time, get_args(Times), problems)
        if grid.curvilinear:
            what = "the grid has 2-D coordinates, between which Points does not interpolate"
            problems.add(what, "give a grid of one-dimensional coordinates")

    def reach(self, grid: Grid) -> dict[Role, int]:
        """One cell to either side of each axis; of time none where it is the nearest."""
        return {r: 1 for r in grid.roles if not (r == "time" and self.time == "nearest")}

    def bind(self, cells: Cells) -> Any:
        """Refuse: nothing is known of the places.

        Raises
        ------
        InputError
            Always.
        """
        fix = "give them as xr4dvar.Observations(ssh=(tracks, xr4dvar.operators.Points()))"
        raise InputError([("Points observes at places, which an array on a grid has not", fix)])


@dataclass(frozen=True, eq=False)
class Stencils:
    """Where P observations lie in a grid.

    Parameters
    ----------
    cells : numpy.ndarray of int, shape (P, 3)
        Nearest cell along time, y and x.
    lower, upper : numpy.ndarray of int, shape (P, 3)
        Cells on either side.
    share : numpy.ndarray, shape (P, 3)
        Weight of the upper one.
    weight : numpy.ndarray, shape (P,)
        Of each observation in the mean of its cell.
    """

    cells: IntArray
    lower: IntArray
    upper: IntArray
    share: FloatArray
    weight: FloatArray


@dataclass(frozen=True, eq=False)
class PlacedPoints(Operator):
    """`Points` that know their places; not part of a configuration.

    Parameters
    ----------
    operator : Points
    stencils : Stencils
    """

    operator: Points
    stencils: Stencils

    def reach(self, grid: Grid) -> dict[Role, int]:
        """As of the points; of all axes, for nothing is the same in two patches."""
        return {**dict.fromkeys(grid.roles, 0), **self.operator.reach(grid)}

    def bind(self, cells: Cells) -> Any:
        """Give the means of the observations that lie in the patch."""
        from xr4dvar.operators.at_points import AtPoints

        corners, weights, at, _ = self._inside(cells)
        return AtPoints(corners, weights, at, cells.shape)

    def seen(self, cells: Cells) -> BoolArray | None:
        """Cells none of whose observations lacks what lies around it."""
        *_, lost = self._inside(cells)
        found = np.ones(int(np.prod(cells.shape)), dtype=bool)
        found[lost] = False
        whole: BoolArray = found.reshape(cells.shape)
        return None if whole.all() else whole

    def _inside(self, cells: Cells) -> tuple[IntArray, FloatArray, IntArray, IntArray]:
        """Corners (P, 8) of the observations in a patch, their weights and cells; cells lost."""
        own, starts, sizes = self.stencils, [], []
        for role, n in zip(ROLES, cells.shape, strict=True):
            there = role in cells.grid.roles
            starts.append(cells.starts[role] if there else 0)
            sizes.append((n, cells.grid[role].size if there else 1))
        first, length = np.array(starts), np.array([n for n, _ in sizes])
        around = np.array([n for _, n in sizes])
        at = (own.cells - first) % around
        used = (at < length).all(1)
        corners, weights = np.zeros((int(used.sum()), 1), np.intp), np.ones((int(used.sum()), 1))
        inside = np.ones(corners.shape, dtype=bool)
        for axis in range(3):
            ends = np.stack([own.lower[used, axis], own.upper[used, axis]], -1)
            ends = (ends - first[axis]) % around[axis]
            share = own.share[used, axis]
            parts = np.stack([1 - share, share], -1)
            held = (ends < length[axis]) | (parts == 0)
            ends = np.minimum(ends, length[axis] - 1)
            corners = (corners[:, :, None] * length[axis] + ends[:, None, :]).reshape(len(ends), -1)
            weights = (weights[:, :, None] * parts[:, None, :]).reshape(len(ends), -1)
            inside = (inside[:, :, None] & held[:, None, :]).reshape(len(ends), -1)
        lost = ~inside.all(1)
        if cells.domain is not None:
            sea = np.broadcast_to(cells.domain, cells.shape).ravel()[corners]
            total = (weights * sea).sum(1, keepdims=True)
            lost |= total[:, 0] < 1 - LACKING
            weights = weights * sea / np.maximum(total, LACKING)
        flat = np.ravel_multi_index(tuple(at[used].T), cells.shape)
        weights = np.where(inside, weights, 0.0) * own.weight[used, None]
        return corners, weights, flat, flat[lost]


def place_points(
    positions: Mapping[Role, FloatArray], weights: FloatArray, grid: Grid, operator: Points
) -> tuple[Stencils, BoolArray]:
    """Find cells and weights of observations.

    Parameters
    ----------
    positions : mapping of role to numpy.ndarray, shape (P,)
        In the units of the grid.
    weights : numpy.ndarray, shape (P,)
        Of each observation in the mean of its cell, up to a factor.
    grid : Grid
    operator : Points

    Returns
    -------
    stencils : Stencils
        Of those inside the grid.
    inside : numpy.ndarray of bool, shape (P,)
    """
    count = len(weights)
    cells, lower, upper = (np.zeros((count, 3), np.intp) for _ in range(3))
    share, inside = np.zeros((count, 3)), np.ones(count, dtype=bool)
    for axis, role in enumerate(ROLES):
        if role in grid.roles:
            cell, low, high, part, there = _along(grid[role], positions[role])
            cells[:, axis], lower[:, axis], upper[:, axis], share[:, axis] = cell, low, high, part
            inside &= there
            if role == "time" and operator.time == "nearest":
                lower[:, axis] = upper[:, axis] = cells[:, axis]
    flat = np.ravel_multi_index(
        tuple(cells[inside].T), [grid[r].size if r in grid.roles else 1 for r in ROLES]
    )
    _, group = np.unique(flat, return_inverse=True)
    own = weights[inside]
    mean = own / np.bincount(group, own)[group] if len(own) else own
    parts = (cells[inside], lower[inside], upper[inside])
    return Stencils(*parts, share[inside], mean), inside


def _along(
    axis: Coordinate, places: FloatArray
) -> tuple[IntArray, IntArray, IntArray, FloatArray, BoolArray]:
    """Nearest cell, the cells around, the share of the upper one, and which places lie inside."""
    values, size, borders = axis.values, axis.size, cell_borders(axis)
    if axis.period is not None:
        places = borders[0] + (places - borders[0]) % axis.period
    inside = (places >= borders[0]) & (places <= borders[-1])
    cell = np.clip(np.searchsorted(borders, places, side="right") - 1, 0, size - 1)
    lower = np.searchsorted(values, places, side="right") - 1
    if axis.period is None or size == 1:
        lower = np.clip(lower, 0, max(size - 2, 0))
        upper = np.minimum(lower + 1, size - 1)
        width = np.where(upper > lower, values[upper] - values[lower], 1.0)
        share = np.clip((places - values[lower]) / width, 0.0, 1.0)
    else:
        upper = (lower + 1) % size
        width = (values[upper] - values[lower % size]) % axis.period
        share = ((places - values[lower % size]) % axis.period) / width
        lower = lower % size
    return cell, lower, upper, np.where(inside, share, 0.0), inside


def points_of(operator: Operator) -> Points:
    """The points of an operator that reads places: itself, or the last of those in turn."""
    while isinstance(operator, Composed):
        operator = operator.last
    if not isinstance(operator, Points):
        what = f"{type(operator).__name__} reads places, and only Points are given them"
        raise InputError([(what, "use xr4dvar.operators.Points")])
    return operator


def at_places(operator: Operator, placed: PlacedPoints) -> Operator:
    """The same operator with points that know their places."""
    if isinstance(operator, Composed):
        return replace(operator, last=at_places(operator.last, placed))
    return placed
