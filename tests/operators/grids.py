"""Grids and bound operators for the tests of the room."""

from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from xr4dvar.labels import find_axes, make_grid
from xr4dvar.operators.binding import Binder

LON = np.arange(0.0, 360.0, 20.0)


def grid_of(periodic=(), **coords):
    """The grid of a field with these coordinates."""
    if "time" in coords:
        coords["time"] = np.datetime64("2000-01-01", "ns") + coords["time"] * np.timedelta64(1, "D")
    dims = list(coords)
    field = xr.DataArray(np.zeros([len(c) for c in coords.values()]), coords=coords, dims=dims)
    return make_grid(field, find_axes(field), periodic)


def bound(operator, grid, observed=None, domain=None, **parts):
    """An operator bound to a box of a grid: all of it, but for the slices that are given.

    What it sees has no axis of fields where there is one.
    """
    coordinates = {}
    for role in grid.roles:
        values = grid[role].values
        coordinates[role] = values[parts.get(role, slice(None))][np.newaxis]
    own = None if domain is None else np.asarray(domain)[np.newaxis]
    found, seen = Binder(operator, replace(grid, observed=observed))(coordinates, own)
    return found, seen if seen is None or seen.shape[1] > 1 else seen[:, 0]


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def is_adjoint(operator, shape):
    """``<H x, y> = <x, H' y>`` to 1e-10."""
    x, y = noise(2, 1, *shape), noise(2, 1, *shape, seed=1)
    left, right = float((operator(x) * y).sum()), float((x * operator.adjoint(y)).sum())
    return abs(left - right) <= 1e-10 * (1 + abs(left))
