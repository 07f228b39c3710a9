"""Distances along the axes of a grid whose latitude and longitude are 2-D."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.angles import check_latitudes, degrees_factor
from xr4dvar.labels.decoding import check_decoded
from xr4dvar.types import Labelled

EARTH_RADIUS_KM = 6371.0

Array = npt.NDArray[np.float64]


def great_circle_km(
    lat_a: npt.ArrayLike, lon_a: npt.ArrayLike, lat_b: npt.ArrayLike, lon_b: npt.ArrayLike
) -> Array:
    """Distance on the sphere between points in degrees, by the haversine formula, in km.

    Examples
    --------
    >>> from xr4dvar.labels.curvilinear import great_circle_km
    >>> float(great_circle_km(0.0, 0.0, 0.0, 180.0).round())
    20015.0
    """
    phi_a, phi_b = np.radians(lat_a), np.radians(lat_b)
    half_lon = np.radians(np.subtract(lon_b, lon_a)) / 2
    h = np.sin((phi_b - phi_a) / 2) ** 2 + np.cos(phi_a) * np.cos(phi_b) * np.sin(half_lon) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(h, 1.0))))


def distances_km(
    obs: Labelled, names: tuple[str, str], dims: tuple[str, str], problems: Problems
) -> tuple[Array, Array] | None:
    """Distances in km along the column and the row nearest to the middle without gaps.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        Holds the coordinates. They are read here, also where they are dask arrays.
    names : (str, str)
        The 2-D latitude and longitude.
    dims : (str, str)
        The dimensions y and x.
    problems : Problems
        Gets a problem where the coordinates have no complete row or column, are in other units
        than those of an angle, or go beyond the poles.

    Returns
    -------
    (y, x) : arrays of float64, or None
        Each starts at 0 and ascends along its dimension.
    """
    coordinates = {f"{name} in 2-D": obs[name].variable for name in names}  # no name of a dimension
    both = xr.Dataset(coordinates).transpose(*dims).compute()
    lat, lon = (
        _degrees(array.rename(name), problems)
        for array, name in zip(both.values(), names, strict=True)
    )
    known = f"obs[{names[0]!r}]"
    fix = f"mark them as missing, obs.assign_coords({names[0]}={known}.where(abs({known}) <= 90))"
    if lat is None or lon is None or not check_latitudes(names[0], lat, problems, fix):
        return None
    good = np.isfinite(lat) & np.isfinite(lon)
    column = _nearest_to_middle(np.all(good, axis=0))
    row = _nearest_to_middle(np.all(good, axis=1))
    if column is None or row is None:
        which = dims[0] if column is None else dims[1]
        problems.add(
            f"{names[0]!r} and {names[1]!r} have gaps in every line along {which!r}",
            "fill them, or drop them with obs.drop_vars so that grid points are counted",
        )
        return None
    return _along(lat[:, column], lon[:, column]), _along(lat[row], lon[row])


def _degrees(coordinate: xr.DataArray, problems: Problems) -> Array | None:
    if not check_decoded(None, coordinate, problems):
        return None
    factor = degrees_factor(coordinate, problems)
    return None if factor is None else factor * coordinate.to_numpy().astype(np.float64)


def _along(lat: Array, lon: Array) -> Array:
    steps = great_circle_km(lat[:-1], lon[:-1], lat[1:], lon[1:])
    return np.concatenate([[0.0], np.cumsum(steps)])


def _nearest_to_middle(complete: npt.ArrayLike) -> int | None:
    indices = np.flatnonzero(complete)
    if indices.size == 0:
        return None
    return int(indices[np.argmin(np.abs(indices - np.size(complete) // 2))])
