from __future__ import annotations

import warnings
from typing import Any

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid, find_axes, make_grid


def grid_of(obs: xr.DataArray | xr.Dataset, periodic: Any = (), **dims: str) -> Grid:
    return make_grid(obs, find_axes(obs, dims), periodic)


def line(dim: str, values: Any, **attrs: str) -> xr.DataArray:
    return xr.DataArray(np.zeros(len(values)), dims=dim, coords={dim: (dim, values, attrs)})


def messages(obs: xr.DataArray, periodic: Any = (), **dims: str) -> tuple[tuple[str, str], ...]:
    axes = find_axes(obs, dims)
    with pytest.raises(InputError) as caught:
        make_grid(obs, axes, periodic)
    return caught.value.problems


DATES = ["2000-01-02", "2000-01-04", "2000-03-01T12"]


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_datetime64_is_days_since_2000(unit: str) -> None:
    time = grid_of(line("time", np.array(DATES, dtype=f"M8[{unit}]")))["time"]
    np.testing.assert_array_equal(time.values, [1.0, 3.0, 60.5])
    assert (time.units, time.uniform) == ("day", False)


@pytest.mark.parametrize(
    ("calendar", "days"), [("360_day", 60.0), ("noleap", 59.0), ("standard", 60.0)]
)
def test_cftime_calendars(calendar: str, days: float) -> None:
    months = xr.date_range("2000-01-01", periods=3, freq="MS", calendar=calendar, use_cftime=True)
    time = grid_of(line("time", months))["time"]
    assert time.values[0] == 0.0
    assert time.values[2] == days
    assert time.units == "day"


def test_durations_are_days() -> None:
    time = grid_of(line("time", pd.to_timedelta([0, 12, 24], "h")))["time"]
    np.testing.assert_array_equal(time.values, [0.0, 0.5, 1.0])
    assert (time.units, time.spacing) == ("day", 0.5)


@pytest.mark.parametrize(
    ("units", "values", "unit"),
    [
        ("", [0.0, 6.0, 12.0], "1"),
        ("months", [0.0, 6.0, 12.0], "1"),
        ("hours", [0.0, 0.25, 0.5], "day"),
        ("days", [0.0, 6.0, 12.0], "day"),
        ("hours since 2000-01-02", [1.0, 1.25, 1.5], "day"),
    ],
)
def test_numeric_time(units: str, values: list[float], unit: str) -> None:
    time = grid_of(line("time", [0.0, 6.0, 12.0], units=units))["time"]
    np.testing.assert_allclose(time.values, values, rtol=0, atol=1e-12)
    assert time.units == unit


def test_time_of_texts() -> None:
    ((what, fix),) = messages(line("time", ["2001-01-01", "2001-01-02"]), time="time")
    assert what == "'time' holds str values, not dates"
    assert "pd.to_datetime" in fix


@pytest.mark.parametrize("dim", ["time", "obs"])
def test_the_fix_for_texts_works(dim: str) -> None:
    texts = np.array(["2001-01-01", "2001-01-02"])
    obs = xr.DataArray(np.zeros(2), dims=dim, coords={"time": (dim, texts)})
    ((_, fix),) = messages(obs, time="time")
    assert grid_of(eval(fix, {"obs": obs, "pd": pd}), time=dim)["time"].spacing == 1.0


def test_missing_date() -> None:
    dates = np.array(["2001-01-01", "NaT", "2001-01-03"], dtype="M8[ns]")
    assert messages(line("time", dates))[0][0] == (
        "'time' is missing or infinite at 1 of 3 points, first at 1"
    )


STEP = np.spacing(8887.0) * 86400e9  # ns, of days since 2000 on 2024-05-01


