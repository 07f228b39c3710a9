"""Times go on as the calendar does: the right dates are written out or made by xarray."""

from __future__ import annotations

from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xr4dvar.errors import Problems
from xr4dvar.labels.later_times import later_times

CALENDARS = ("standard", "noleap", "360_day", "all_leap", "julian")
FREQUENCIES = ("YS", "YE", "YS-JUL", "MS", "ME", "2MS", "QS-DEC", "QE", "10YS", "D", "6h", "90min")


def ahead(values: Any, steps: int = 3) -> Any:
    problems = Problems()
    found = later_times(xr.DataArray(values, dims="time", name="time"), steps, problems)
    problems.raise_if_any()
    return found


def problem(values: Any, steps: int = 3) -> tuple[str, str]:
    problems = Problems()
    time = xr.DataArray(values, dims="time", name="time")
    assert later_times(time, steps, problems).size == 0
    (found,) = problems.found
    return found


def text(values: Any, unit: str = "m") -> list[str]:
    return np.datetime_as_string(values, unit=unit).tolist()


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("calendar", CALENDARS)
def test_frequencies_go_on_in_every_calendar(frequency: str, calendar: str) -> None:
    whole = xr.date_range(
        "1699-01-01T09:00", periods=43, freq=frequency, calendar=calendar, use_cftime=True
    )
    np.testing.assert_array_equal(ahead(whole[:40]), whole[40:].values)


