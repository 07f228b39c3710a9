"""The coordinate of one axis: numbers that ascend, with a unit and a spacing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.evidence import is_latitude_or_longitude
from xr4dvar.labels.times import to_days
from xr4dvar.labels.units import Unit, axis_unit
from xr4dvar.types import Labelled, Role

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

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> obs = xr.DataArray(np.zeros(3), dims="lat", coords={"lat": [42.0, 41.0, 40.0]})
    >>> lat = make_grid(obs, find_axes(obs))["y"]
    >>> lat.values, lat.units, lat.spacing, lat.descending
    (array([40., 41., 42.]), 'degree', 1.0, True)
    """

    name: str
    values: npt.NDArray[np.float64]
    units: Unit
    spacing: float
    uniform: bool
    descending: bool = False
    period: float | None = None
    named: bool = False
    labels: tuple[str, ...] = ()

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
    read = to_days if role == "time" else to_numbers
    numbers = read(obs.coords[name], problems)
    if numbers is None:
        return None
    values, units = numbers
    if units == "1" and role != "time" and is_latitude_or_longitude(role, obs.coords[name]):
        units = "degree"
    if role == "x" and units == "degree":
        values = _unwrap(name, values)
    if role == "y" and units == "degree" and np.nanmax(np.abs(values), initial=0) > 90.01:
        worst = values[np.nanargmax(np.abs(values))]
        problems.add(
            f"{name!r} has latitude {worst:g}, outside -90 to 90",
            'mend it, or say which axis is which with dims={"lat": ..., "lon": ...}',
        )
    return from_values(name, values, units, problems)


def from_values(
    name: str, values: npt.NDArray[np.float64], units: Unit, problems: Problems
) -> Coordinate | None:
    """Build a coordinate from values that ascend or descend, or say why they do neither.

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
            f"drop them, obs.isel({name}=np.isfinite(...)), or mend the coordinate",
        )
        return None
    steps = np.diff(values)
    descending = bool(steps.size and np.all(steps < 0))
    if steps.size and not descending and not np.all(steps > 0):
        _add_disorder(name, values, problems)
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
    >>> lon = from_values("lon", np.arange(0.0, 360.0, 90.0), "degree", Problems())
    >>> with_period(lon, "x", "lon", Problems()).period
    360.0
    """
    name, degrees = coordinate.name, coordinate.units == "degree"
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


def to_numbers(
    coordinate: xr.DataArray, problems: Problems
) -> tuple[npt.NDArray[np.float64], Unit] | None:
    """Values of a coordinate in space as float64, with their unit; None after a problem."""
    if coordinate.dtype.kind not in "iuf":
        problems.add(
            f"{coordinate.name!r} holds {coordinate.dtype} values, not numbers",
            f"give numbers with obs.assign_coords({coordinate.name}=...)",
        )
        return None
    text = str(coordinate.attrs.get("units", ""))
    unit, factor = axis_unit(text) or ("1", 1.0)
    if unit == "day":
        unit, factor = "1", 1.0
    if unit == "1" and text not in ("", "1"):
        logger.info("unit %r of %r is not known: taken as plain numbers", text, coordinate.name)
    return coordinate.to_numpy().astype(np.float64) * factor, unit


def _unwrap(name: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
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


def _add_disorder(name: str, values: npt.NDArray[np.float64], problems: Problems) -> None:
    unique, counts = np.unique(values, return_counts=True)
    if (counts > 1).any():
        first = unique[counts > 1][0]
        places = np.flatnonzero(values == first)[:2]
        problems.add(
            f"{name!r} has the same value twice: entries {places[0]} and {places[1]} "
            f"({(counts > 1).sum()} values in all)",
            f"obs.drop_duplicates({name!r}), or obs.groupby({name!r}).mean()",
        )
    else:
        steps = np.diff(values)
        turn = int(np.flatnonzero(np.sign(steps) != np.sign(steps[0]))[0]) + 1
        problems.add(
            f"{name!r} neither ascends nor descends: it turns at entry {turn}",
            f"obs.sortby({name!r})",
        )