@pytest.mark.parametrize(("times_as_coarse", "good"), [(90.0, False), (110.0, True)])
def test_dates_are_kept_to_a_hundredth_of_their_steps_or_refused(
    times_as_coarse: float, good: bool
) -> None:
    """The bound: float64 days are 1.8e-12 apart in 2024, 0.16 microseconds."""
    step = round(times_as_coarse * STEP)
    dates = np.datetime64("2024-05-01", "ns") + step * np.arange(50).astype("m8[ns]")
    obs = line("time", dates)
    if good:
        time = grid_of(obs)["time"]
        exact = step * np.arange(50) / 86400e9
        assert np.abs(time.values - 8887.0 - exact).max() <= 0.01 * exact[1]
        assert time.uniform
        return
    ((what, fix),) = messages(obs)
    assert what == "'time' has steps of 14.1 microseconds, and dates are kept to 0.16"
    since = eval(fix.removeprefix("count from the first, "), {"obs": obs})
    time = grid_of(since)["time"]
    np.testing.assert_allclose(time.values, step * np.arange(50) / 86400e9, rtol=1e-12)


@pytest.mark.parametrize("dim", ["time", "obs"])
def test_steps_that_days_cannot_hold_are_not_called_duplicates(dim: str) -> None:
    dates = np.datetime64("2024-05-01", "ns") + np.arange(5).astype("m8[ns]")
    obs = xr.DataArray(np.zeros(5), dims=dim, coords={"time": (dim, dates)})
    ((what, fix),) = messages(obs, time=dim)
    assert what.startswith("'time' has steps of 0.001 microseconds")
    mended = eval(fix.removeprefix("count from the first, "), {"obs": obs})
    assert grid_of(mended, time=dim)["time"].uniform


def test_dates_of_cftime_and_numbers_since_are_held_to_the_same_bound() -> None:
    microseconds = line("time", np.arange(5.0), units="microseconds since 2024-05-01")
    assert messages(microseconds)[0][0].startswith("'time' has steps of 1 microseconds")
    dates = [cftime.DatetimeNoLeap(2024, 5, 1, 0, 0, 0, n) for n in range(5)]
    assert messages(line("time", dates))[0][0].startswith("'time' has steps of 1 microseconds")


@pytest.mark.parametrize(
    ("units", "calendar", "values", "mended"),
    [
        # the "months since" of the IRI data library, in the middle of each month
        ("months since 1960-01-01", "360", [0.5, 1.5], ["1960-01-16", "1960-02-16"]),
        ("months since 1960-01-01", None, [0, 1], ["1960-01-01", "1960-02-01"]),
        ("months since 1960-01-01", None, [0.5, 1.5], ["1960-01-16", "1960-02-16"]),
        ("years since 1960-01-01", None, [0, 1], ["1960-01-01", "1961-01-01"]),
        ("days since 0000-01-01", None, [0.0, 1.0], ["0000-01-01", "0000-01-02"]),
        ("days since 2000-01-01", "Gregorian calendar", [0, 1], ["2000-01-01", "2000-01-02"]),
        ("days since the flood", None, [0, 1], ["2000-01-01", "2000-01-02"]),
        ("days since 2000-01-01", None, [0, 1e30], ["2000-01-01", "2000-01-02"]),
    ],
)
def test_dates_that_xarray_cannot_decode(
    units: str, calendar: str | None, values: list[float], mended: list[str]
) -> None:
    """One problem that names units and calendar, and a fix that gives the dates meant."""
    attrs = {"units": units} | ({} if calendar is None else {"calendar": calendar})
    obs = line("time", values, **attrs)
    ((what, fix),) = messages(obs)
    of = "" if calendar is None else f" in the calendar {calendar!r}"
    assert what == f"'time' has units {units!r}{of}, which xarray cannot decode"
    code = fix[fix.index("obs") :]
    scope = {"obs": obs, "pd": pd}
    if "assign_coords" in code:
        obs = eval(code, scope)
    else:
        exec(code, scope)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xr.SerializationWarning)
        dates = xr.decode_cf(obs.to_dataset(name="a")).time
    assert [str(date)[:10] for date in dates.values] == mended
    assert grid_of(obs)["time"].units == "day"


def test_dates_that_are_decoded_bring_no_warning() -> None:
    """That xarray goes on with cftime concerns nobody who gave numbers."""
    time = grid_of(line("time", [0.0, 1.0], units="days since 0850-1-1"))["time"]
    assert time.spacing == 1.0
