"""Binding an operator to the patches of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from xr4dvar.labels import Grid
from xr4dvar.operators.bound import Bound, ByGradient, one_or_each
from xr4dvar.operators.cells import Cells
from xr4dvar.operators.operator import Operator
from xr4dvar.operators.weights import LOST
from xr4dvar.types import ROLES, BoolArray, FloatArray, Role

__all__ = ["Binder", "as_bound", "depends_on"]

#: Bound operators that are kept.
KEPT = 64


@dataclass
class Binder:
    """Binds an operator to patches of a grid; patches that lie alike share what is bound.

    Parameters
    ----------
    operator : Operator
    grid : Grid
        All cells of the state.
    domain : numpy.ndarray of bool, shape (T or 1, Y, X), optional
        Cells of the grid that hold a state, where patches do not bring their own.
    """

    operator: Operator
    grid: Grid
    domain: BoolArray | None = None
    _kept: dict[Any, tuple[Bound, BoolArray | None]] = field(default_factory=dict, repr=False)

    @cached_property
    def along(self) -> tuple[Role, ...]:
        """Axes along which the operator joins cells, found once: functions are tried for it."""
        return self.operator.roles(self.grid)

    def __call__(
        self, coordinates: Mapping[Role, FloatArray], domain: BoolArray | None = None
    ) -> tuple[Bound, BoolArray | None]:
        """Bind to n patches.

        Parameters
        ----------
        coordinates : mapping of role to numpy.ndarray, shape (n, size)
            Positions of their cells along each axis.
        domain : numpy.ndarray of bool, shape (n, T, Y, X), optional
            Cells that hold a state.

        Returns
        -------
        operator : Bound
        seen : numpy.ndarray of bool, shape (n, K or 1, T, Y, X), or None
            Cells whose observations depend on nothing outside their patch; None: all.
        """
        count = len(next(iter(coordinates.values())))
        found = [self._one(coordinates, domain, n) for n in range(count)]
        bound = one_or_each([operator for operator, _ in found])
        if all(seen is None for _, seen in found):
            return bound, None
        shape = [coordinates[r].shape[1] if r in coordinates else 1 for r in ROLES]
        fields = max(1 if one is None or one.ndim == 3 else len(one) for _, one in found)
        seen = [np.broadcast_to(True if one is None else one, (fields, *shape)) for _, one in found]
        return bound, np.stack(seen)

    def _one(
        self, coordinates: Mapping[Role, FloatArray], domain: BoolArray | None, n: int
    ) -> tuple[Bound, BoolArray | None]:
        starts = {role: self._start(role, values[n, 0]) for role, values in coordinates.items()}
        sizes = {role: values.shape[1] for role, values in coordinates.items()}
        own = self._sea(starts, sizes) if domain is None else domain[n]
        own = None if own is None or bool(own.all()) else own
        key = (
            tuple((role, starts[role]) for role in self.along if role in starts),
            tuple(sizes.items()),
            None if own is None else own.tobytes(),
        )
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            cells = Cells(self.grid, starts, sizes, own)
            bound = as_bound(self.operator.bind(cells), linear=self.operator.linear)
            self._kept[key] = bound, self.operator.seen(cells)
        return self._kept[key]

    def _sea(self, starts: dict[Role, int], sizes: dict[Role, int]) -> BoolArray | None:
        """Cells of a patch that hold a state."""
        sea = self.domain
        if sea is None:
            return None
        for axis, role in enumerate(ROLES):
            if role in starts and sea.shape[axis] > 1:
                cells = (starts[role] + np.arange(sizes[role])) % self.grid[role].size
                sea = sea.take(cells, axis)
        return sea

    def _start(self, role: Role, first: float) -> int:
        """Number of the first cell of a patch along an axis."""
        axis = self.grid[role]
        if axis.period is not None:
            first = axis.values[0] + (first - axis.values[0]) % axis.period
        return int(np.abs(axis.values - first).argmin())


def as_bound(operator: Any, *, linear: bool) -> Bound:
    """What `Operator.bind` gives, with an adjoint."""
    return operator if isinstance(operator, Bound) else ByGradient(operator, linear=linear)


def depends_on(operator: Operator, cells: Cells, some: BoolArray) -> BoolArray:
    """Cells whose observations depend on some of the cells (T, Y, X) of a linear operator.

    Of any of its fields, and of the shape (T, Y, X).
    """
    bound = as_bound(operator.bind(cells), linear=operator.linear)
    shape = cells.shape
    inside = torch.as_tensor(np.broadcast_to(some, shape).astype(np.float64))
    # of random numbers: differences of equal ones are none
    drawn = torch.randn(shape, dtype=inside.dtype, generator=torch.Generator().manual_seed(0))
    whole = bound(drawn[None, None]).abs().amax((0, 2, 3, 4)).clamp(min=1e-300)
    part = bound((drawn * inside)[None, None])[0].abs()
    found: BoolArray = (part > LOST * whole[:, None, None, None]).any(0).numpy()
    return found
