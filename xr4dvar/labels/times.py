"""Time coordinates as days since 2000-01-01, in any calendar."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.decoding import check_decoded
from xr4dvar.labels.evidence import is_time_like
from xr4dvar.labels.units import Unit, axis_unit
from xr4dvar.types import FloatArray

_EPOCH = np.datetime64("2000-01-01")
_DAY = np.timedelta64(1, "D")
_DAY_US = 86400e6
#: Rounding of a date may be this share of the smallest step.
RESOLUTION = 0.01
_CALENDARS = {
    "standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "360_day", "julian",
    "all_leap", "366_day",
}  # fmt: skip


def to_days(
    coordinate: xr.DataArray, problems: Problems
) -> tuple[npt.NDArray[np.float64], Unit] | None:
    """Values of a time coordinate as float64, with their unit.

    Dates become days since 2000-01-01 of their own calendar, durations become days, numbers with
    a unit of time become days, and numbers without stay plain numbers with the unit "1".

    Parameters
    ----------
    coordinate : xarray.DataArray
        A 1-D coordinate.
    problems : Problems
        Gets a problem for values that are no times.

    Returns
    -------
    (numpy.ndarray of float64, {"day", "1"}) or None
        Missing dates are NaN; None after a problem.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels.times import to_days
    >>> time = xr.DataArray(np.array(["2000-01-02T12"], dtype="M8[ns]"), dims="time")
    >>> to_days(time, Problems())
    (array([1.5]), 'day')
    """
    dates = decode_dates(coordinate, problems)
    if dates is None:
        return None
    coordinate = dates
    values = coordinate.to_numpy()
    if values.dtype.kind == "M":
        return (values - _EPOCH) / _DAY, "day"
    if values.dtype.kind == "m":
        return values / _DAY, "day"
    if values.dtype.kind in "iuf":
        unit, factor = axis_unit(str(coordinate.attrs.get("units", ""))) or ("1", 1.0)
        if unit != "day":
            unit, factor = "1", 1.0
        return values.astype(np.float64) * factor, unit
    if values.size and hasattr(values.flat[0], "calendar"):
        return _cftime_to_days(values, str(coordinate.name), problems)
    name = coordinate.name
    if values.size == 0:
        return np.zeros(0), "day"
    (dim,) = coordinate.dims
    given = f"pd.to_datetime(obs[{name!r}].values.astype(str))"
    problems.add(
        f"{name!r} holds {type(values[:1].tolist()[0]).__name__} values, not dates",
        f"obs.assign_coords({name}={given if dim == name else f'({dim!r}, {given})'})",
    )
    return None


def decode_dates(coordinate: xr.DataArray, problems: Problems) -> xr.DataArray | None:
    """The dates that numbers with "days since ..." stand for; anything else as it is.

    None where xarray cannot decode them, or where other numbers are packed, which is noted.
    """
    numbers = coordinate.dtype.kind in "iuf"
    if not numbers or " since " not in str(coordinate.attrs.get("units", "")):
        return coordinate if check_decoded(None, coordinate, problems) else None
    name, variable = str(coordinate.name), coordinate.variable
    with warnings.catch_warnings():
        # dates that need cftime, years written with few digits: both are read all the same
        warnings.simplefilter("ignore", xr.SerializationWarning)
        try:
            dates = xr.conventions.decode_cf_variable(name, variable).to_numpy()
        except (ValueError, TypeError, OverflowError, KeyError, AttributeError):
            problems.add(*_undecodable(coordinate))
            return None
    return coordinate.copy(data=dates)


def check_resolution(coordinate: xr.DataArray, days: FloatArray, problems: Problems) -> bool:
    """Note dates that are too close for days since 2000 in float64: 0.16 microseconds in 2024.

    Each is kept to 1 % of the smallest step, or refused.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels.times import check_resolution, to_days
    >>> dates = np.datetime64("2024-05-01", "ns") + np.arange(3).astype("m8[us]")
    >>> time = xr.DataArray(dates, dims="time", name="time")
    >>> problems = Problems()
    >>> check_resolution(time, to_days(time, problems)[0], problems)
    False
    >>> problems.found[0][1]
    "count from the first, obs.assign_coords(time=obs['time'] - obs['time'][0])"
    """
    values = coordinate.to_numpy()
    finite = np.isfinite(days)
    if not is_time_like(coordinate) or finite.sum() < 2:
        return True
    steps = np.diff(values[finite])
    steps = np.abs(steps.astype("m8[us]") if steps.dtype == object else steps) / _DAY
    step = np.min(steps[steps > 0], initial=np.inf)
    rounding = np.spacing(np.abs(days[finite]).max())
    if rounding <= RESOLUTION * step:
        return True
    name = str(coordinate.name)
    counted = f"obs[{name!r}] - obs[{name!r}][0]"
    problems.add(
        f"{name!r} has steps of {_DAY_US * step:.3g} microseconds, and dates are kept to "
        f"{_DAY_US * rounding:.2g}",
        f"count from the first, obs.assign_coords({name}={counted})",
    )
    return False


def _undecodable(coordinate: xr.DataArray) -> tuple[str, str]:
    """What xarray cannot decode, and what to do about it."""
    name, (dim,) = str(coordinate.name), coordinate.dims
    units = str(coordinate.attrs["units"])
    calendar = coordinate.attrs.get("calendar")
    of = "" if calendar is None else f" in the calendar {calendar!r}"
    what = f"{name!r} has units {units!r}{of}, which xarray cannot decode"
    unit, _, reference = (part.strip() for part in units.partition(" since "))
    own = f"obs[{name!r}]"
    if calendar is not None and str(calendar).lower() not in _CALENDARS:
        usual = "360_day" if str(calendar).startswith("360") else "standard"
        return what, f"name a calendar of CF, {own}.attrs['calendar'] = {usual!r}"
    days = {"month": 30, "year": 365}.get(word := unit.lower().rstrip("s"))
    if days is not None:
        part = f", days=int({days} * (n % 1))" if (coordinate.to_numpy() % 1).any() else ""
        offset = f"pd.DateOffset({word}s=int(n){part})"
        dates = f"[pd.Timestamp({reference!r}) + {offset} for n in {own}.values]"
        return what, f"give dates, obs.assign_coords({name}=({dim!r}, {dates}))"
    if re.match(r"0+-", reference):
        return what, (
            "there is no year 0 in this calendar: if the year does not matter, "
            f"{own}.attrs['calendar'] = 'proleptic_gregorian'"
        )
    return what, (
        f"give dates, obs.assign_coords({name}=({dim!r}, "
        f"pd.date_range('2000-01-01', periods={coordinate.size})))"
    )


def _cftime_to_days(
    values: npt.NDArray[Any], name: str, problems: Problems
) -> tuple[npt.NDArray[np.float64], Unit] | None:
    import cftime

    calendars = {getattr(value, "calendar", None) for value in values}
    if len(calendars) > 1:
        problems.add(f"{name!r} mixes calendars or has gaps", "convert_calendar to a single one")
        return None
    units = "days since 2000-01-01"
    days = cftime.date2num(values, units, calendar=values[0].calendar)
    return np.asarray(days, dtype=np.float64), "day"
