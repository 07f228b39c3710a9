"""Time coordinates as days since 2000-01-01, in any calendar."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.units import Unit, axis_unit

_EPOCH = np.datetime64("2000-01-01")
_DAY = np.timedelta64(1, "D")


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
    if coordinate.dtype.kind in "iuf" and " since " in str(coordinate.attrs.get("units", "")):
        variable = xr.conventions.decode_cf_variable(str(coordinate.name), coordinate.variable)
        coordinate = coordinate.copy(data=variable.to_numpy())
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
    problems.add(
        f"{name!r} holds {type(values[:1].tolist()[0]).__name__} values, not dates",
        f"obs.assign_coords({name}=pd.to_datetime(obs[{name!r}].values.astype(str)))",
    )
    return None


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
