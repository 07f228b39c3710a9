"""Observations of a coarser grid in the cells of a finer one that stand for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.companions import without_companions
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.types import Labelled

__all__ = ["placed", "state_template"]


def state_template(grid: object, obs: Labelled, problems: Problems) -> xr.DataArray | None:
    """An empty array on the grid of the state, from an array, a Dataset, or its coordinates.

    Parameters
    ----------
    grid : DataArray or Dataset
        Its data are not looked at; dimensions that it lacks, such as members or times, are those
        of `obs`.
    obs : DataArray or Dataset
    problems : Problems
        Gets what is no grid, and dimensions that `obs` has not.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels.placing import state_template
    >>> coarse = xr.DataArray([0.5], dims="lat", coords={"lat": [1.0]})
    >>> state_template(xr.Dataset(coords={"lat": [0.5, 1.5]}), coarse, Problems()).sizes["lat"]
    2
    """
    if not isinstance(grid, xr.DataArray | xr.Dataset):
        what = f"grid is a {type(grid).__name__}"
        problems.add(what, "give a DataArray or a Dataset on the grid of the maps")
        return None
    grid, _ = without_companions(grid)
    like = next(iter(named_arrays(obs).values()))
    for dim in (dim for dim in grid.sizes if dim not in like.sizes):
        what = f"the grid has a dimension {dim!r}, obs has none of that name"
        problems.add(what, f"rename it, grid.rename({dim}=...), or select one entry of it")
    if not set(grid.sizes) <= set(like.sizes):
        return None
    sizes = {**like.sizes, **grid.sizes}
    own = {n: c for n, c in like.coords.items() if not set(c.dims) & set(grid.sizes)}
    coords = own | {n: c for n, c in grid.coords.items() if set(c.dims) <= set(like.dims)}
    empty = np.broadcast_to(np.float32(np.nan), [sizes[dim] for dim in like.dims])
    return xr.DataArray(empty, coords=coords, dims=like.dims)


def placed(obs: Labelled, template: xr.DataArray, cells: Mapping[str, np.ndarray]) -> Labelled:
    """Put each observation into the cell of a finer grid that stands for it; the rest is missing.

    Parameters
    ----------
    obs : DataArray or Dataset
        Of floats, in memory or lazy.
    template : DataArray
        An array on the finer grid.
    cells : mapping of str to numpy.ndarray of int
        For each dimension of an axis: number of the cell for each entry of `obs`.

    Examples
    --------
    >>> from xr4dvar.labels.placing import placed
    >>> coarse = xr.DataArray([5.0, 6.0], dims="lat", coords={"lat": [1.0, 3.0]})
    >>> fine = xr.DataArray(np.zeros(4), dims="lat", coords={"lat": [0.5, 1.5, 2.5, 3.5]})
    >>> placed(coarse, fine, {"lat": np.array([0, 2])}).values
    array([ 5., nan,  6., nan])
    """
    for dim, own in cells.items():
        source = np.full(template.sizes[dim], -1)
        source[own] = np.arange(len(own))
        if np.array_equal(source, np.arange(obs.sizes[dim])):
            continue  # the same cells in the same order
        lost = [name for name, c in obs.coords.items() if dim in c.dims]
        spread = obs.drop_vars(lost).isel({dim: np.maximum(source, 0)})
        obs = spread.where(xr.DataArray(source >= 0, dims=dim))
    coords = {n: c for n, c in template.coords.items() if set(c.dims) & set(cells)}
    return obs.assign_coords(coords)
