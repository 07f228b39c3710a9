from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid, find_axes, make_grid

MakeObs = Callable[..., xr.DataArray]


def grid_of(obs: xr.DataArray | xr.Dataset, periodic: Any = (), **dims: str) -> Grid:
    return make_grid(obs, find_axes(obs, dims), periodic)


def line(dim: str, values: Any, **attrs: str) -> xr.DataArray:
    return xr.DataArray(np.zeros(len(values)), dims=dim, coords={dim: (dim, values, attrs)})


def messages(obs: xr.DataArray, periodic: Any = (), **dims: str) -> tuple[tuple[str, str], ...]:
    axes = find_axes(obs, dims)
    with pytest.raises(InputError) as caught:
        make_grid(obs, axes, periodic)
    return caught.value.problems


def test_canonical_shape(make_obs: MakeObs) -> None:
    grid = grid_of(make_obs("lon", "member", "time", "lat"))
    assert grid.roles == ("time", "y", "x")
    assert grid.shape == (5, 4, 3)
    assert grid.geographic
    assert [grid[role].units for role in grid.roles] == ["day", "degree", "degree"]


def test_descending_axis_ascends(make_obs: MakeObs) -> None:
    lat = grid_of(make_obs().isel(lat=slice(None, None, -1)))["y"]
    np.testing.assert_array_equal(lat.values, [40.0, 41.0, 42.0, 43.0])
    assert lat.descending
    assert lat.spacing == 1.0


def test_names_along_an_axis_that_is_said_to_be_one_are_counted() -> None:
    grid = grid_of(line("component", ["x", "y", "z"], axis="X"))
    assert grid.roles == ("x",)
    assert grid["x"].values.tolist() == [0.0, 1.0, 2.0]
    assert grid["x"].units == "1"


def test_names_say_nothing_of_an_axis_by_themselves() -> None:
    """A coordinate `x` of names, such as those of stations, is no place."""
    obs = line("x", ["a", "b"]).expand_dims(time=3)
    assert "x" not in grid_of(obs, time="time").roles


def test_single_point_has_spacing_one() -> None:
    lat = grid_of(line("lat", [40.0]))["y"]
    assert (lat.spacing, lat.uniform, lat.descending) == (1.0, True, False)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([178.0, 179.0, -180.0, -179.0], [178.0, 179.0, 180.0, 181.0]),
        ([358.0, 359.0, 0.0, 1.0], [358.0, 359.0, 360.0, 361.0]),
        ([-179.0, -180.0, 179.0, 178.0], [-182.0, -181.0, -180.0, -179.0]),
        ([0.0, 190.0], [0.0, 190.0]),
    ],
)
def test_dateline(
    values: list[float], expected: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="xr4dvar"):
        lon = grid_of(line("lon", values))["x"]
    np.testing.assert_array_equal(lon.values, expected)
    assert ("crosses the dateline" in caplog.text) == (sorted(values) != expected)


def test_disorder_of_longitude_is_not_hidden_by_unwrapping() -> None:
    ((what, fix),) = messages(line("lon", [0.0, 200.0, 10.0, 20.0]))
    assert what == "'lon' neither ascends nor descends: it turns at entry 2"
    assert fix == "obs.sortby('lon')"


@pytest.mark.parametrize("periodic", [("lon",), ["x"], {"longitude"}, "lon"])
@pytest.mark.parametrize("start", [0.0, -180.0, 0.5])
def test_periodic_longitude(periodic: Any, start: float) -> None:
    lon = line("lon", (start + np.arange(0, 360, 0.25)).astype("f4"))
    assert grid_of(lon, periodic)["x"].period == 360.0
    assert grid_of(lon)["x"].period is None


def test_periodic_box() -> None:
    obs = xr.DataArray(
        np.zeros((8, 4)),
        dims=("y", "x"),
        coords={"y": np.arange(8) * 5.0, "x": ("x", np.arange(4) * 2.0, {"units": "km"})},
    )
    grid = grid_of(obs, ("x", "y"))
    assert (grid["y"].period, grid["x"].period) == (40.0, 8.0)
    assert (grid["y"].units, grid["x"].units, grid.geographic) == ("1", "km", False)


@pytest.mark.parametrize(
    ("values", "fix"),
    [
        (np.arange(0.0, 180.0), "leave it out of periodic"),
        (np.arange(0.0, 361.0), "obs.isel(lon=slice(None, -1))"),
        (np.arange(0.0, 358.0), "leave it out of periodic"),
    ],
)
def test_periodic_longitude_must_close(values: Any, fix: str) -> None:
    ((what, text),) = messages(line("lon", values), ("lon",))
    assert what.startswith(f"'lon' does not close: {len(values)} points 1 apart span {len(values)}")
    assert fix in text


def test_periodic_latitude_and_unknown_axis() -> None:
    assert "cannot be periodic" in messages(line("lat", [0.0, 1.0]), ("lat",))[0][0]
    assert "'lon' is not an axis" in messages(line("lat", [0.0, 1.0]), ("lon",))[0][0]


def test_periodic_must_be_even() -> None:
    assert "not evenly spaced" in messages(line("x", [0.0, 1.0, 5.0]), ("x",))[0][0]


