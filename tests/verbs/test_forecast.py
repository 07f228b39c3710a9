"""A forecast is the reconstruction of times that have no observation yet."""

from __future__ import annotations

import cftime
import numpy as np
import pytest
import torch
import xarray as xr

import xr4dvar as xv

COMPONENT = ("component", ["u", "v"], {"axis": "X"})


def rotate(x):
    """Round once in 2 pi."""
    return torch.stack([-x[..., 1], x[..., 0]], -1)


def obs_at(time) -> xr.DataArray:
    """Three series on a circle, seen at every fourth time."""
    angle = 0.1 * np.arange(len(time)) + np.arange(3.0)[:, None]
    values = np.stack([np.cos(angle), np.sin(angle)], -1)
    coords = {"time": time, "component": COMPONENT}
    states = xr.DataArray(values, dims=("window", "time", "component"), coords=coords)
    return states.where(xr.DataArray(np.arange(len(time)) % 4 == 0, dims="time"))


METHOD = xv.FourDVar(xv.ODE(rotate, dt=0.1), 1e-4, starts=1, spin_up=0, climate=100)


def test_a_model_goes_on_from_the_analysis():
    obs = obs_at(0.1 * np.arange(40))
    ahead = obs.fourdvar.forecast(METHOD, 60)
    np.testing.assert_allclose(ahead.time, 0.1 * np.arange(40, 100))
    angle = 0.1 * np.arange(40, 100) + np.arange(3.0)[:, None]
    np.testing.assert_allclose(ahead.sel(component="u"), np.cos(angle), atol=0.01)
    np.testing.assert_allclose(ahead.sel(component="v"), np.sin(angle), atol=0.01)


def test_it_is_the_reconstruction_with_the_end_not_observed():
    obs = obs_at(0.1 * np.arange(60))
    known, later = obs.isel(time=slice(40)), obs.time[40:]
    longer = obs.where(obs.time < 0.1 * 39.5)
    expected = longer.fourdvar.reconstruct(METHOD, error=True).sel(time=later)
    xr.testing.assert_allclose(known.fourdvar.forecast(METHOD, 20, error=True), expected)
    members = known.fourdvar.forecast(METHOD, 20, ensemble=2, seed=3)
    xr.testing.assert_allclose(
        members, longer.fourdvar.reconstruct(METHOD, ensemble=2, seed=3).sel(time=later)
    )


def test_chunks_stay_lazy():
    obs = obs_at(0.1 * np.arange(40))
    with xv.testing.raise_if_dask_computes():
        lazy = obs.chunk(window=1).fourdvar.forecast(METHOD, 5)
    xr.testing.assert_allclose(lazy.compute(), obs.fourdvar.forecast(METHOD, 5))


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (np.arange("2020-01-30", "2020-02-03", dtype="M8[D]").astype("M8[ns]"), "2020-02-05"),
        (np.arange(4) * 6, 36),
        (
            [cftime.DatetimeNoLeap(2021, 2, day) for day in (25, 26, 27, 28)],
            cftime.DatetimeNoLeap(2021, 3, 3),
        ),
    ],
)
def test_times_of_any_kind_go_on(time, expected):
    obs = obs_at(time)
    ahead = obs.fourdvar.forecast(xv.LinearInterpolation(), 3)
    assert ahead.time.dtype == obs.time.dtype
    last = ahead.time.values[-1]
    assert last == (np.datetime64(expected) if isinstance(expected, str) else expected)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda a: a, {"steps": 0}, "steps is 0"),
        (lambda a: a.isel(time=0, drop=True), {}, "no time axis to go on with"),
        (lambda a: a.isel(time=[0, 1, 5]), {}, "'time' is not evenly spaced"),
        (lambda a: a.isel(time=slice(None, None, -1)), {}, "'time' runs backwards"),
        (lambda a: a, {"mask": obs_at(np.arange(8.0)).notnull()}, "mask changes in time"),
    ],
)
def test_what_cannot_go_on_is_refused(change, options, message):
    with pytest.raises(xv.InputError, match=message):
        change(obs_at(np.arange(8.0))).fourdvar.forecast(METHOD, **{"steps": 2, **options})


WRF = {"time": "Time", "x": "component"}


