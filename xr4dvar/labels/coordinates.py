"""The coordinate of one axis: numbers that ascend, with a unit and a spacing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.angles import check_latitudes, degrees_factor, satellite_height_km
from xr4dvar.labels.decoding import check_decoded
from xr4dvar.labels.evidence import sphere_name
from xr4dvar.labels.indexes import text_of_index
from xr4dvar.labels.times import check_resolution, decode_dates, to_days
from xr4dvar.labels.units import Unit, axis_unit
from xr4dvar.types import FloatArray, Labelled, Role

logger = logging.getLogger("xr4dvar")

#: Spacings that differ from their median by less than this share count as equal.
UNIFORM_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Coordinate:
    """Where the points of one axis are.

    Parameters
    ----------
    name : str
        The coordinate, or the dimension where it has none.
    values : numpy.ndarray of float64, shape (n,)
        Ascending. Longitudes that cross the dateline go on past 180 or 360.
    units : {"day", "degree", "m", "km", "1"}
        Unit of the values; "day" counts from 2000-01-01 for dates.
    spacing : float
        Median distance of neighbours; 1.0 for a single point.
    uniform : bool
        Whether all distances are within 1 % of the spacing.
    descending : bool
        Whether the user's array runs the other way.
    period : float or None
        Length after which a periodic axis repeats.
    named : bool
        Whether the points are told apart by names: things of different kinds, not places.
    labels : tuple of str
        Those names.
    sphere : str or None
        What places the points on the sphere, in degrees: "latitude", "longitude", or
        "grid_latitude", "grid_longitude" of a rotated pole. None for other angles too.
    converted : bool
        Whether the user's own numbers are in another unit, such as radians.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> obs = xr.DataArray(np.zeros(3), dims="lat", coords={"lat": [42.0, 41.0, 40.0]})
    >>> lat = make_grid(obs, find_axes(obs))["y"]
    >>> lat.values, lat.units, lat.spacing, lat.descending
    (array([40., 41., 42.]), 'degree', 1.0, True)
    """

    name: str
    values: FloatArray
    units: Unit
    spacing: float
    uniform: bool
    descending: bool = False
    period: float | None = None
    named: bool = False
    labels: tuple[str, ...] = ()
    sphere: str | None = None
    converted: bool = False

    @property
    def size(self) -> int:
        """Number of points."""
        return self.values.size


def read_coordinate(
    obs: Labelled, role: Role, dim: str, name: str | None, problems: Problems
) -> Coordinate | None:
    """Read the 1-D coordinate of an axis; grid points are counted where there is none.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        The data.
    role : {"time", "y", "x"}
        The axis.
    dim : str
        Its dimension.
    name : str or None
        Its coordinate.
    problems : Problems
        Gets what makes the coordinate useless.

    Returns
    -------
    Coordinate or None
        None after a problem.
    """
    if name is None:
        logger.info("%r has no coordinate: its points are counted", dim)
        return from_values(dim, np.arange(obs.sizes[dim], dtype=np.float64), "1", problems)
    if role != "time" and obs.coords[name].dtype.kind in "UT":
        logger.info("%r holds names: they are counted", name)
        labels = tuple(map(str, obs.coords[name].values))
        counted = from_values(name, np.arange(obs.sizes[dim], dtype=np.float64), "1", problems)
        return None if counted is None else replace(counted, named=True, labels=labels)
    coordinate = obs.coords[name]
    if role != "time":
        return _read_place(obs, role, dim, coordinate, problems)
    dates = decode_dates(coordinate, problems)
    numbers = None if dates is None else to_days(dates, problems)
    if dates is None or numbers is None or not check_resolution(dates, numbers[0], problems):
        return None
    return from_values(name, *numbers, problems, dim=dim)


def _read_place(
    obs: Labelled, role: Role, dim: str, coordinate: xr.DataArray, problems: Problems
) -> Coordinate | None:
    numbers = to_numbers(coordinate, problems)
    if numbers is None:
        return None
    name, (values, units) = str(coordinate.name), numbers
    sphere = sphere_name(role, coordinate) if units in ("degree", "1") else None
    converted = False
    if sphere is not None:
        factor = degrees_factor(coordinate, problems)
        fix = 'mend it, or say which axis is which with dims={"lat": ..., "lon": ...}'
        if factor is None or (role == "y" and not check_latitudes(name, values, problems, fix)):
            return None
        units, converted = "degree", factor != 1.0
        values = _unwrap(name, values) if role == "x" else values
    elif units == "degree":
        values, units, converted = _scanned(obs, coordinate, values)
    read = from_values(name, values, units, problems, dim=dim)
    return None if read is None else replace(read, sphere=sphere, converted=converted)


def _scanned(
    obs: Labelled, coordinate: xr.DataArray, values: FloatArray
) -> tuple[FloatArray, Unit, bool]:
    """Angles that are no latitudes: km where the height of the satellite is known."""
    height = satellite_height_km(obs.coords, coordinate)
    if height is None:
        logger.info("%r holds angles, neither latitudes nor longitudes", coordinate.name)
        own = axis_unit(str(coordinate.attrs.get("units", "")))
        return values, "degree", own is not None and own[1] != 1.0
    logger.warning(
        "%r holds scan angles: taken as km right below the satellite, %.0f km high; "
        "distances on the ground are larger towards the edge of the disk",
        coordinate.name, height,
    )  # fmt: skip
    return np.deg2rad(values) * height, "km", True


def from_values(
    name: str, values: FloatArray, units: Unit, problems: Problems, *, dim: str | None = None
) -> Coordinate | None:
    """Build a coordinate from values that ascend or descend, or say why they do neither.

    `dim` is its dimension, where that has another name.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels.coordinates import from_values
    >>> from_values("x", np.array([0.0, 2.0, 4.0]), "km", Problems()).spacing
    2.0
    """
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        problems.add(
            f"{name!r} is missing or infinite at {bad.size} of {values.size} points, "
            f"first at {bad[0]}",
            f"drop them, obs.isel({dim or name}=np.isfinite(obs[{name!r}].values)), or mend them",
        )
        return None
    steps = np.diff(values)
    descending = bool(steps.size and np.all(steps < 0))
    if steps.size and not descending and not np.all(steps > 0):
        _add_disorder(name, dim or name, values, problems)
        return None
    if descending:
        values, steps = values[::-1].copy(), -steps  # torch takes no negative strides
    spacing = float(np.median(steps)) if steps.size else 1.0
    uniform = bool(np.all(np.abs(steps - spacing) <= UNIFORM_TOLERANCE * spacing))
    return Coordinate(name, values, units, spacing, uniform, descending)


def with_period(coordinate: Coordinate, role: Role, dim: str, problems: Problems) -> Coordinate:
    """The same coordinate, closed on itself: 360 degrees for longitude, else n spacings.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels.coordinates import from_values, with_period
    >>> x = from_values("x", np.arange(0.0, 4.0), "km", Problems())
    >>> with_period(x, "x", "x", Problems()).period
    4.0
    """
    name, degrees = coordinate.name, coordinate.sphere is not None
    if role == "y" and degrees:
        problems.add(f"{name!r} is a latitude and cannot be periodic", "leave it out of periodic")
        return coordinate
    if coordinate.size < 2 or not coordinate.uniform:
        problems.add(
            f"{name!r} cannot be periodic: its points are not evenly spaced",
            f"interpolate to an even {name}, or leave it out of periodic",
        )
        return coordinate
    values, n = coordinate.values, coordinate.size
    spacing = (values[-1] - values[0]) / (n - 1)
    period = 360.0 if degrees else n * spacing
    if abs(n * spacing - period) > spacing / 2:
        once_more = abs((n - 1) * spacing - period) <= spacing / 2
        fix = (
            f"drop the column that is there twice, obs.isel({dim}=slice(None, -1))"
            if once_more
            else "leave it out of periodic"
        )
        problems.add(
            f"{name!r} does not close: {n} points {spacing:g} apart span {n * spacing:g}, not 360",
            fix,
        )
        return coordinate
    return replace(coordinate, period=float(period))


def to_numbers(coordinate: xr.DataArray, problems: Problems) -> tuple[FloatArray, Unit] | None:
    """Values of a coordinate in space as float64, with their unit; None after a problem."""
    if coordinate.dtype.kind not in "iuf":
        problems.add(
            f"{coordinate.name!r} holds {coordinate.dtype} values, not numbers",
            f"give numbers with obs.assign_coords({coordinate.name}=({coordinate.dims!r}, ...))",
        )
        return None
    if not check_decoded(None, coordinate, problems):
        return None
    text = str(coordinate.attrs.get("units", ""))
    unit, factor = axis_unit(text) or ("1", 1.0)
    if unit == "day":
        unit, factor = "1", 1.0
    if unit == "1" and text not in ("", "1"):
        logger.info("unit %r of %r is not known: taken as plain numbers", text, coordinate.name)
    return coordinate.to_numpy().astype(np.float64) * factor, unit


def _unwrap(name: str, values: FloatArray) -> FloatArray:
    """Longitudes across the dateline (179, -180) as numbers that go on (179, 180)."""
    steps = np.diff(values)
    if not np.isfinite(values).all() or (steps > 0).all() or (steps < 0).all():
        return values
    turns = np.round((np.unwrap(values, period=360.0) - values) / 360.0)
    unwrapped = values + 360.0 * turns
    steps = np.diff(unwrapped)
    if (steps > 0).all() or (steps < 0).all():
        logger.info("%r crosses the dateline: taken as %g to %g", name, *unwrapped[[0, -1]])
        return np.asarray(unwrapped)
    return values


def _add_disorder(name: str, dim: str, values: FloatArray, problems: Problems) -> None:
    unique, counts = np.unique(values, return_counts=True)
    if (counts > 1).any():
        indexed = text_of_index(dim, name)
        first = unique[counts > 1][0]
        places = np.flatnonzero(values == first)[:2]
        problems.add(
            f"{name!r} has the same value twice: entries {places[0]} and {places[1]} "
            f"({(counts > 1).sum()} values in all)",
            f"{indexed}.drop_duplicates({name!r}), or obs.groupby({name!r}).mean()",
        )
    else:
        steps = np.diff(values)
        turn = int(np.flatnonzero(np.sign(steps) != np.sign(steps[0]))[0]) + 1
        problems.add(
            f"{name!r} neither ascends nor descends: it turns at entry {turn}",
            f"obs.sortby({name!r})",
        )
