"""Where there are observations, and which cells are wanted."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr4dvar.errors import InputError, Problems, warn
from xr4dvar.labels.alignment import check_aligned
from xr4dvar.labels.grid import Grid
from xr4dvar.labels.stacking import Array, canonical, flipped, named_arrays
from xr4dvar.types import Labelled


def observed(obs: Labelled) -> Labelled:
    """Where there are observations: True for a value, False for a gap.

    Not what the argument ``mask=`` of the verbs takes: that is True where a map is wanted.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        NaN where nothing was observed.

    Returns
    -------
    xarray.DataArray or xarray.Dataset of bool
        With the same dimensions, coordinates and names; lazy for dask.

    Examples
    --------
    >>> from xr4dvar.labels import observed
    >>> observed(xr.DataArray([1.0, np.nan], dims="x")).values
    array([ True, False])
    """
    given: object = obs
    if not isinstance(given, xr.DataArray | xr.Dataset):
        what = f"obs is a {type(given).__name__}, not a DataArray or Dataset"
        raise InputError([(what, "label it, xr.DataArray(obs, dims=..., coords=...)")])
    seen = obs.notnull()
    if isinstance(seen, xr.Dataset):
        return seen.assign({name: _described(a) for name, a in seen.items()})
    return _described(seen)


def mask(obs: Labelled) -> Labelled:
    """Where there are observations, under its old name: use `observed`.

    Examples
    --------
    >>> import warnings
    >>> from xr4dvar.labels import mask
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     seen = mask(xr.DataArray([1.0, np.nan], dims="x"))
    >>> seen.values
    array([ True, False])
    """
    warn("mask() is called observed() now: mask= is where a map is wanted", DeprecationWarning)
    return observed(obs)


def check_domain(domain: object, obs: Labelled, problems: Problems) -> None:
    """Note what makes an array useless as the domain: which cells are wanted.

    Parameters
    ----------
    domain : xarray.DataArray
        True or 1 where a value is wanted (sea), False, 0 or missing elsewhere (land). On some or
        all dimensions of `obs`. The values of a dask array are not looked at. A warning tells
        where it is no more than where there are observations.
    obs : xarray.DataArray or xarray.Dataset
        The observations.
    problems : Problems
        Gets what was found.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_domain
    >>> problems = Problems()
    >>> obs = xr.DataArray(np.zeros(2), dims="lat")
    >>> check_domain(xr.DataArray([0, 2], dims="lat"), obs, problems)
    >>> problems.found[0][0]
    'mask: holds 2, not only 0 and 1'
    """
    if not isinstance(domain, xr.DataArray):
        problems.add(
            f"mask: is a {type(domain).__name__}, not a DataArray",
            "give True for the cells that are wanted, for example target.notnull().any('time')",
        )
        return
    check_aligned(obs, {"mask": domain}, problems, subset=True)
    if domain.dtype.kind not in "biuf":
        problems.add(f"mask: is {domain.dtype}", "give booleans, True for the cells wanted")
    elif domain.chunks is None:
        values = np.unique(domain.values)
        strange = values[np.isfinite(values) & (values != 0) & (values != 1)]
        if strange.size:
            problems.add(
                f"mask: holds {strange[0]}, not only 0 and 1", "compare it, for example mask == 2"
            )
        elif not (values == 1).any():
            problems.add("mask: no cell is wanted", "give True for sea; invert it with ~mask")
        elif values.size > 1 and not problems.found:
            _warn_of_observed(domain, obs)


def _warn_of_observed(domain: xr.DataArray, obs: Labelled) -> None:
    """Warn of a mask that leaves every gap out; nothing of dask is read.

    One that lacks a dimension of the data, such as a sea without time, leaves none out by mistake.
    """
    for name, array in named_arrays(obs).items():
        if array.chunks is not None or set(domain.dims) != set(array.dims):
            continue
        wanted = (domain == 1).transpose(*array.dims).to_numpy()
        if not wanted.all() and np.array_equal(wanted, array.notnull().to_numpy()):
            warn(
                f"mask= is True exactly where {name!r} is observed, but it says where a map is "
                "wanted: no gap is to be filled; give True for every cell that is wanted (sea), "
                "or leave mask= out"
            )


def domain_field(domain: xr.DataArray, obs: Labelled, grid: Grid) -> Array:
    """The domain as a boolean array of the shape and order of the fields.

    Parameters
    ----------
    domain : xarray.DataArray
        As `check_domain` accepts it.
    obs : xarray.DataArray or xarray.Dataset
        The observations: their shape and chunks.
    grid : Grid
        Their grid.

    Returns
    -------
    array of bool, shape (batch..., time, y, x)
        A numpy view without copies along the dimensions that `domain` lacks; a lazy dask array
        with the chunks of `obs` where that is dask.

    Examples
    --------
    >>> from xr4dvar.labels import domain_field, find_axes, make_grid
    >>> obs = xr.DataArray(np.zeros((3, 2)), dims=("time", "lat"), coords={"lat": [1.0, 0.0]})
    >>> sea = xr.DataArray([True, False], dims="lat", coords={"lat": [1.0, 0.0]})
    >>> domain_field(sea, obs, make_grid(obs, find_axes(obs)))[0]
    array([False,  True])
    """
    dims = grid.axes.dims
    like = canonical(next(iter(named_arrays(obs).values())).variable, grid)
    keep = flipped((domain == 1).variable, grid)
    keep = keep.transpose(*(dim for dim in dims if dim in keep.dims))
    insert = tuple(slice(None) if dim in keep.dims else np.newaxis for dim in dims)
    if isinstance(like, np.ndarray):
        return np.broadcast_to(keep.to_numpy()[insert], like.shape)
    import dask.array as da

    chunks = dict(zip(dims, like.chunks, strict=True))
    keep = keep.chunk({dim: chunks[str(dim)] for dim in keep.dims})
    return da.broadcast_to(keep.data[insert], like.shape, chunks=like.chunks)


def _described(seen: xr.DataArray) -> xr.DataArray:
    seen = seen.copy(deep=False)
    name = "the array" if seen.name is None else seen.name
    seen.attrs = {"long_name": f"where {name} is observed"}
    return seen
