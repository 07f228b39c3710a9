"""What coordinates and dimension names say about which axis they are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from xr4dvar.types import ROLES, Role

_LATITUDE = r"([turx]|nav_|grid_|geo_?)?lat(itude)?s?(_[a-z0-9]+|\d+)?|gphi[a-z]"
_LONGITUDE = r"([turx]|nav_|grid_|geo_?)?lon(g|gitude)?s?(_[a-z0-9]+|\d+)?|glam[a-z]"
_NAMES: dict[Role, str] = {
    "time": r"times?|t|nt|dates?|days?|hours?|weeks?|months?|years?|xtime|ocean_time|valid_time"
    r"|time_[a-z0-9]+",
    "y": _LATITUDE + r"|y|y[chqtuv]|y_[a-z0-9]+|j|nj|nlat|northings?|south_north(_stag)?|eta_[a-z]+"
    r"|projection_y_coordinate|rows?|num_lines",
    "x": _LONGITUDE + r"|x|x[chqtuv]|x_[a-z0-9]+|i|ni|nlon|eastings?|west_east(_stag)?|xi_[a-z]+"
    r"|projection_x_coordinate|cols?|columns?|num_pixels",
}
_BATCH_NAMES = (
    r"members?|ensembles?|ens|realizations?|number|samples?|batch|windows?|runs?|cases?|models?"
    r"|sources?|experiments?|variables?|components?|states?|channels?|bands?|(nav_|o)?levs?(_\w+)?"
    r"|levels?|z|z_\w+|s_\w+|depth\w*|altitude|height|pressure|plev|isobaric\w*|sigma|bottom_top"
    r"|step|lead_?time|init_?time|forecast_reference_time|reftime"
)
_ROTATED = r"(rlat|rlon|grid_lat|grid_lon)(itude|gitude)?"
#: Attributes by which CF, and cf-xarray, recognise an axis.
_CF_ATTRS = (
    "axis", "standard_name", "units", "positive", "long_name",
    "_CoordinateAxisType", "cartesian_axis", "grads_dim",
)  # fmt: skip
_NORTH_OR_EAST: dict[Role, str] = {
    "y": r"deg(ree)?s?[ _]*n(orth)?",
    "x": r"deg(ree)?s?[ _]*e(ast)?",
}
_CF_KEYS: dict[Role, tuple[str, str]] = {
    "time": ("T", "time"),
    "y": ("Y", "latitude"),
    "x": ("X", "longitude"),
}


@dataclass(frozen=True)
class Hint:
    """One piece of evidence that a dimension is an axis.

    Parameters
    ----------
    role : {"time", "y", "x"}
        The axis.
    dim : str
        The dimension that the evidence points to.
    dims : tuple of str
        Dimensions of the coordinate: one, or (y, x) for a 2-D latitude or longitude.
    coordinate : str or None
        The coordinate, None for a dimension without one.
    how : {"cf", "guess"}
        CF attributes, or names, units and dtypes.
    """

    role: Role
    dim: str
    dims: tuple[str, ...]
    coordinate: str | None
    how: Literal["cf", "guess"]

    @property
    def strength(self) -> int:
        """3: the dimension's own coordinate or name, 2: a 2-D coordinate, 1: an auxiliary one."""
        if self.coordinate is None or self.coordinate == self.dim:
            return 3
        return len(self.dims)


def looks_like(role: Role, name: object) -> bool:
    """Whether a name is a usual one for the axis."""
    return re.fullmatch(_NAMES[role], str(name).lower()) is not None


def sphere_name(role: Role, coordinate: xr.DataArray) -> str | None:
    """Which place on the sphere a coordinate of the y or x axis holds, if it holds one.

    By its ``standard_name``, else by units such as "degrees_north", else by its name. Being in
    degrees alone says nothing: the scan angles of a geostationary image are so too.

    Returns
    -------
    str or None
        "latitude" or "grid_latitude" (that of a rotated pole) along y, "longitude" or
        "grid_longitude" along x, as CF names them.

    Examples
    --------
    >>> from xr4dvar.labels.evidence import sphere_name
    >>> attrs = {"units": "rad", "standard_name": "projection_y_coordinate"}
    >>> sphere_name("y", xr.DataArray([0.1], dims="lat", attrs=attrs)) is None
    True
    >>> sphere_name("y", xr.DataArray([50.0], dims="j", attrs={"units": "degrees_north"}))
    'latitude'
    """
    if role == "time":
        return None
    true = {"y": "latitude", "x": "longitude"}[role]
    standard_name = str(coordinate.attrs.get("standard_name", "")).strip().lower()
    if standard_name:
        return standard_name if standard_name in (true, f"grid_{true}") else None
    units = str(coordinate.attrs.get("units", "")).strip().lower()
    if re.fullmatch(_NORTH_OR_EAST[role], units):
        return true
    name = str(coordinate.name).lower()
    if re.fullmatch(_LATITUDE if role == "y" else _LONGITUDE, name) is None:
        return None
    return f"grid_{true}" if re.fullmatch(_ROTATED, name) else true