def wrf_obs(**coords) -> xr.DataArray:
    """Dates along a dimension of another name."""
    dates = np.arange("2020-01-30", "2020-02-07", dtype="M8[D]").astype("M8[ns]")
    obs = obs_at(dates).rename(time="Time").drop_vars("Time")
    return obs.assign_coords(XTIME=("Time", dates), **coords)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("counted", [False, True])
def test_dates_go_on_whatever_their_dimension_is_called(counted, chunked):
    obs = wrf_obs(**({"Time": np.arange(8)} if counted else {}))
    ahead = (obs.chunk(window=1) if chunked else obs).fourdvar.forecast(
        xv.LinearInterpolation(), 2, dims={"time": "XTIME"}
    )
    assert ahead.dims == ("window", "Time", "component")
    np.testing.assert_array_equal(ahead.XTIME, np.array(["2020-02-07", "2020-02-08"], "M8[ns]"))
    if counted:
        np.testing.assert_array_equal(ahead.Time, [8, 9])
    plain = obs.drop_vars("Time", errors="ignore").rename(Time="time", XTIME="time")
    expected = plain.set_xindex("time").fourdvar.forecast(xv.LinearInterpolation(), 2)
    np.testing.assert_array_equal(ahead, expected)


def test_times_without_a_coordinate_are_counted_on():
    obs = wrf_obs().drop_vars("XTIME")
    ahead = obs.fourdvar.forecast(xv.LinearInterpolation(), 2, dims=WRF)
    counted = obs.assign_coords(Time=np.arange(8.0))
    expected = counted.fourdvar.forecast(xv.LinearInterpolation(), 2, dims=WRF)
    np.testing.assert_array_equal(ahead, expected)
    assert "Time" not in ahead.coords


def test_a_mask_that_changes_along_the_dimension_is_refused():
    with pytest.raises(xv.InputError, match="mask changes in time"):
        wrf_obs().fourdvar.forecast(xv.LinearInterpolation(), 2, mask=wrf_obs().notnull(), dims=WRF)


LINEAR = xv.LinearInterpolation()


@pytest.mark.parametrize("chunks", [None, {"window": 1}])
@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_years_and_months_go_on(chunks, kind):
    for frequency in ("YS", "MS"):
        whole = xr.date_range("1981-01-01", periods=44, freq=frequency)
        obs = obs_at(whole[:40]).rename("a")
        obs = obs if chunks is None else obs.chunk(chunks)
        found = (obs if kind == "DataArray" else obs.to_dataset()).fourdvar.forecast(LINEAR, 4)
        assert found.indexes["time"].equals(whole[40:])


def test_seconds_are_not_cut_off():
    time = np.datetime64("2020-01-01", "s") + (1005 * np.arange(80) + 5) // 10
    ahead = obs_at(time[:41]).fourdvar.forecast(LINEAR, 39)
    assert ahead.time.values[-1] == time[-1]


def test_time_along_a_dimension_of_another_name():
    """As WRF writes it: the dimension is Time, the dates are XTIME, and Time has no labels."""
    whole = xr.date_range("2020-01-01", periods=12, freq="6h")
    obs = obs_at(whole[:8]).rename(time="Time").drop_vars("Time")
    obs = obs.assign_coords(XTIME=("Time", whole[:8], {"long_name": "valid at"}))
    ahead = obs.fourdvar.forecast(LINEAR, 4)
    np.testing.assert_array_equal(ahead.XTIME, whole[8:])
    assert ahead.XTIME.attrs == {"long_name": "valid at"}
    assert "Time" not in ahead.coords
    numbered = obs.assign_coords(Time=np.arange(8)).fourdvar.forecast(LINEAR, 4)
    np.testing.assert_array_equal(numbered.XTIME, whole[8:])
    assert numbered.Time.values.tolist() == [8, 9, 10, 11]
    with pytest.raises(xv.InputError, match="mask changes in time"):
        obs.fourdvar.forecast(LINEAR, 2, mask=obs.notnull())


def test_times_without_labels_are_counted():
    obs = obs_at(np.arange(8)).drop_vars("time")
    assert obs.fourdvar.forecast(LINEAR, 3).sizes["time"] == 3
    assert "time" not in obs.fourdvar.forecast(LINEAR, 3).coords
