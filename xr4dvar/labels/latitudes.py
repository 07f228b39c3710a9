"""Latitudes, found as the axes are, and the share of the sphere that each takes."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.angles import degrees_factor
from xr4dvar.labels.grid import Grid
from xr4dvar.types import FloatArray, Labelled

__all__ = ["area_weights", "latitudes"]


def latitudes(obs: Labelled, grid: Grid) -> xr.DataArray | None:
    """Latitude in degrees along the y axis, or of every point of a grid with 2-D coordinates.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        The data.
    grid : Grid
        Their grid: its coordinate of y is looked at, whatever it is called.

    Returns
    -------
    xarray.DataArray of float64, or None
        None where y is no latitude: lengths, scan angles or plain numbers.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> from xr4dvar.labels.latitudes import latitudes
    >>> obs = xr.DataArray(np.zeros(2), dims="y",
    ...                    coords={"y": ("y", [0.0, 1.0], {"units": "degrees_north"})})
    >>> latitudes(obs, make_grid(obs, find_axes(obs))).values
    array([0., 1.])
    """
    name = grid.axes.coordinates.get("y")
    if name is None:
        return None
    found: xr.DataArray = obs.coords[name]
    if found.ndim != 2 and grid["y"].sphere is None:
        return None
    factor = degrees_factor(found, Problems())
    return None if factor is None else found.astype(np.float64) * factor


def area_weights(latitude: xr.DataArray) -> xr.DataArray:
    """Area of cells, up to a factor, for latitudes of any spacing and an even longitude.

    Of one dimension: between the middles of neighbours, the difference of their sines, which for
    an even spacing is as the cosine of latitude. Of two dimensions: the cosine of latitude.

    Examples
    --------
    >>> from xr4dvar.labels.latitudes import area_weights
    >>> area = area_weights(xr.DataArray([0.0, 30.0, 60.0], dims="lat"))
    >>> (area / area[0]).round(3).values
    array([1.   , 0.866, 0.5  ])
    """
    degrees = latitude.to_numpy()
    if degrees.ndim == 1 and degrees.size > 1:
        area = np.abs(np.diff(np.sin(np.deg2rad(_edges(degrees)))))
    else:
        area = np.cos(np.deg2rad(degrees)).clip(min=0)
    return xr.DataArray(area, dims=latitude.dims)


def _edges(degrees: FloatArray) -> FloatArray:
    middles = (degrees[1:] + degrees[:-1]) / 2
    ends = 2 * degrees[:1] - middles[:1], 2 * degrees[-1:] - middles[-1:]
    return np.concatenate([ends[0], middles, ends[1]]).clip(-90, 90)
