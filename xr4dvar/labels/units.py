"""Units of axes, and lengths that users write with a unit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from xr4dvar.errors import Problems
from xr4dvar.labels.roles import ALIASES, by_role
from xr4dvar.types import Role

if TYPE_CHECKING:
    from xr4dvar.labels.grid import Grid

Unit: TypeAlias = Literal["day", "degree", "m", "km", "1"]

#: A length as a user may write it.
UserLength: TypeAlias = str | float | timedelta | np.timedelta64

_SPELLINGS: dict[tuple[Unit, float], tuple[str, ...]] = {
    ("m", 1.0): ("m", "meter", "meters", "metre", "metres"),
    ("km", 1.0): ("km", "kilometer", "kilometers", "kilometre", "kilometres"),
    ("degree", 1.0): ("degree", "degrees", "deg", "°"),
    ("degree", 180.0 / math.pi): ("radian", "radians", "rad"),
    ("day", 1.0): ("d", "day", "days"),
    ("day", 1.0 / 24): ("h", "hr", "hour", "hours"),
    ("day", 1.0 / 1440): ("min", "minute", "minutes"),
    ("day", 1.0 / 86400): ("s", "sec", "second", "seconds"),
}
_UNITS = {text: unit for unit, texts in _SPELLINGS.items() for text in texts}
_QUANTITY = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?|[-+]?inf|nan)\s*([a-zA-Z_°]+)\s*")
_METRES = {"m": 1.0, "km": 1000.0}


def axis_unit(text: str) -> tuple[Unit, float] | None:
    """Canonical unit of an axis and the factor to it; None for a unit this package does not know.

    Examples
    --------
    >>> from xr4dvar.labels.units import axis_unit
    >>> axis_unit("degrees_north"), axis_unit("hours")
    (('degree', 1.0), ('day', 0.041666666666666664))
    """
    text = text.strip().lower()
    direction = r"^(deg(?:ree)?s?)[ _]*(north|south|east|west|n|e)$"
    return _UNITS.get(re.sub(direction, r"\1", text))


@dataclass(frozen=True)
class Lengths:
    """Lengths in the numbers of a grid.

    Parameters
    ----------
    values : mapping of role to float
        Length along each axis.
    units : mapping of role to str
        Unit of each value: that of the axis, or "km" for y and x if `metric`.
    metric : bool
        The y and x lengths are one and the same distance in km on the sphere, while the grid is
        in degrees. False: every length is in the units of its axis.

    Examples
    --------
    >>> from xr4dvar.labels import Lengths
    >>> Lengths({"time": 7.0}, {"time": "day"})
    Lengths(values={'time': 7.0}, units={'time': 'day'}, metric=False)
    """

    values: Mapping[Role, float]
    units: Mapping[Role, Unit]
    metric: bool = False


def parse_length(
    length: UserLength | Mapping[str, UserLength], grid: Grid, what: str = "length"
) -> Lengths:
    """Turn lengths with units into the numbers of a grid.

    Parameters
    ----------
    length : mapping by dimension name or alias, or one value for y and x
        Along time a duration (``"7D"``, ``"12h"``, a timedelta), along degrees a number or
        ``"1 degree"``, or along latitude and longitude ``"100 km"`` for both; along m, km or
        radians a text with its unit; along an axis without units a number. Where only one of y
        and x is given, both use it. An axis of one point needs none.
    grid : Grid
        The grid.
    what : str
        Name of the argument, for messages.

    Returns
    -------
    Lengths
        One value for every axis of the grid that has more than one point.

    Raises
    ------
    InputError
        With every length that is missing, ambiguous, of another unit, or not positive.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes, make_grid, parse_length
    >>> obs = xr.DataArray(np.zeros((3, 4)), dims=("lat", "lon"),
    ...                    coords={"lat": [40., 41, 42], "lon": [0., 1, 2, 3]})
    >>> parse_length("100 km", make_grid(obs, find_axes(obs)))
    Lengths(values={'y': 100.0, 'x': 100.0}, units={'y': 'km', 'x': 'km'}, metric=True)
    """
    given = _complete(length, grid, what)
    problems = Problems()
    lengths: dict[Role, tuple[float, Unit]] = {}
    for role in grid.roles:
        label = f"{what} along {grid[role].name!r}"
        if role not in given:
            if grid[role].size == 1:  # nothing to correlate along it
                continue
            fix = f'add "{ALIASES[role][0]}": {_example(grid, role)}'
            problems.add(f"{label} is missing", fix)
            continue
        if (pair := parse_along(given[role], role, grid, label, problems)) is not None:
            lengths[role] = pair
    metric = _check_metric(lengths, grid, what, problems)
    problems.raise_if_any()
    return Lengths(
        {role: value for role, (value, _) in lengths.items()},
        {role: unit for role, (_, unit) in lengths.items()},
        metric,
    )


def parse_along(
    length: UserLength, role: Role, grid: Grid, label: str, problems: Problems
) -> tuple[float, Unit] | None:
    """A length along one axis and its unit: that of the axis, or "km" along degrees of a sphere.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import find_axes, make_grid
    >>> from xr4dvar.labels.units import parse_along
    >>> obs = xr.DataArray(np.zeros(2), dims="x", coords={"x": ("x", [0, 5], {"units": "km"})})
    >>> parse_along("3000 m", "x", make_grid(obs, find_axes(obs)), "length along 'x'", Problems())
    (3.0, 'km')
    """
    parse = _parse_time if grid[role].units == "day" else _parse_distance
    pair = parse(length, label, grid, role, problems)
    if pair is not None and not (math.isfinite(pair[0]) and pair[0] > 0):
        problems.add(f"{label} is {length!r}", "give a positive, finite length")
        return None
    return pair


def _complete(
    length: UserLength | Mapping[str, UserLength], grid: Grid, what: str
) -> dict[Role, UserLength]:
    """By axis; a single value, or one given for only one of y and x, counts for both."""
    if isinstance(length, Mapping):
        given = by_role(length, grid.axes, what)
    else:
        space: tuple[Role, ...] = tuple(role for role in grid.roles if role != "time")
        given = dict.fromkeys(space or grid.roles, length)
    if {"y", "x"} <= set(grid.roles) and grid["y"].units == grid["x"].units:
        if "y" in given:
            given.setdefault("x", given["y"])
        if "x" in given:
            given.setdefault("y", given["x"])
    return given


def _parse_time(
    length: UserLength, label: str, grid: Grid, role: Role, problems: Problems
) -> tuple[float, Unit] | None:
    import pandas as pd

    text = length.strip() if isinstance(length, str) else length
    bare = isinstance(text, int | float | np.number) and not isinstance(text, np.timedelta64)
    if bare or _is_number(text):
        problems.add(f"{label} has no unit: {length!r}", f"say the unit, for example '{length}D'")
        return None
    if isinstance(text, str):
        text = re.sub(r"(?<![a-zA-Z])d$", "D", text)  # pandas gives up "7d" for "7D"
    try:
        days = pd.Timedelta(text) / pd.Timedelta(1, "D")
    except (ValueError, TypeError, OverflowError):
        problems.add(f"{label} is no duration: {length!r}", f"for example {_example(grid, role)}")
        return None
    return float(days), "day"


def _parse_distance(
    length: UserLength, label: str, grid: Grid, role: Role, problems: Problems
) -> tuple[float, Unit] | None:
    unit, example = grid[role].units, _example(grid, role)
    if isinstance(length, str) and not _is_number(length):
        match = _QUANTITY.fullmatch(length)
        known = axis_unit(match[2]) if match else None
        if match is None or known is None or not _is_number(match[1]):
            problems.add(f"{label} is no length: {length!r}", f"for example {example}")
            return None
        value = float(match[1]) * known[1]
        return _convert(value, known[0], label, grid, role, problems)
    if isinstance(length, timedelta | np.timedelta64):
        problems.add(f"{label} is a duration: {length!r}", f"for example {example}")
        return None
    try:
        value = float(length)
    except (TypeError, ValueError, OverflowError):
        problems.add(f"{label} is no length: {length!r}", f"for example {example}")
        return None
    if unit in _METRES or grid[role].converted:
        problems.add(f"{label} has no unit: {length!r}", f"say the unit, for example {example}")
        return None
    return value, unit


def _convert(
    value: float, unit: Unit, label: str, grid: Grid, role: Role, problems: Problems
) -> tuple[float, Unit] | None:
    target = grid[role].units
    if unit == target:
        return value, unit
    if unit in _METRES and target in _METRES:
        return value * _METRES[unit] / _METRES[target], target
    if unit in _METRES and grid.geographic:
        return value * _METRES[unit] / 1000.0, "km"
    fix = f"give it as {_example(grid, role)}"
    name = grid[role].name
    if target == "1" and role != "time":
        fix += f", or set the units of {name!r} in its attrs"
    elif unit in _METRES and target == "degree" and grid[role].sphere is None:
        true = {"y": "latitude", "x": "longitude"}.get(role)
        fix += (
            f"; if {name!r} holds {true}s, set obs[{name!r}].attrs['standard_name'] = {true!r}; "
            "if these are scan angles, keep the height of the satellite, "
            "xr.open_dataset(..., decode_coords='all')"
        )
    problems.add(f"{label} is in {unit}, the axis is in {target}", fix)
    return None


def _check_metric(
    lengths: Mapping[Role, tuple[float, Unit]], grid: Grid, what: str, problems: Problems
) -> bool:
    """One distance on the sphere for y and x, or none at all."""
    if not grid.geographic:
        return False
    metric = {role: lengths[role][1] == "km" for role in ("y", "x") if role in lengths}
    if len(metric) == 2 and any(metric.values()):
        if not all(metric.values()):
            problems.add(f"{what} mixes km and degrees", "give y and x both in km or in degrees")
        elif lengths["y"][0] != lengths["x"][0]:
            problems.add(
                f"{what} in km differs between y ({lengths['y'][0]:g}) and x ({lengths['x'][0]:g})",
                "give one distance for both, or two lengths in degrees",
            )
    return any(metric.values())


def _example(grid: Grid, role: Role) -> str:
    angle = "'1 degree'" if grid[role].converted else "1.0"
    examples = {"day": "'7D'", "degree": angle, "m": "'100 km'", "km": "'100 km'", "1": "10.0"}
    return examples[grid[role].units]


def _is_number(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
