"""Angles on an axis: which are latitudes and longitudes, and what a scan angle is in km."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.evidence import is_latitude_or_longitude
from xr4dvar.labels.units import axis_unit
from xr4dvar.types import FloatArray, Role

#: Latitudes beyond the poles by no more than this are rounding.
POLE = 90.01
_SCANNED = {
    f"projection_{axis}_{kind}" for axis in "xy" for kind in ("coordinate", "angular_coordinate")
}


def degrees_factor(coordinate: xr.DataArray, problems: Problems) -> float | None:
    """Factor from the numbers of a latitude or longitude to degrees; None after a problem.

    Without units they are in degrees.

    Examples
    --------
    >>> from xr4dvar.labels.angles import degrees_factor
    >>> lat = xr.DataArray([0.5], name="clat", attrs={"units": "radian"})
    >>> round(degrees_factor(lat, Problems()), 2)
    57.3
    """
    text = str(coordinate.attrs.get("units", "")).strip()
    unit, factor = axis_unit(text) or ("1", 1.0)
    if unit == "degree":
        return factor
    if text in ("", "1") or any(word in text.lower() for word in ("deg", "°", "º")):
        return 1.0
    problems.add(
        f"{coordinate.name!r} holds latitudes or longitudes in {text!r}",
        f"convert it to degrees, obs[{coordinate.name!r}].attrs['units'] = 'degrees'",
    )
    return None


def check_latitudes(name: object, values: FloatArray, problems: Problems, fix: str) -> bool:
    """Note latitudes beyond the poles, in degrees; missing ones are left alone."""
    size = np.where(np.isfinite(values), np.abs(values), 0.0)
    if not size.size or size.max() <= POLE:
        return True
    worst = values.flat[int(np.argmax(size))]
    problems.add(f"{name!r} has latitude {worst:g}, outside -90 to 90", fix)
    return False


def satellite_height_km(coords: xr.Coordinates, coordinate: xr.DataArray) -> float | None:
    """Height of the satellite by which a scan angle in radians becomes km below the satellite.

    Parameters
    ----------
    coords : xarray.Coordinates
        Holds the grid mapping, where it was kept.
    coordinate : xarray.DataArray
        The coordinate of an axis.

    Returns
    -------
    float or None
        ``perspective_point_height`` of the geostationary grid mapping; None where the coordinate
        is no scan angle, or there is no such grid mapping, or several.

    References
    ----------
    CF conventions, appendix F, geostationary projection.

    Examples
    --------
    >>> from xr4dvar.labels.angles import satellite_height_km
    >>> mapping = {"grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0}
    >>> y = ("y", [0.1, 0.2], {"standard_name": "projection_y_coordinate", "units": "rad"})
    >>> image = xr.DataArray([0.0, 1.0], dims="y", coords={"y": y, "goes": ((), 0, mapping)})
    >>> satellite_height_km(image.coords, image.y)
    35786.023
    """
    if coordinate.attrs.get("standard_name") not in _SCANNED:
        return None
    found = set()
    for other in coords.values():
        if other.attrs.get("grid_mapping_name") == "geostationary":
            try:
                found.add(float(other.attrs["perspective_point_height"]) / 1000.0)
            except (KeyError, TypeError, ValueError):
                continue
    heights = [height for height in found if math.isfinite(height) and height > 0]
    return heights[0] if len(heights) == 1 else None


def is_bare_angle(role: Role, coordinate: xr.DataArray, coords: xr.Coordinates) -> bool:
    """Whether a coordinate holds angles that say nothing of distances on the ground."""
    unit = axis_unit(str(coordinate.attrs.get("units", "")))
    if role == "time" or unit is None or unit[0] != "degree":
        return False
    if is_latitude_or_longitude(role, coordinate):
        return False
    return satellite_height_km(coords, coordinate) is None
