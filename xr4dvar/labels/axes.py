"""Which dimension is time, which is y, which is x."""

from __future__ import annotations

import json
import logging

import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.angles import is_bare_angle
from xr4dvar.labels.evidence import (
    Hint,
    cf_hints,
    guessed_hints,
    is_batch_name,
    is_latitude_or_longitude,
    is_time_like,
    orient,
)
from xr4dvar.labels.roles import ALIASES, ROLE_OF_ALIAS, Axes, How, by_role
from xr4dvar.labels.units import axis_unit
from xr4dvar.types import ROLES, DimsMapping, Labelled, Role

__all__ = ["Axes", "by_role", "find_axes"]

logger = logging.getLogger("xr4dvar")


def find_axes(obs: Labelled, dims: DimsMapping | None = None) -> Axes:
    """Find the time, y and x dimensions of an array.

    In this order: what `dims` says, CF attributes, then a guess by names and dtypes, which is
    logged and kept in ``Axes.how``. Nothing is guessed from the position of a dimension.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        Array to look at. No data variable is read.
    dims : mapping, optional
        Dimension (or coordinate) by axis: ``{"time": "t", "lat": "row", "lon": "col"}``.
        The dimensions that are then still unknown are treated as independent.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        An axis is ambiguous, or a dimension is neither an axis nor a usual independent one.

    Examples
    --------
    >>> from xr4dvar.labels import find_axes
    >>> obs = xr.DataArray(np.zeros((3, 4)), dims=("row", "scene"))
    >>> find_axes(obs, dims={"y": "row"}).batch
    ('scene',)
    """
    problems = Problems()
    sizes = _sizes(obs, problems)
    names = tuple(sizes)
    found, chosen = _given(obs, dims or {}, names, problems)
    problems.raise_if_any()
    how: dict[Role, How] = dict.fromkeys(found, "given")
    hints = cf_hints(obs.coords, names), guessed_hints(obs.coords, names)
    for level in hints:
        for hint in _settle(level, found, bool(dims), problems):
            found[hint.role] = hint.dim
            how[hint.role] = hint.how
    _add_partner(hints[0] + hints[1], found, how)
    problems.raise_if_any()
    rest = tuple(name for name in names if name not in found.values())
    if not dims:
        _check_rest(obs, sizes, found, rest, problems)
    coordinates = {
        role: name
        for role, dim in found.items()
        if (name := chosen.get(role) or _coordinate(obs.coords, role, dim, hints, problems))
    }
    problems.raise_if_any()
    how = {role: how[role] for role in ROLES if role in how}
    for role, way in how.items():
        if way == "guess":
            logger.info("%s axis: dimension %r, guessed; say dims= if it is not", role, found[role])
    return Axes(
        found.get("time"), found.get("y"), found.get("x"), rest, how=how, coordinates=coordinates
    )


def _sizes(obs: Labelled, problems: Problems) -> dict[str, int]:
    arrays = [obs] if isinstance(obs, xr.DataArray) else list(obs.data_vars.values())
    sizes = {dim: size for array in arrays for dim, size in array.sizes.items()}
    for dim, size in sizes.items():
        if not isinstance(dim, str):
            problems.add(
                f"dimension {dim!r} is not named by a string", f"obs.rename({{{dim!r}: 'time'}})"
            )
        elif size == 0:
            problems.add(f"dimension {dim!r} has no entries", "select at least one")
    if not sizes:
        problems.add("obs has no dimensions", "give an array along time, latitude or longitude")
    problems.raise_if_any()
    return {str(dim): size for dim, size in sizes.items()}


def _given(
    obs: Labelled, dims: DimsMapping, names: tuple[str, ...], problems: Problems
) -> tuple[dict[Role, str], dict[Role, str]]:
    """Dimensions, and coordinates where a coordinate was named, that `dims` gives."""
    found: dict[Role, str] = {}
    chosen: dict[Role, str] = {}
    for key, value in dims.items():
        role, name = ROLE_OF_ALIAS.get(key), str(value)
        own = _dims_of(obs, name, names)
        if role is None:
            usual = ", ".join(repr(aliases[0]) for aliases in ALIASES.values())
            problems.add(f"dims: {key!r} is not an axis", f"use the keys {usual}")
        elif not own or (len(own) == 2 and role == "time"):
            problems.add(f"dims: no dimension {name!r}", f"the dimensions are {', '.join(names)}")
        elif role in found:
            problems.add(f"dims: {key!r} names the {role} axis twice", "keep one of the two")
        else:
            dim = own[0] if len(own) == 1 else orient(own)[0 if role == "y" else 1]
            if dim in found.values():
                problems.add(f"dims: {dim!r} is given to two axes", "give each axis its own")
            found[role] = dim
            if name in obs.coords:
                chosen[role] = name
    return found, chosen


