"""Distance from the land: a covariate of coasts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import EARTH_RADIUS_KM, find_axes, make_grid
from xr4dvar.labels.angles import degrees_factor
from xr4dvar.types import DimsMapping, FloatArray

__all__ = ["land_distance"]


def land_distance(mask: xr.DataArray, *, dims: DimsMapping | None = None) -> xr.DataArray:
    """Distance of each cell from the nearest cell of land.

    Parameters
    ----------
    mask : DataArray of bool, dimensions y and x
        True where there is sea. Latitudes and longitudes, 1-D or 2-D, or plain coordinates.
    dims : mapping, optional
        Names of the axes where they cannot be found, ``{"lat": "row"}``.

    Returns
    -------
    DataArray of float64, dimensions of `mask`, named ``land_distance``
        In km along great circles, or in the units of plain coordinates; 0 on land, NaN where
        2-D coordinates are missing.

    Raises
    ------
    InputError
        The mask is none, has other dimensions, or no land at all.

    Examples
    --------
    >>> coords = {"lat": [0.0, 1.0, 2.0], "lon": [0.0, 1.0]}
    >>> sea = xr.DataArray([[False, False], [True, True], [True, True]], coords, ("lat", "lon"))
    >>> xv.covariates.land_distance(sea).round(1).values[:, 0]
    array([  0. , 111.2, 222.4])
    """
    given: object = mask
    if not isinstance(given, xr.DataArray) or given.dtype != bool:
        raise InputError([("mask is no DataArray of bool", "give True for sea: field.notnull()")])
    axes = find_axes(mask, dims)
    if set(axes.roles) != {"y", "x"} or axes.batch:
        what = f"mask is on {tuple(map(str, mask.dims))}, not on y and x alone"
        raise InputError([(what, "select one time, mask.isel(time=0, drop=True)")])
    sea = mask.transpose(*axes.dims)
    from scipy.spatial import cKDTree

    places, units = _places(sea, dims)
    known = np.isfinite(places).all(-1)
    land = known & ~sea.values.ravel()
    if not land.any():
        raise InputError([("mask has no land", "leave land_distance out")])
    straight = np.full(len(places), np.nan)
    straight[known], _ = cKDTree(places[land]).query(places[known])
    if units is None:  # from through the earth to along its surface
        straight = 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(straight / 2, 0.0, 1.0))
    found = sea.copy(data=straight.reshape(sea.shape)).rename("land_distance")
    found.attrs = {
        "units": "km" if units is None else units,
        "long_name": "distance from the nearest land",
    }
    return found.transpose(*mask.dims)


def _places(sea: xr.DataArray, dims: DimsMapping | None) -> tuple[FloatArray, str | None]:
    """Unit vectors of the cells on the sphere, or plain coordinates and their units."""
    grid = make_grid(sea, find_axes(sea, dims))
    names = [grid.axes.coordinates.get(role) for role in ("y", "x")]
    if None in names:
        what = "mask has no coordinates of y and x"
        raise InputError([(what, "mask.assign_coords(lat=..., lon=...)")])
    y, x = (sea.coords[name].broadcast_like(sea).transpose(*sea.dims) for name in names)
    flat = [one.values.astype(np.float64).ravel() for one in (y, x)]
    if not (grid.geographic or grid.curvilinear):
        units = {str(one.attrs.get("units", "")) for one in (y, x)}
        if len(units) > 1:
            what = f"y is in {y.attrs.get('units')!r} and x in {x.attrs.get('units')!r}"
            raise InputError([(what, "convert one of them")])
        return np.stack(flat, -1), units.pop()
    problems = Problems()
    factors = [degrees_factor(one, problems) or 1.0 for one in (y, x)]
    problems.raise_if_any()
    lat, lon = (np.radians(v * factor) for v, factor in zip(flat, factors, strict=True))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1), None
