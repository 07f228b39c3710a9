"""Whether other arrays are on exactly the grid of the observations."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.indexes import Index, index_of, text_of_index
from xr4dvar.labels.stacking import named_arrays
from xr4dvar.types import Labelled

#: Coordinates closer than this share of a spacing are said to differ by rounding.
ROUNDING = 1e-4


def check_aligned(
    obs: Labelled, others: Mapping[str, Labelled], problems: Problems, *, subset: bool = False
) -> None:
    """Note where other arrays differ from the observations in dimensions or coordinates.

    Nothing is aligned silently: the order of dimensions is free, everything else must be equal.

    Parameters
    ----------
    obs : xarray.DataArray or xarray.Dataset
        The observations.
    others : mapping of str to xarray.DataArray or xarray.Dataset
        Target, background... by the name to use in messages. With a Dataset of observations
        each must hold its variables.
    problems : Problems
        Gets one problem for each difference.
    subset : bool, default False
        Whether the others may lack dimensions and variables: a mask (y, x) for (time, y, x).

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_aligned
    >>> obs = xr.DataArray(np.zeros(3), dims="lat", coords={"lat": [0.0, 1.0, 2.0]})
    >>> problems = Problems()
    >>> check_aligned(obs, {"target": obs.assign_coords(lat=[0.0, 1.0, 2.5])}, problems)
    >>> problems.found[0][0]
    "target: 'lat' differs from obs, first at entry 2: 2.5, obs has 2.0"
    >>> problems.found[0][1]
    'target.interp_like(obs)'
    """
    for what, other in others.items():
        if not subset:
            _check_variables(obs, what, other, problems)
        ours, theirs = sizes_of(obs), sizes_of(other)
        for dim in (dim for dim in theirs if dim not in ours):
            problems.add(
                f"{what}: has a dimension {dim!r} that obs has not",
                f"select one entry, {what}.isel({dim}=0, drop=True)",
            )
        for dim in (dim for dim in ours if dim not in theirs and not subset):
            problems.add(
                f"{what}: lacks the dimension {dim!r} of obs",
                f"{what}.expand_dims({dim}=obs[{dim!r}]) if it is the same for all",
            )
        for dim in (str(dim) for dim in ours if dim in theirs):
            _check_coordinate(obs, what, other, dim, problems)
        _check_flat_coordinates(obs, what, other, problems)


def check_places(
    obs: Labelled,
    others: Mapping[str, Labelled],
    names: Iterable[str],
    problems: Problems,
    *,
    of: str = "obs",
) -> None:
    """Note where other arrays differ in coordinates that place an axis but are not its index.

    `check_aligned` compares indexes, as xarray does: those along a dimension of the same name.
    Dates ``XTIME`` along a dimension ``Time`` have none.

    Parameters
    ----------
    obs, others, problems
        As of `check_aligned`.
    names : iterable of str
        The coordinates of the axes of `obs`; those with an index or in 2-D are left out.
    of : str
        What `obs` is called in messages.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels import check_places
    >>> obs = xr.DataArray(np.zeros(2), dims="Time", coords={"XTIME": ("Time", [0.0, 1.0])})
    >>> problems = Problems()
    >>> check_places(obs, {"mask": obs.assign_coords(XTIME=obs.XTIME + 5)}, ["XTIME"], problems)
    >>> problems.found[0][0]
    "mask: 'XTIME' differs from obs, first at entry 0: 5.0, obs has 0.0"
    """
    for what, other in others.items():
        for name in names:
            if obs.coords[name].ndim != 1 or name in obs.dims:
                continue
            (dim,) = obs.coords[name].dims
            if other.sizes.get(dim) != obs.sizes[dim]:
                continue  # no such dimension, or reported by `check_aligned`
            if name not in other.coords:
                problems.add(
                    f"{what}: has no coordinate {name!r} along {dim!r}, {of} has one",
                    f"{what}.assign_coords({name}={of}[{name!r}])",
                )
                continue
            ours, theirs = (one.coords[name].variable.to_index() for one in (obs, other))
            if place := _difference(ours, theirs, of):
                fix = _advice_on_place(what, str(dim), name, ours, theirs, of)
                problems.add(f"{what}: {name!r} differs from {place}", fix)


def _advice_on_place(what: str, dim: str, name: str, ours: Index, theirs: Index, of: str) -> str:
    if _kind(ours) == _kind(theirs) and _by_rounding(ours, theirs):
        return f"{what}.assign_coords({name}={of}[{name!r}])"
    if _holds(theirs, ours):
        return f"{text_of_index(dim, name, what)}.sel({name}={of}[{name!r}])"
    return f"give {what} the entries of {of} along {dim!r}, or correct its {name!r}"


def sizes_of(array: Labelled) -> dict[Hashable, int]:
    """Sizes of the dimensions that data have: those of bounds among the coordinates do not count.

    Examples
    --------
    >>> from xr4dvar.labels.alignment import sizes_of
    >>> bounds = ("lat", "edge"), [[0.0, 1.0]]
    >>> sizes_of(xr.Dataset({"u": ("lat", [0.0])}, coords={"lat_bnds": bounds}))
    {'lat': 1}
    """
    return {dim: n for one in named_arrays(array).values() for dim, n in one.sizes.items()}


def _difference(ours: Index, theirs: Index, of: str) -> str | None:
    """Where two indexes of one size differ first."""
    try:
        differ = np.flatnonzero(np.asarray(ours.values != theirs.values))
    except TypeError:  # such as dates of several calendars, which are no axis
        return None
    if differ.size == 0:
        return None
    first = differ[0]
    text = f"{_text(theirs[first])}, {of} has {_text(ours[first])}"
    return f"{of}, first at entry {first}: {text}"


def _check_variables(obs: Labelled, what: str, other: Labelled, problems: Problems) -> None:
    if isinstance(obs, xr.DataArray):
        if isinstance(other, xr.Dataset):
            name = obs.name if obs.name in other else next(iter(other), "name")
            problems.add(
                f"{what}: is a Dataset, obs is a DataArray", f"pick the variable, {what}[{name!r}]"
            )
        return
    if isinstance(other, xr.DataArray):
        problems.add(
            f"{what}: is a DataArray, obs is a Dataset",
            f"give a Dataset with {', '.join(map(repr, obs.data_vars))}",
        )
        return
    missing = [name for name in named_arrays(obs) if name not in other.data_vars]
    if missing:
        problems.add(
            f"{what}: lacks the variables {', '.join(map(repr, missing))}",
            f"rename its variables, {what}.rename(...), or select others in obs",
        )


def _check_coordinate(
    obs: Labelled, what: str, other: Labelled, dim: str, problems: Problems
) -> None:
    ours, theirs = index_of(obs, dim), index_of(other, dim)
    n, m = obs.sizes[dim], other.sizes[dim]
    if ours is None or theirs is None:
        if n != m:
            problems.add(f"{what}: {dim!r} has {m} entries, obs has {n}", "select the same")
        elif ours is not theirs:
            without = what if theirs is None else "obs"
            having = "obs" if theirs is None else what
            problems.add(
                f"{without}: {dim!r} has no coordinate, {having} has one",
                f"{without}.assign_coords({dim}={having}[{dim!r}])",
            )
        return
    if _kind(ours) != _kind(theirs):
        problems.add(
            f"{what}: {dim!r} holds {_kind(theirs)}, that of obs {_kind(ours)}",
            f"give {what} the same kind of {dim!r} as obs; .convert_calendar for dates",
        )
        return
    advice = _advice(what, dim, ours, theirs)
    if n != m:
        problems.add(f"{what}: {dim!r} has {m} entries, obs has {n}", advice)
        return
    place = _difference(ours, theirs, "obs")
    if place is None:
        return
    if _by_rounding(ours, theirs):
        problems.add(
            f"{what}: {dim!r} differs from {place.replace(',', ' by rounding,', 1)}",
            f"{what}.assign_coords({dim}=obs[{dim!r}])",
        )
    else:
        problems.add(f"{what}: {dim!r} differs from {place}", advice)


def _check_flat_coordinates(obs: Labelled, what: str, other: Labelled, problems: Problems) -> None:
    """Compare 2-D coordinates in memory; those of dask are left alone, they would be computed."""
    for name in (name for name in obs.coords if name in other.coords):
        ours, theirs = obs.coords[name], other.coords[name]
        in_memory = ours.chunks is None and theirs.chunks is None
        if ours.ndim != 2 or not in_memory or dict(ours.sizes) != dict(theirs.sizes):
            continue
        differ = ours.values != theirs.transpose(*ours.dims).values
        both_missing = ours.isnull().values & theirs.transpose(*ours.dims).isnull().values
        places = np.argwhere(differ & ~both_missing)
        if places.size:
            problems.add(
                f"{what}: {name!r} differs from obs, first at entry {tuple(places[0].tolist())}",
                f"interpolate {what} to the points of obs",
            )


def _advice(what: str, dim: str, ours: Index, theirs: Index) -> str:
    if _holds(theirs, ours):
        return f"{what}.sel({dim}=obs[{dim!r}])"
    if _kind(ours) == "texts":
        return f"give {what} the same {dim!r} as obs"
    return f"{what}.interp_like(obs)"


def _holds(theirs: Index, ours: Index) -> bool:
    """Whether all of our labels can be selected from theirs."""
    try:
        return bool(np.isin(ours.values, theirs.values).all() and theirs.is_unique)
    except TypeError:
        return False


def _by_rounding(ours: Index, theirs: Index) -> bool:
    origin = ours.values[0]  # of both: dates a whole day apart are no rounding
    a, b = _numbers(ours, origin), _numbers(theirs, origin)
    if a is None or b is None:
        return False
    spacing = float(np.median(np.abs(np.diff(a)))) if a.size > 1 else 1.0
    # where one of the two was stored as float32, that is the rounding to expect
    single = min(float(np.finfo(np.float32).eps * np.max(np.abs(a))), 100 * ROUNDING * spacing)
    return bool(np.max(np.abs(a - b)) <= max(ROUNDING * spacing, single))


def _kind(index: Index) -> str:
    if hasattr(index, "calendar"):
        return f"{index.calendar} dates"
    return {"M": "dates", "m": "durations", "O": "texts"}.get(index.dtype.kind, "numbers")


def _numbers(index: Index, origin: object) -> npt.NDArray[np.float64] | None:
    """Values as float64, dates as days from an origin; None for texts and other objects."""
    if index.dtype.kind in "mM":
        since = index.values - origin if index.dtype.kind == "M" else index.values
        return np.asarray(since / np.timedelta64(1, "D"), dtype=np.float64)
    if index.dtype.kind in "iuf":
        return np.asarray(index.values, dtype=np.float64)
    return None


def _text(value: object) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)
