"""Weights of cells along axes, for the cells of a patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xr4dvar.labels.coordinates import Coordinate
from xr4dvar.operators.cells import Cells
from xr4dvar.types import ROLES, BoolArray, FloatArray, Role

__all__ = ["DEGREE", "bound_weights", "cell_widths", "seen_rows"]

#: Kilometres of a degree of latitude.
DEGREE = 111.195
#: Weight of an observation that may lie outside the patch.
LOST = 1e-3


def cell_widths(axis: Coordinate) -> FloatArray:
    """Widths of the cells of an axis, whose borders are half way between their centres.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> from xr4dvar.operators.weights import cell_widths
    >>> line = xr.DataArray(np.zeros(3), dims="x", coords={"x": [0.0, 1.0, 3.0]})
    >>> cell_widths(make_grid(line, find_axes(line))["x"])
    array([1. , 1.5, 2. ])
    """
    return np.diff(cell_borders(axis))


def cell_borders(axis: Coordinate) -> FloatArray:
    """Borders of the cells of an axis, half way between their centres, shape (n + 1,)."""
    values = axis.values
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    first, last = 2 * values[0] - middle[0], 2 * values[-1] - middle[-1]
    if axis.period is not None:
        first = last = (values[-1] + values[0] + axis.period) / 2
        first -= axis.period
    return np.concatenate([[first], middle, [last]])


def bound_weights(weights: Mapping[Role, Any], cells: Cells) -> Any:
    """The operator of weights of all cells of an axis for those of a patch.

    Parameters
    ----------
    weights : mapping of role to numpy.ndarray, or to list of (slice, numpy.ndarray)
        Shape (cells of the patch, cells of the axis); along x, one for some rows of y each.
    cells : Cells
    """
    import torch

    from xr4dvar.operators.bound import AlongAxes

    found: dict[int, Any] = {}
    for role, own in weights.items():
        index, dim = cells.index(role), ROLES.index(role) - 3
        if isinstance(own, list):
            found[dim] = [(rows, torch.as_tensor(w[:, index])) for rows, w in own]
        else:
            found[dim] = torch.as_tensor(own[:, index])
    domain = None
    if cells.domain is not None:
        domain = torch.as_tensor(np.broadcast_to(cells.domain, cells.shape).copy())
    return AlongAxes(found, domain)


def seen_rows(weights: Mapping[Role, Any], cells: Cells) -> BoolArray | None:
    """Cells (T, Y, X) all of whose weights, but for a thousandth, belong to cells of the patch."""
    seen = np.ones(cells.shape, dtype=bool)
    for role, own in weights.items():
        index, axis = cells.index(role), ROLES.index(role)
        for rows, matrix in own if isinstance(own, list) else [(slice(None), own)]:
            total = np.abs(matrix).sum(1)
            lost = total - np.abs(matrix[:, index]).sum(1)
            inside = (lost <= LOST * total) & (total > 0)
            shape = [-1 if n == axis else 1 for n in range(3)]
            seen[:, rows] &= inside.reshape(shape)
    return None if seen.all() else seen
