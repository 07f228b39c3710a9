"""The grid of an array: coordinates of its axes, and whether they are on the sphere."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xr4dvar.errors import Problems
from xr4dvar.labels.coordinates import Coordinate, from_values, read_coordinate, with_period
from xr4dvar.labels.curvilinear import distances_km
from xr4dvar.labels.roles import Axes, by_role
from xr4dvar.types import ROLES, Labelled, Role

logger = logging.getLogger("xr4dvar")


@dataclass(frozen=True, eq=False)
class Grid:
    """Coordinates of the axes that are there.

    Parameters
    ----------
    axes : Axes
        Names of the dimensions.
    coordinates : mapping of role to Coordinate
        In canonical order: time, y, x.
    geographic : bool
        Whether y and x are latitude and longitude, also of a rotated pole, in degrees. False for
        a grid with 2-D coordinates, whose y and x are distances in km.
    curvilinear : bool
        Whether it is such a grid.
    observed : Grid, optional
        The grid of the observations, where it is another one: of blocks of these cells.
    kinds : mapping of str to Grid or None
        Kinds of observations that have been put on this grid: their own, or None of scattered ones.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> obs = xr.DataArray(np.zeros((4, 3)), dims=("lon", "lat"),
    ...                    coords={"lon": [0., 90., 180., 270.], "lat": [-1., 0., 1.]})
    >>> grid = make_grid(obs, find_axes(obs), periodic=("lon",))
    >>> grid.shape, grid["x"].period, grid.geographic
    ((3, 4), 360.0, True)
    """

    axes: Axes
    coordinates: Mapping[Role, Coordinate]
    geographic: bool
    curvilinear: bool = False
    observed: Grid | None = None
    kinds: Mapping[str, Grid | None] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The axes that are there, in canonical order."""
        return self.axes.roles

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes that are there, in canonical order, without batch dimensions."""
        return tuple(self[role].size for role in self.roles)

    def __getitem__(self, role: Role) -> Coordinate:
        """The coordinate of an axis."""
        return self.coordinates[role]

    def signature(self) -> dict[str, Any]:
        """What another grid must share with this one to be used with the same model.

        Returns
        -------
        dict
            Plain numbers and texts, ready for JSON; the spacing of a single point is None.
        """
        axes = {
            role: {
                "units": self[role].units,
                "spacing": self[role].spacing if self[role].size > 1 else None,
                "uniform": self[role].uniform,
                "period": self[role].period,
                **({"labels": list(self[role].labels)} if self[role].named else {}),
            }
            for role in self.roles
        }
        return {"geographic": self.geographic, "axes": axes}


def make_grid(obs: Labelled, axes: Axes, periodic: Iterable[str] = ()) -> Grid:
    """Read and check the coordinates of all axes.

    Descending axes are turned round, longitudes across the dateline are unwrapped, dates become
    days since 2000-01-01, and 2-D latitudes and longitudes become distances in km along the
    middle column and row. Only coordinates are read, never data.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        The data.
    axes : Axes
        Its axes, from `find_axes`.
    periodic : iterable of str
        Axes that close on themselves, by dimension name or alias: ``("lon",)``.

    Returns
    -------
    Grid

    Raises
    ------
    InputError
        With every coordinate that is duplicated, unsorted, not finite or does not close.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> time = np.array(["2000-01-01", "2000-01-03"], dtype="M8[ns]")
    >>> obs = xr.DataArray(np.zeros(2), dims="time", coords={"time": time})
    >>> make_grid(obs, find_axes(obs))["time"].values
    array([0., 2.])
    """
    keys = [periodic] if isinstance(periodic, str) else list(periodic)
    closed = by_role(dict.fromkeys(keys, True), axes, "periodic")
    problems = Problems()
    read: dict[Role, Coordinate | None] = {}
    curvilinear = _is_curvilinear(obs, axes, problems)
    if curvilinear:
        read.update(_read_curvilinear(obs, axes, problems))
    for role, dim in axes.items():
        if role not in read:
            name = axes.coordinates.get(role)
            read[role] = read_coordinate(obs, role, dim, name, problems)
    coordinates = {
        role: with_period(coordinate, role, axes.dim(role), problems)
        if role in closed
        else coordinate
        for role in ROLES
        if (coordinate := read.get(role)) is not None
    }
    problems.raise_if_any()
    for role in ROLES[1:]:
        if role in coordinates and not coordinates[role].uniform:
            logger.warning(
                "%r is not evenly spaced, by more than 1 %%: patches take it as if it were",
                coordinates[role].name,
            )
    geographic = all(role in coordinates and coordinates[role].sphere for role in ROLES[1:])
    return Grid(axes, coordinates, geographic, curvilinear)


def _is_curvilinear(obs: Labelled, axes: Axes, problems: Problems) -> bool:
    """Whether y and x share 2-D coordinates; a lone one is a problem."""
    flat = {
        role: name
        for role, name in axes.coordinates.items()
        if role != "time" and obs.coords[name].ndim == 2
    }
    if len(flat) == 1:
        ((role, name),) = flat.items()
        partner = "longitude" if role == "y" else "latitude"
        problems.add(
            f"{name!r} is 2-D but there is no 2-D {partner} beside it",
            f"add it with obs.assign_coords, or drop {name!r} with obs.drop_vars({name!r})",
        )
    return len(flat) > 0


def _read_curvilinear(
    obs: Labelled, axes: Axes, problems: Problems
) -> dict[Role, Coordinate | None]:
    if problems.found:
        return {"y": None, "x": None}
    names = axes.coordinates["y"], axes.coordinates["x"]
    dims = axes.dim("y"), axes.dim("x")
    distances = distances_km(obs, names, dims, problems)
    if distances is None:
        return {"y": None, "x": None}
    return {
        "y": from_values(names[0], distances[0], "km", problems, dim=dims[0]),
        "x": from_values(names[1], distances[1], "km", problems, dim=dims[1]),
    }