@pytest.mark.parametrize(
    ("attrs", "unit", "factor"),
    [
        ({}, "degree", 1.0),
        ({"units": "degrees North"}, "degree", 1.0),
        ({"units": "degrees_north"}, "degree", 1.0),
        ({"units": "radian"}, "degree", 180 / np.pi),
    ],
)
def test_units_of_latitude(attrs: dict[str, str], unit: str, factor: float) -> None:
    lat = grid_of(line("lat", np.array([0.5, 1.0, 1.5]), **attrs))["y"]
    assert lat.units == unit
    np.testing.assert_allclose(lat.values, factor * np.array([0.5, 1.0, 1.5]))


def test_units_of_projected_axes() -> None:
    x = line("x", [0.0, 500.0, 1000.0], units="metres", standard_name="projection_x_coordinate")
    assert grid_of(x)["x"].units == "m"
    assert grid_of(line("x", [0.0, 1.0], units="furlong"))["x"].units == "1"


def test_geographic_needs_both_in_degrees(make_obs: MakeObs) -> None:
    assert not grid_of(make_obs("time", "lat")).geographic
    plain = make_obs("lat", "lon").drop_vars("lon").rename(lon="x")
    assert not grid_of(plain).geographic


def test_no_coordinate_counts_points() -> None:
    grid = grid_of(xr.DataArray(np.zeros((3, 2)), dims=("y", "x")))
    np.testing.assert_array_equal(grid["y"].values, [0.0, 1.0, 2.0])
    assert (grid["y"].units, grid.geographic) == ("1", False)


def test_latitude_out_of_range() -> None:
    assert messages(line("lat", [100.0, 110.0]))[0][0] == (
        "'lat' has latitude 110, outside -90 to 90"
    )


def test_every_bad_coordinate_at_once() -> None:
    obs = xr.DataArray(
        np.zeros((3, 4, 3)),
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.to_datetime(["2001-01-01", "2001-01-03", "2001-01-02"]),
            "lat": [40.0, 41.0, 41.0, 42.0],
            "lon": [0.0, np.inf, 2.0],
        },
    )
    problems = messages(obs)
    assert [what for what, _ in problems] == [
        "'time' neither ascends nor descends: it turns at entry 2",
        "'lat' has the same value twice: entries 1 and 2 (1 values in all)",
        "'lon' is missing or infinite at 1 of 3 points, first at 1",
    ]
    assert problems[0][1] == "obs.sortby('time')"
    assert "obs.drop_duplicates('lat')" in problems[1][1]


def test_the_fixes_work() -> None:
    obs = line("lat", [40.0, 42.0, 41.0, 41.0])
    fixed = obs.drop_duplicates("lat").sortby("lat")
    np.testing.assert_array_equal(grid_of(fixed)["y"].values, [40.0, 41.0, 42.0])


def test_uneven_space_is_logged_uneven_time_is_not(
    make_obs: MakeObs, caplog: pytest.LogCaptureFixture
) -> None:
    dates = pd.to_datetime(["2001-01-01", "2001-01-02", "2001-01-05", "2001-01-06", "2001-01-07"])
    with caplog.at_level(logging.WARNING, logger="xr4dvar"):
        grid = grid_of(make_obs(time=dates, lat=[40.0, 41.0, 42.0, 43.02]))
    assert [record.getMessage()[:27] for record in caplog.records] == [
        "'lat' is not evenly spaced,"
    ]
    assert (grid["time"].uniform, grid["y"].uniform, grid["x"].uniform) == (False, False, True)
    assert grid["time"].spacing == 1.0


def test_float32_rounding_is_even() -> None:
    lat = np.linspace(51.75, 50.95, 320, dtype="f4")
    assert grid_of(line("lat", lat))["y"].uniform


@pytest.mark.needs_data
@pytest.mark.parametrize(
    ("file", "name", "spacing", "units"),
    [
        ("twin_gulfstream/obs.nc", "ssh_nadir4", (1.0, 0.1, 0.1), ("day", "degree", "degree")),
        (
            "alboran_sst_2017/alboranSST_small.nc",
            "SST",
            (1.0, 0.02, 0.02),
            ("day", "degree", "degree"),
        ),
        (
            "enatl60_swot_med/SWOT_L3_LR_SSH_Expert_003_v2.0.1-med.nc",
            "ssha_filtered",
            (2.0, 2.0),
            ("km", "km"),
        ),
    ],
)
def test_real_grids(shared_data, file, name, spacing, units) -> None:  # type: ignore[no-untyped-def]
    with xr.open_dataset(shared_data(file)) as data:
        grid = grid_of(data[name])
    np.testing.assert_allclose([grid[role].spacing for role in grid.roles], spacing, rtol=5e-3)
    assert tuple(grid[role].units for role in grid.roles) == units


@pytest.mark.needs_data
def test_real_global_grids_close(shared_data) -> None:  # type: ignore[no-untyped-def]
    for file in (
        "duacs_global_201901/dt_global_adt_20181231_20190103.nc",
        "ersst_v5_monthly/sst.mnmean.nc",
    ):
        with xr.open_dataset(shared_data(file)) as data:
            grid = grid_of(data[next(iter(data.data_vars))], ("lon",))
        assert grid["x"].period == 360.0