def _dims_of(obs: Labelled, name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if name in names:
        return (name,)
    if name not in obs.coords:
        return ()
    own = tuple(str(dim) for dim in obs.coords[name].dims)
    return own if len(own) in (1, 2) and set(own) <= set(names) else ()


def _settle(
    hints: list[Hint], found: dict[Role, str], given: bool, problems: Problems
) -> list[Hint]:
    """One hint for each axis that the evidence of one level decides.

    Places along one dimension are points. Where dims were `given`, they are independent.
    """
    hints = [h for h in hints if h.role not in found and h.dim not in found.values()]
    best: dict[str, int] = {}
    for hint in hints:
        for dim in hint.dims:
            # a date along a swath, or a latitude along a time series, says nothing of the axis
            best[dim] = max(best.get(dim, 0), hint.strength)
    hints = [h for h in hints if h.strength == best[h.dim]]
    settled: list[Hint] = []
    for role in ROLES:
        mine = [h for h in hints if h.role == role]
        top = max((h.strength for h in mine), default=0)
        candidates = {h.dim: h for h in mine if h.strength == top}
        if len(candidates) > 1:
            _add_ambiguous(role, list(candidates), problems)
        else:
            settled += candidates.values()
    for dim in dict.fromkeys(h.dim for h in settled):
        sharing = [h.role for h in settled if h.dim == dim]
        if len(sharing) > 1 and not given:
            times = [h.dim for h in settled if h.role == "time"]
            _add_points(dim, sharing, found.get("time", times[0] if times else None), problems)
        if len(sharing) > 1:
            settled = [h for h in settled if h.dim != dim]
    return settled


def _add_points(dim: str, sharing: list[Role], time: str | None, problems: Problems) -> None:
    """Latitudes and longitudes along one dimension: no grid, but two ways to use them."""
    apart = time is not None and time != dim
    alone = (
        f'or map the series of each by itself, dims={{"time": "{time}"}}'
        if apart
        else f'or take them as a series, dims={{"time": "{dim}"}}'
    )
    problems.add(
        f"{', '.join(sharing)} all run along dimension {dim!r}: these are points, no grid",
        f"map them to a grid, obs.fourdvar.map_points(xr4dvar.OptimalInterpolation(...), grid); "
        f"{alone}",
    )


def _add_ambiguous(role: Role, dims: list[str], problems: Problems) -> None:
    key = ALIASES[role][0]
    lines = [f'dims={{"{key}": "{dim}"}}' for dim in dims]
    listed = ", ".join(repr(dim) for dim in dims)
    problems.add(f"the {key} axis is ambiguous: {listed}", f"say which: {' or '.join(lines)}")


def _add_partner(hints: list[Hint], found: dict[Role, str], how: dict[Role, How]) -> None:
    """A 2-D latitude alone also says which dimension is x, and the other way round."""
    for hint in hints:
        if len(hint.dims) == 2 and found.get(hint.role) == hint.dim:
            partner: Role = "x" if hint.role == "y" else "y"
            other = hint.dims[1] if partner == "x" else hint.dims[0]
            if partner not in found and other not in found.values():
                found[partner], how[partner] = other, hint.how


def _check_rest(
    obs: Labelled,
    sizes: dict[str, int],
    found: dict[Role, str],
    rest: tuple[str, ...],
    problems: Problems,
) -> None:
    """Refuse dimensions that may be a missing axis: nobody wants latitude taken as members."""
    missing = [role for role in ROLES if role not in found]
    arrays = {} if isinstance(obs, xr.DataArray) else obs.data_vars
    odd = [name for name, a in arrays.items() if not set(found.values()) <= set(a.dims)]
    unknown = [d for d in rest if sizes[d] > 1 and not is_batch_name(d, obs.coords)]
    if not missing or (found and not unknown):
        return
    spatial: list[Role] = ["y", "x"]
    open_roles = spatial if len(unknown) == 2 and set(spatial) <= set(missing) else missing
    last = (unknown or rest)[-len(open_roles) :]
    guess = {**found, **dict(zip(open_roles, last, strict=False))}
    example = json.dumps({ALIASES[role][0]: guess[role] for role in ROLES if role in guess})
    shape = ", ".join(f"{dim}: {size}" for dim, size in sizes.items())
    listed = ", ".join(repr(dim) for dim in unknown or rest)
    if odd and found and len(odd) < len(arrays):
        names = ", ".join(map(repr, odd))
        problems.add(
            f"cannot tell which axis {listed} of {names} is",
            f"leave {names} out, obs.drop_vars({list(map(str, odd))})",
        )
        return
    problems.add(
        f"cannot tell which axis {listed} of ({shape}) is",
        f"name the axes, for example dims={example}; dimensions left out are independent",
    )


def _coordinate(
    coords: xr.Coordinates,
    role: Role,
    dim: str,
    hints: tuple[list[Hint], list[Hint]],
    problems: Problems,
) -> str | None:
    """The coordinate that places the points of an axis best."""
    along = [h for h in hints[0] + hints[1] if h.dim == dim and h.coordinate]
    mine = [h for h in along if h.role == role]
    if {"y", "x"} <= {h.role for h in along if len(h.dims) == 1 and h.coordinate != dim}:
        mine = [h for h in mine if len(h.dims) > 1]  # places of points are counted
    by_cf = {h.coordinate for h in hints[0] if h.role == role}
    # not coords.get: xarray makes up 0, 1, 2... for a dimension without a coordinate
    own = dict(coords.items()).get(dim)

    def says_where(coordinate: xr.DataArray) -> bool:
        if is_bare_angle(role, coordinate, coords):
            return False
        known = axis_unit(str(coordinate.attrs.get("units", ""))) is not None
        named = is_latitude_or_longitude(role, coordinate) or is_time_like(coordinate)
        return known or named or coordinate.name in by_cf

    if own is not None and says_where(own):
        return dim
    for length in (1, 2):
        for hint in mine:
            if len(hint.dims) == length and says_where(coords[hint.coordinate]):
                return hint.coordinate
    deep = [c for c in coords.values() if c.ndim > 2 and is_latitude_or_longitude(role, c)]
    for coordinate in (c for c in deep if dim in c.dims):
        extra, name = coordinate.dims[0], coordinate.name
        problems.add(
            f"{name!r} changes along {coordinate.ndim} dimensions {coordinate.dims}",
            "if the grid does not move, keep one of them: "
            f"obs.assign_coords({name}=obs[{name!r}].isel({extra}=0, drop=True))",
        )
    return dim if own is not None else None
