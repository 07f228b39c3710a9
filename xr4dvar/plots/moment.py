"""The time that a picture shows, and the fields at that time."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.roles import Axes

__all__ = ["at_moment", "choose_moment", "in_words"]

#: Numbers differ by rounding if they differ by less than this share of their spacing.
_ROUNDING = 1e-3


def choose_moment(
    field: xr.DataArray, axes: Axes, time: Any, problems: Problems
) -> xr.DataArray | None:
    """Return the label of the time that is asked for, or of the middle one.

    A text such as "2012-10-24" is any time of that day, if there is no more than one, or midnight.
    None after a problem.
    """
    dim = axes.dim("time")
    labels = field[axes.coordinates.get("time", dim)]
    if time is None:
        return labels.isel({dim: labels.size // 2})
    time = time.values[()] if isinstance(time, xr.DataArray) else time
    places = _places(labels, time)
    if places.size == 1:
        return labels.isel({dim: places[0]})
    if places.size:
        what = f"time={str(time)!r} is {places.size} times of {labels.name!r}"
        problems.add(what, f"choose one, such as time={_as_argument(labels[places[0]])}")
    else:
        what = f"there is no {labels.name!r} of {str(time)!r}"
        problems.add(what, f"choose one that there is, such as time={_nearest(labels, time)}")
    return None


def at_moment(
    name: str, field: xr.DataArray, axes: Axes, moment: xr.DataArray, problems: Problems
) -> xr.DataArray:
    """Return a field at that time, without it; a field without time as it is."""
    dim = axes.dim("time")
    if dim not in field.dims:
        return field
    labels = field[moment.name] if moment.name in field.coords else field[dim]
    same = np.flatnonzero(np.asarray(labels.values == moment.values[()]))
    if not same.size:
        what = f"{name} has nothing at {in_words(moment)}"
        problems.add(what, "choose a time= that all fields have")
        return field
    one = field.isel({dim: same[0]})
    return one.drop_vars([each for each in (dim, moment.name) if each in one.coords])


def in_words(moment: xr.DataArray) -> str:
    """Return a time as people write it."""
    text = _text(moment)
    if moment.dtype.kind in "MO":
        return text.replace("T", " ").removesuffix(" 00:00").removesuffix(" 00:00:00")
    return f"{moment.name} = {text}"


def _places(labels: xr.DataArray, time: Any) -> npt.NDArray[np.intp]:
    """Where the labels are what is asked for; a text may stand for a whole day or month."""
    index = labels.to_index()
    if index.dtype.kind in "iuf":
        return _near(index.to_numpy(), time)
    if isinstance(time, date) and not isinstance(time, datetime):
        time = str(time)
    everything = np.arange(index.size)
    try:
        found = np.atleast_1d(everything[index.get_loc(time)])
    except (KeyError, TypeError, ValueError):
        return everything[:0]
    if found.size > 1 and isinstance(time, str):
        first = str(np.datetime64(time, "s")).removesuffix("T00:00:00")
        if _text(labels[found[0]]).removesuffix("T00:00:00") == first:
            return found[:1]
    return found


def _near(numbers: npt.NDArray[Any], time: Any) -> npt.NDArray[np.intp]:
    """Where numbers are what is asked for but for rounding."""
    spacing = float(np.abs(np.diff(numbers)).min()) if numbers.size > 1 else 1.0
    try:
        return np.flatnonzero(np.abs(numbers - float(time)) <= _ROUNDING * spacing)
    except (TypeError, ValueError):
        return np.arange(0)


def _nearest(labels: xr.DataArray, time: Any) -> str:
    """The nearest label, or else the middle one, as an argument is written."""
    (dim,) = labels.dims
    places = xr.DataArray(np.arange(labels.size), dims=[dim], coords={dim: labels.values})
    try:
        if labels.dtype == object and isinstance(time, str):
            time = _in_calendar(time, labels.values[0])
        place = int(places.sel({dim: time}, method="nearest"))
    except (KeyError, TypeError, ValueError):
        place = labels.size // 2
    return _as_argument(labels[place])


def _in_calendar(text: str, like: Any) -> Any:
    """A date of cftime, of the kind of another one."""
    at = np.datetime64(text, "s").item()
    return like.replace(
        year=at.year, month=at.month, day=at.day, hour=at.hour, minute=at.minute, second=at.second
    )


def _as_argument(label: xr.DataArray) -> str:
    return _text(label) if label.dtype.kind in "iuf" else repr(_text(label))


def _text(label: xr.DataArray) -> str:
    value: Any = label.values[()]
    if label.dtype.kind == "M":
        return str(np.datetime_as_string(value, unit="auto"))
    if label.dtype.kind == "m":
        return str(_timedelta(value))
    if label.dtype.kind in "iuf":
        return f"{value:.12g}"
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _timedelta(value: np.timedelta64) -> Any:
    import pandas as pd

    return pd.Timedelta(value)
