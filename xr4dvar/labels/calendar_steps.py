"""Steps of months and years, in any calendar, and other frequencies that dates have a name for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

__all__ = ["by_frequency", "by_months", "month_numbers"]

#: datetime64 of any unit, or cftime; cftime has no types of its own.
Dates = npt.NDArray[Any]
Months = npt.NDArray[np.int64]


def by_months(values: Dates, steps: int) -> list[Dates]:
    """The dates that follow on ascending ones a whole number of months apart.

    Parameters
    ----------
    values : numpy.ndarray of datetime64 or cftime
        Two or more.
    steps : int
        How many to give.

    Returns
    -------
    list of numpy.ndarray
        One for each rule that all dates keep, the first of them to be preferred: the last day of
        the month, the same day of the month (its last day where it is shorter), the middle of as
        many months as the dates are apart. Empty where they keep none.

    Examples
    --------
    >>> from xr4dvar.labels.calendar_steps import by_months
    >>> by_months(np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "M8[s]"), 2)
    [array(['2023-01-01T00:00:00', '2024-01-01T00:00:00'], dtype='datetime64[s]')]
    """
    months = month_numbers(values)
    apart = np.unique(np.diff(months))
    found: list[Dates | None] = []
    if apart.size == 1 and apart[0] > 0:
        later = months[-1] + apart[0] * np.arange(1, steps + 1)
        found = [_on_last_day(values, months, later), _on_same_day(values, months, later)]
    found += _in_middle(values, months, steps)
    return [dates for dates in found if dates is not None]


def by_frequency(time: xr.DataArray, steps: int) -> list[Dates]:
    """The dates that follow with the frequency that xarray infers, such as weekdays; or none."""
    if time.size < 3:
        return []
    try:
        frequency = xr.infer_freq(time)
        dates = xr.date_range(
            time.values[-1],
            periods=steps + 1,
            freq=frequency,
            calendar=time.dt.calendar,
            use_cftime=time.dtype == object,
        )
    except (TypeError, ValueError):
        return []
    return [] if frequency is None else [dates.values[1:].astype(time.dtype)]


def month_numbers(values: Dates) -> Months:
    """Months since the start of year 0."""
    if values.dtype == object:
        return np.array([12 * date.year + date.month - 1 for date in values], np.int64)
    return values.astype("M8[M]").astype(np.int64) + 12 * 1970


def _starts(months: Months, like: Dates) -> Dates:
    """First moments of months, as dates of the kind of others."""
    if like.dtype != object:
        return (months - 12 * 1970).astype("M8[M]").astype(like.dtype)
    midnight = like[0].replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return np.array([midnight.replace(year=n // 12, month=n % 12 + 1) for n in months.tolist()])


def _on_last_day(values: Dates, months: Months, later: Months) -> Dates | None:
    left = _starts(months + 1, values) - values
    if (left != left[0]).any() or left[0] > _day(values):
        return None
    return np.asarray(_starts(later + 1, values) - left[0])


def _on_same_day(values: Dates, months: Months, later: Months) -> Dates | None:
    day = _day(values)
    since = values - _starts(months, values)
    clock = since % day
    number = (since // day).max()

    def days(month: Months) -> Any:
        length = (_starts(month + 1, values) - _starts(month, values)) // day
        return np.minimum(number, length - 1) * day

    if (since != days(months) + clock[0]).any():
        return None
    return np.asarray(_starts(later, values) + days(later) + clock[0])


def _in_middle(values: Dates, months: Months, steps: int) -> list[Dates]:
    """Middles of periods of so many months as the dates are apart, whatever month they lie in."""
    last = values.size - 1
    apart = int(np.round((months[-1] - months[0]) / last))
    found = []
    # half of the period lies before its middle: so many whole months, or one fewer
    for back in range(max(apart // 2 - 1, 0), apart // 2 + 1) if apart else ():
        edges = _starts(months[0] - back + apart * np.arange(last + steps + 2), values)
        middles = edges[:-1] + (edges[1:] - edges[:-1]) // 2
        if (middles[: last + 1] == values).all():
            found.append(np.asarray(middles[last + 1 :]))
    return found


def _day(values: Dates) -> Any:
    return timedelta(1) if values.dtype == object else np.timedelta64(1, "D")
