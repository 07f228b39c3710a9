from __future__ import annotations

from typing import Any

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


def test_missing_date() -> None:
    dates = np.array(["2001-01-01", "NaT", "2001-01-03"], dtype="M8[ns]")
    assert messages(line("time", dates))[0][0] == (
        "'time' is missing or infinite at 1 of 3 points, first at 1"
    )
