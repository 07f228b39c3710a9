"""The times after the last one of an axis: calendar steps where there are any, else even steps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels.calendar_steps import by_frequency, by_months, month_numbers
from xr4dvar.labels.coordinates import UNIFORM_TOLERANCE
from xr4dvar.labels.evidence import is_time_like

#: Dates, durations or numbers; cftime has no types of its own.
Times = npt.NDArray[Any]

_MICROSECOND = timedelta(microseconds=1)
_NANOSECONDS = {
    "h": 3600 * 10**9,
    "min": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}


def later_times(time: xr.DataArray, steps: int, problems: Problems) -> Times:
    """Values that follow on the last one of an ascending coordinate.

    Parameters
    ----------
    time : xarray.DataArray
        A 1-D coordinate of two values or more: dates of any calendar, durations or numbers.
    steps : int
        How many values.
    problems : Problems
        Gets a problem where the values do not tell the step.

    Returns
    -------
    numpy.ndarray
        Of the same kind; empty after a problem. Dates a whole number of months apart stay on
        their day of the month, on its last day, or in the middle of the month, season or year.
        Even steps go on, without rounding but of the last digit; steps that differ from their
        median by up to 1 % go on with their mean. So do weekdays, and whatever other frequency
        `xarray.infer_freq` finds.

    Examples
    --------
    >>> from xr4dvar.errors import Problems
    >>> from xr4dvar.labels.later_times import later_times
    >>> months = xr.DataArray(xr.date_range("2020-01-31", periods=3, freq="ME"), dims="time")
    >>> later_times(months, 2, Problems()).astype("M8[D]")
    array(['2020-04-30', '2020-05-31'], dtype='datetime64[D]')
    """
    values = time.to_numpy()
    dates = is_time_like(time) and values.dtype.kind != "m"
    found = by_months(values, steps) if dates else []
    if _is_even(values):
        found.append(_by_mean_step(values, steps))
    elif dates and not found:
        found = by_frequency(time, steps)
    if not found:
        what = f"{time.name!r} is not evenly spaced: the next times cannot be told"
        problems.add(what, _fix_of_uneven(time, values, dates))
    elif values.size == 2 and any((other != found[0]).any() for other in found):
        what = f"two values of {time.name!r} do not tell a step of months from one of days"
        problems.add(what, "give three or more; one without observations may be missing (NaN)")
    elif not _ascends(np.append(values[-1:], found[0])):
        what = f"{values.dtype} holds no time so long after {values[-1]}"
        fix = f'obs.assign_coords({time.name}=obs["{time.name}"].astype("datetime64[s]"))'
        problems.add(what, f"take fewer steps, or {fix}")
    else:
        return found[0]
    return values[:0]


def _ascends(values: Times) -> bool:
    return bool((values[1:] > values[:-1]).all())


def _is_even(values: Times) -> bool:
    steps = np.diff(_numbers(values).astype(np.float64))
    spacing = np.median(steps)
    return bool((np.abs(steps - spacing) <= UNIFORM_TOLERANCE * spacing).all())


def _numbers(values: Times) -> Times:
    """Exact: integers in the unit of dates and durations, counted from the first of them."""
    if values.dtype == object:
        return np.array([(date - values[0]) // _MICROSECOND for date in values], dtype=object)
    if values.dtype.kind in "mMiu":
        whole = values.astype(np.int64).tolist()
        return np.array([number - whole[0] for number in whole], dtype=object)
    return np.asarray(values.astype(np.float64) - float(values[0]))


def _by_mean_step(values: Times, steps: int) -> Times:
    """The mean step from first to last goes on; integers are rounded one by one, no sum drifts."""
    numbers = _numbers(values)
    span, count = numbers[-1], len(numbers) - 1
    places = range(count + 1, count + 1 + steps)
    if numbers.dtype != object:
        later = float(values[-1]) + np.arange(1, steps + 1) * (span / count)
        return np.asarray(later.astype(values.dtype))
    later = [(2 * span * place + count) // (2 * count) for place in places]
    if values.dtype == object:
        return np.array([values[0] + number * _MICROSECOND for number in later])
    first = int(values[:1].astype(np.int64)[0])
    whole = [first + number for number in later]
    if values.dtype.kind in "iu":  # small integers would start again from below
        fits = whole[-1] <= np.iinfo(values.dtype).max
        return np.array(whole, values.dtype if fits else np.int64)
    limit = np.iinfo(np.int64).max
    return np.array([min(number, limit) for number in whole], np.int64).astype(values.dtype)


def _fix_of_uneven(time: xr.DataArray, values: Times, dates: bool) -> str:
    """How to put the observations on an axis that goes on."""
    name, dim = str(time.name), str(time.dims[0])
    if dates and (months := _months_apart(values)):
        labels = f'xr.date_range("{values[0]}", periods={values.size}, freq="{months}MS"'
        if values.dtype == object:
            labels += f', calendar="{values[0].calendar}", use_cftime=True'
        return f"if they stand for months, obs.assign_coords({name}=({dim!r}, {labels})))"
    obs = "obs" if dim == name else f"obs.swap_dims({dim}={name!r})"
    steps = np.diff(_numbers(values))
    if values.dtype.kind in "iuf":
        step = float(np.median(steps.astype(np.float64)))
        axis = f"np.arange({values[0]:.12g}, {values[-1] + step / 2:.12g}, {step:.12g})"
        return f'{obs}.reindex({name}={axis}, method="nearest", tolerance={step / 2:g})'
    smallest = min(steps)
    missing = sum(steps) < 10 * steps.size * smallest and not any(n % smallest for n in steps)
    step = smallest if missing else sorted(steps)[steps.size // 2]
    how = f'resample({name}="{_frequency(values, step)}", origin="start")'
    return f"{obs}.{how}.{'asfreq' if missing else 'mean'}()"


def _months_apart(values: Times) -> int:
    """How many months dates are apart, 0 where that differs."""
    apart = np.unique(np.diff(month_numbers(values)))
    return int(apart[0]) if apart.size == 1 else 0


def _frequency(values: Times, step: int) -> str:
    """A step in the unit of the values, in the largest unit of time of which it is a multiple."""
    unit = "us" if values.dtype == object else np.datetime_data(values.dtype)[0]
    size = step * _NANOSECONDS[unit]
    alias, one = next((name, ns) for name, ns in _NANOSECONDS.items() if size % ns == 0)
    return f"{size // one}{alias}"
