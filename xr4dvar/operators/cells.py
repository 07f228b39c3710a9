"""The cells of a patch: what an observation operator is bound to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xr4dvar.types import ROLES, BoolArray, Role

if TYPE_CHECKING:
    from xr4dvar.labels.grid import Grid

__all__ = ["Cells"]


@dataclass(frozen=True, eq=False)
class Cells:
    """A box of cells of a grid.

    Parameters
    ----------
    grid : Grid
        All cells of the state, with their coordinates and units.
    starts, sizes : mapping of role to int
        First cell, and number of cells, along each axis that is there. Past the end of a circle the
        box goes on with its first cells.
    domain : numpy.ndarray of bool, shape (T, Y, X), optional
        Cells of the box that hold a state: sea. Sizes may be 1.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> line = xr.DataArray(np.zeros(5), dims="lat", coords={"lat": np.arange(5.0)})
    >>> cells = Cells(make_grid(line, find_axes(line)), {"y": 1}, {"y": 3})
    >>> cells.shape, cells.index("y")
    ((1, 3, 1), array([1, 2, 3]))
    """

    grid: Grid
    starts: dict[Role, int]
    sizes: dict[Role, int]
    domain: BoolArray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along time, y and x; 1 along an axis that is not there."""
        time, y, x = (self.sizes.get(role, 1) for role in ROLES)
        return time, y, x

    def index(self, role: Role) -> np.ndarray:
        """Numbers of the cells of the box along an axis of the grid."""
        size = self.grid[role].size
        index: np.ndarray = (self.starts[role] + np.arange(self.sizes[role])) % size
        return index