def is_latitude_or_longitude(role: Role, coordinate: xr.DataArray) -> bool:
    """Whether a coordinate holds latitudes (y) or longitudes (x), of a rotated pole too."""
    return sphere_name(role, coordinate) is not None


def is_time_like(coordinate: xr.DataArray) -> bool:
    """Whether the values are dates or durations: datetime64, timedelta64 or cftime."""
    if coordinate.dtype.kind in "mM":
        return True
    if coordinate.dtype != object or coordinate.ndim != 1 or coordinate.size == 0:
        return False
    return hasattr(coordinate.variable[0].values.item(), "calendar")


def is_batch_name(name: str, coords: xr.Coordinates) -> bool:
    """Whether a dimension is one of the usual independent ones: member, window, depth..."""
    attrs = coords[name].attrs if name in coords else {}
    vertical = attrs.get("axis") == "Z" or "positive" in attrs
    member = attrs.get("standard_name") == "realization"
    return vertical or member or re.fullmatch(_BATCH_NAMES, name.lower()) is not None


def orient(dims: Iterable[str]) -> tuple[str, str]:
    """Dimensions (y, x) of a 2-D coordinate: as their names say, else in their own order."""
    first, second = dims
    if (looks_like("x", first) and not looks_like("y", first)) or (
        looks_like("y", second) and not looks_like("x", second)
    ):
        return second, first
    return first, second


def cf_hints(coords: xr.Coordinates, dims: tuple[str, ...]) -> list[Hint]:
    """Evidence from CF attributes (axis, standard_name, units), as cf-xarray reads them."""
    import cf_xarray  # noqa: F401  registers the accessor used below

    known = coords.to_dataset().copy()
    for name in known.coords:  # other attributes, if malformed, are of no concern
        attrs = known[name].attrs
        known[name].attrs = {key: attrs[key] for key in _CF_ATTRS if key in attrs}
    cf = known.cf
    axes, coordinates = cf.axes, cf.coordinates
    hints = []
    for role, (axis, coordinate) in _CF_KEYS.items():
        names = dict.fromkeys([*axes.get(axis, []), *coordinates.get(coordinate, [])])
        for name in names:
            hints += _hints(role, coords[name], dims, "cf")
    return hints


def guessed_hints(coords: xr.Coordinates, dims: tuple[str, ...]) -> list[Hint]:
    """Evidence from names and dtypes of coordinates, and from names of bare dimensions."""
    hints = []
    for role in ROLES:
        for name, coordinate in coords.items():
            if coordinate.ndim == 2:
                fits = is_latitude_or_longitude(role, coordinate)
            else:
                fits = looks_like(role, name) or (role == "time" and is_time_like(coordinate))
            if fits:
                hints += _hints(role, coordinate, dims, "guess")
        for dim in dims:
            if dim not in coords and looks_like(role, dim):
                hints.append(Hint(role, dim, (dim,), None, "guess"))
    return hints


def _hints(
    role: Role, coordinate: xr.DataArray, dims: tuple[str, ...], how: Literal["cf", "guess"]
) -> list[Hint]:
    own = tuple(str(dim) for dim in coordinate.dims)
    if not set(own) <= set(dims) or (how == "guess" and coordinate.dtype.kind in "UST"):
        return []
    if len(own) == 1:
        return [Hint(role, own[0], own, str(coordinate.name), how)]
    if len(own) == 2 and role != "time":
        pair = orient(own)
        return [Hint(role, pair[0] if role == "y" else pair[1], pair, str(coordinate.name), how)]
    return []