@pytest.mark.parametrize("frequency", [*FREQUENCIES, "B", "W-WED", "WOM-2TUE"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_frequencies_go_on_in_every_resolution(frequency: str, unit: str) -> None:
    whole = xr.date_range("1699-01-01T09:00", periods=43, freq=frequency).values
    found = ahead(whole[:40].astype(f"M8[{unit}]"))
    assert found.dtype == f"M8[{unit}]"
    np.testing.assert_array_equal(found, whole[40:])


def test_any_day_of_the_month() -> None:
    assert text(ahead(np.array(["2000-07-15", "2000-08-15", "2000-09-15"], "M8[ns]")), "D") == [
        "2000-10-15",
        "2000-11-15",
        "2000-12-15",
    ]
    thirtieths = np.array(["2000-10-30", "2000-11-30", "2000-12-30"], "M8[s]")
    assert text(ahead(thirtieths), "D") == ["2001-01-30", "2001-02-28", "2001-03-30"]
    leap = np.array(["1996-02-29", "2000-02-29", "2004-02-29"], "M8[s]")
    assert text(ahead(leap, 2), "D") == ["2008-02-29", "2012-02-29"]


@pytest.mark.parametrize("frequency", ["QS-DEC", "10YS", "6MS"])
def test_middles_of_longer_periods(frequency: str) -> None:
    edges = xr.date_range("1699-12-01", periods=17, freq=frequency, use_cftime=True)
    middles = edges.values[:-1] + (edges.values[1:] - edges.values[:-1]) // 2
    np.testing.assert_array_equal(ahead(middles[:12], 4), middles[12:])


def test_middles_of_months_and_years() -> None:
    """As models write them: 16 January at noon, 15 February at midnight or noon, ..."""
    edges = xr.date_range("1999-01-01", periods=49, freq="MS").values
    middles = edges[:-1] + (edges[1:] - edges[:-1]) // 2
    np.testing.assert_array_equal(ahead(middles[:40], 8), middles[40:])
    noleap = xr.date_range("1999-01-01", periods=49, freq="MS", calendar="noleap", use_cftime=True)
    middles = noleap.values[:-1] + (noleap.values[1:] - noleap.values[:-1]) // 2
    np.testing.assert_array_equal(ahead(middles[:40], 8), middles[40:])
    years = xr.date_range("1999-01-01", periods=13, freq="YS").values
    middles = years[:-1] + (years[1:] - years[:-1]) // 2
    assert text(middles[:2]) == ["1999-07-02T12:00", "2000-07-02T00:00"]
    np.testing.assert_array_equal(ahead(middles[:8], 4), middles[8:])


def test_whole_seconds_do_not_drift() -> None:
    """Times of a step of 100.5 s, kept to the second: the thousandth is 100500 s later."""
    seconds = (1005 * np.arange(2001) + 5) // 10
    time = np.datetime64("2020-01-01", "s") + seconds
    found = ahead(time[:1001], 1000)
    assert np.abs((found - time[1001:]).astype(int)).max() <= 1
    assert found[-1] == time[-1]
    dates = cftime.num2date(seconds, "seconds since 2020-01-01", "noleap")
    assert ahead(dates[:1001], 1000)[-1] == dates[-1]


@given(st.integers(-(10**17), 10**17), st.integers(1, 10**15), st.integers(2, 9))
def test_even_integers_are_exact(first: int, step: int, count: int) -> None:
    values = np.array([first + n * step for n in range(count + 3)])
    np.testing.assert_array_equal(ahead(values[:count]), values[count:])
    lapse = values.astype("m8[ns]")
    np.testing.assert_array_equal(ahead(lapse[:count]), lapse[count:])


def test_numbers() -> None:
    np.testing.assert_allclose(ahead(0.1 * np.arange(40)), [4.0, 4.1, 4.2])
    assert ahead(np.arange(120, 126, dtype="i1"), 4).tolist() == [126, 127, 128, 129]
    assert ahead(np.array([200, 201, 202], "u1"), 60)[-1] == 262
    assert ahead(np.arange(4, dtype="f4")).dtype == "f4"


def test_two_times() -> None:
    assert text(ahead(np.array(["2001-01-31", "2001-02-01"], "M8[s]"), 1), "D") == ["2001-02-02"]
    thirty = [cftime.Datetime360Day(2001, 1, 16), cftime.Datetime360Day(2001, 2, 16)]
    assert ahead(thirty, 1)[0] == cftime.Datetime360Day(2001, 3, 16)
    what, fix = problem(np.array(["2001-01-15", "2001-02-15"], "M8[s]"))
    assert what == "two values of 'time' do not tell a step of months from one of days"
    assert fix.startswith("give three or more")


def test_after_the_last_date_of_nanoseconds() -> None:
    for frequency in ("10YS", "9999h"):
        ends = xr.date_range("2220-01-01", periods=4, freq=frequency).values
        what, fix = problem(ends, 5000)
        assert what.startswith("datetime64[ns] holds no time so long after 22")
        given = xr.DataArray(ends, dims="time", coords={"time": ends})
        mended = eval(fix.partition(", or ")[2], {"obs": given})  # the advice can be followed
        assert len(ahead(mended.time.values, 5000)) == 5000


@pytest.mark.parametrize(
    ("values", "fix"),
    [
        (
            np.array(["2000-01-16", "2000-02-14", "2000-03-16", "2000-04-15"], "M8[ns]"),
            "if they stand for months, obs.assign_coords(time=('time', xr.date_range(",
        ),
        (
            [cftime.DatetimeNoLeap(2000, month, 13 + month % 4) for month in (1, 4, 7, 10)],
            "if they stand for months, obs.assign_coords(time=('time', xr.date_range(",
        ),
        (
            np.array(["2000-01-01T03", "2000-01-01T09", "2000-01-02T03"], "M8[s]"),
            'obs.resample(time="6h", origin="start").asfreq()',
        ),
        (
            [cftime.DatetimeNoLeap(2000, 2, day) for day in (3, 5, 11)],
            'obs.resample(time="48h", origin="start").asfreq()',
        ),
        (
            np.array([0, 50, 119, 181], "M8[m]").astype("M8[ns]"),
            'obs.resample(time="62min", origin="start").mean()',
        ),
        (
            np.array([0, 2, 3], "m8[h]").astype("m8[ns]"),
            'obs.resample(time="1h", origin="start").asfreq()',
        ),
        (
            np.array([0.0, 0.1, 0.4]),
            'obs.reindex(time=np.arange(0, 0.5, 0.2), method="nearest", tolerance=0.1)',
        ),
        (
            np.array([0, 2, 4, 8]),
            'obs.reindex(time=np.arange(0, 9, 2), method="nearest", tolerance=1)',
        ),
    ],
)
def test_uneven_times_are_refused_with_advice_that_helps(values: Any, fix: str) -> None:
    what, advice = problem(values)
    assert what == "'time' is not evenly spaced: the next times cannot be told"
    assert advice.startswith(fix)
    obs = xr.DataArray(np.arange(len(values)) + 1.0, dims="time", coords={"time": values})
    mended = eval(advice.rpartition("months, ")[2], {"obs": obs, "np": np, "xr": xr})
    assert float(mended.sum()) > 0
    assert len(ahead(mended.time.values)) == 3
    if "mean" not in advice and "nearest" not in advice:
        assert float(mended.sum()) == float(obs.sum())
