"""Scattered observations: where they are, in the numbers of the grid that they are mapped to."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr4dvar.errors import InputError, Problems
from xr4dvar.labels.angles import check_latitudes, degrees_factor
from xr4dvar.labels.axes import find_axes
from xr4dvar.labels.companions import without_companions
from xr4dvar.labels.coordinates import to_numbers
from xr4dvar.labels.evidence import is_time_like, sphere_name
from xr4dvar.labels.grid import Grid
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.labels.times import decode_dates, to_days
from xr4dvar.labels.units import Unit
from xr4dvar.types import DimsMapping, FloatArray, Labelled, Role

__all__ = ["point_positions", "target_grid"]

_CALLED = {
    "time": "time",
    "latitude": "latitude (y)",
    "longitude": "longitude (x)",
    "grid_latitude": "latitude on the rotated grid (y)",
    "grid_longitude": "longitude on the rotated grid (x)",
}


def target_grid(grid: object, dims: DimsMapping | None = None) -> xr.DataArray:
    """An empty array on a grid that may come as an array, a Dataset, or one of coordinates only.

    Raises
    ------
    InputError
        If the grid is none of one-dimensional coordinates.

    Examples
    --------
    >>> from xr4dvar.labels import target_grid
    >>> grid = xr.Dataset(coords={"lat": [1.0, 2.0], "lon": [0.0, 1.0, 2.0]})
    >>> target_grid(grid).shape
    (2, 3)
    """
    if not isinstance(grid, xr.DataArray | xr.Dataset):
        what = f"grid is a {type(grid).__name__}"
        raise InputError(
            [
                (
                    what,
                    "give a DataArray, or xr.Dataset(coords={'time': ..., 'lat': ..., 'lon': ...})",
                )
            ]
        )
    grid, _ = without_companions(grid)
    shape = tuple(grid.sizes.values())
    empty = xr.DataArray(
        np.broadcast_to(np.float32(np.nan), shape), coords=grid.coords, dims=tuple(grid.sizes)
    )
    axes = find_axes(empty, dims)
    problems = Problems()
    for dim in axes.batch:
        problems.add(
            f"the grid has the dimension {dim!r}, which is no axis",
            f"grid.isel({dim}=0, drop=True)",
        )
    for role, dim in axes.items():
        name = axes.coordinates.get(role)
        if name is None or empty.coords[name].ndim != 1:
            problems.add(
                f"the grid has no one-dimensional coordinate along {dim!r}",
                f"add it, grid.assign_coords({dim}=...)",
            )
    problems.raise_if_any()
    return empty


def point_positions(
    obs: Labelled, grid: Grid, template: xr.DataArray, problems: Problems
) -> dict[Role, FloatArray]:
    """Time, y and x of every observation, flat, in the units of the grid.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        Observations with a coordinate for each axis of the grid, along some or all of their
        dimensions: of the same name, or else the only one that holds dates, latitudes or
        longitudes.
    grid : Grid
    template : xarray.DataArray
        What the grid was made of.
    problems : Problems
        Gets each coordinate that is missing, ambiguous, or of another unit or calendar.
    """
    like = next(iter(named_arrays(obs).values()))
    found: dict[Role, FloatArray] = {}
    for role in grid.roles:
        coordinate = _coordinate(like, grid, role, problems)
        if coordinate is not None:
            flat = coordinate.broadcast_like(like).transpose(*like.dims).to_numpy().ravel()
            flat_dims = like.dims if like.ndim == 1 else ("points",)
            of_each = xr.DataArray(flat, dims=flat_dims, name=coordinate.name)
            of_each.attrs = coordinate.attrs
            values = _numbers(of_each, role, grid, template.coords[grid[role].name], problems)
            if values is not None:
                found[role] = values
    return found


def _coordinate(
    like: xr.DataArray, grid: Grid, role: Role, problems: Problems
) -> xr.DataArray | None:
    name, sphere = grid[role].name, grid[role].sphere
    coords: list[xr.DataArray] = list(like.coords.values())
    for coordinate in coords:
        if coordinate.name == name:
            return coordinate
    if role == "time":
        fits = [c for c in coords if is_time_like(c)]
    else:
        fits = [c for c in coords if sphere is not None and sphere_name(role, c) == sphere]
    if len(fits) == 1:
        return fits[0]
    have = ", ".join(repr(str(c.name)) for c in fits) if fits else "none"
    dims = ", ".join(map(repr, like.dims))
    called = _CALLED.get(sphere or role, f"{role} ({name!r})")
    problems.add(
        f"obs needs one coordinate for the {called} of each observation, and has {have}",
        f"name it as the grid does: obs.assign_coords({name}=(({dims}), ...))",
    )
    return None


def _numbers(
    coordinate: xr.DataArray, role: Role, grid: Grid, axis: xr.DataArray, problems: Problems
) -> FloatArray | None:
    """Values in the grid's units; longitudes within half a turn of the grid's middle."""
    sphere = sphere_name(role, coordinate)
    is_time = role == "time"
    read = _times(coordinate, axis, problems) if is_time else _places(coordinate, role, problems)
    if read is None:
        return None
    values, units = read
    if units != grid[role].units:
        problems.add(
            f"{coordinate.name!r} of obs is in {units}, that of the grid in {grid[role].units}",
            "give both in the same units, and say so in their attrs['units']",
        )
        return None
    if sphere is not None and grid[role].sphere not in (None, sphere):
        problems.add(
            f"{coordinate.name!r} of obs holds a {sphere}, that of the grid a {grid[role].sphere}",
            "turn one into the other, or correct its attrs['standard_name']",
        )
        return None
    if role == "x" and grid[role].sphere is not None:
        middle = 0.5 * (grid[role].values[0] + grid[role].values[-1])
        values = middle + (values - middle + 180.0) % 360.0 - 180.0
    return values


def _times(
    coordinate: xr.DataArray, axis: xr.DataArray, problems: Problems
) -> tuple[FloatArray, Unit] | None:
    dates, known = (decode_dates(one, problems) for one in (coordinate, axis))
    if dates is None or known is None:
        return None
    own, other = _calendar(dates), _calendar(known)
    if own is not None and other is not None and own != other:
        problems.add(
            f"{coordinate.name!r} of obs has the calendar {own!r}, the grid {other!r}",
            f"convert one of them, with convert_calendar({other!r})",
        )
        return None
    numbers = to_days(dates, problems)
    if numbers is not None and numbers[1] == "day" and (own is None) != (other is None):
        kinds = ("durations" if one is None else "dates" for one in (own, other))
        problems.add(
            "{!r} of obs holds {}, that of the grid {}".format(coordinate.name, *kinds),
            "give both as dates, or both as durations",
        )
        return None
    return numbers


def _places(
    coordinate: xr.DataArray, role: Role, problems: Problems
) -> tuple[FloatArray, Unit] | None:
    numbers = to_numbers(coordinate, problems)
    if numbers is None or sphere_name(role, coordinate) is None or numbers[1] in ("m", "km"):
        return numbers
    name = str(coordinate.name)
    fix = f"mark them as missing, obs.assign_coords({name}=obs.{name}.where(abs(obs.{name}) <= 90))"
    if degrees_factor(coordinate, problems) is None:
        return None
    if role == "y" and not check_latitudes(name, numbers[0], problems, fix):
        return None
    return numbers[0], "degree"


def _calendar(times: xr.DataArray) -> str | None:
    """Calendar of dates; None for durations and numbers."""
    return str(times.dt.calendar) if is_time_like(times) and times.dtype.kind != "m" else None
