from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid, find_axes, make_grid, parse_length
from xr4dvar.labels.units import axis_unit

MakeObs = Callable[..., xr.DataArray]


@pytest.fixture
def degrees(make_obs: MakeObs) -> Grid:
    obs = make_obs()
    return make_grid(obs, find_axes(obs))


def plane(units: str) -> Grid:
    coords = {name: (name, [0.0, 1.0], {"units": units}) for name in ("y", "x")}
    obs = xr.DataArray(np.zeros((2, 2)), dims=("y", "x"), coords=coords)
    return make_grid(obs, find_axes(obs))


def messages(length: Any, grid: Grid) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_length(length, grid)
    assert all(fix for _, fix in caught.value.problems)
    return [what for what, _ in caught.value.problems]


@pytest.mark.parametrize(
    "week",
    ["7D", "7d", "7 days", " 168h ", timedelta(7), np.timedelta64(7, "D"), pd.Timedelta("7D")],
)
def test_durations(degrees: Grid, week: Any) -> None:
    lengths = parse_length({"time": week, "lat": 1.0, "lon": "2 degrees"}, degrees)
    assert lengths.values == {"time": 7.0, "y": 1.0, "x": 2.0}
    assert lengths.units == {"time": "day", "y": "degree", "x": "degree"}
    assert not lengths.metric


@pytest.mark.parametrize("text", ["100 km", "100km", "100000 m", "1e5 metres", "100.0 kilometers"])
def test_distance_on_the_sphere(degrees: Grid, text: str) -> None:
    lengths = parse_length({"time": "12h", "latitude": text, "x": text}, degrees)
    assert lengths.values == {"time": 0.5, "y": 100.0, "x": 100.0}
    assert lengths.units["y"] == lengths.units["x"] == "km"
    assert lengths.metric


def test_one_of_lat_and_lon_stands_for_both(degrees: Grid) -> None:
    assert parse_length({"time": "7D", "lat": 1.0}, degrees).values["x"] == 1.0
    assert parse_length({"time": "7D", "lon": "50 km"}, degrees).values["y"] == 50.0


def test_bare_value_is_for_space(make_obs: MakeObs, degrees: Grid) -> None:
    obs = make_obs("lat", "lon")
    grid = make_grid(obs, find_axes(obs))
    assert parse_length("100 km", grid).values == {"y": 100.0, "x": 100.0}
    assert parse_length(1.5, grid).values == {"y": 1.5, "x": 1.5}
    assert messages("100 km", degrees) == ["length along 'time' is missing"]


def test_bare_value_of_a_time_series() -> None:
    obs = xr.DataArray(np.zeros(3), dims="time", coords={"time": pd.date_range("2001", periods=3)})
    grid = make_grid(obs, find_axes(obs))
    assert parse_length("7D", grid).values == {"time": 7.0}
    assert messages(7, grid) == ["length along 'time' has no unit: 7"]


@pytest.mark.parametrize("length", ["7", 7, 7.0, np.float32(7), np.int64(7)])
def test_bare_number_along_time_is_ambiguous(degrees: Grid, length: Any) -> None:
    assert messages({"time": length, "lat": 1.0}, degrees)[0].startswith(
        "length along 'time' has no unit"
    )


def test_plane_in_metres() -> None:
    lengths = parse_length({"y": "2 km", "x": "500 m"}, plane("m"))
    assert lengths.values == {"y": 2000.0, "x": 500.0}
    assert lengths.units == {"y": "m", "x": "m"}
    assert not lengths.metric
    assert parse_length("500 m", plane("km")).values == {"y": 0.5, "x": 0.5}
    assert messages(5.0, plane("m")) == [
        "length along 'y' has no unit: 5.0",
        "length along 'x' has no unit: 5.0",
    ]


def test_plain_numbers_without_units() -> None:
    lengths = parse_length({"y": 2, "x": "3"}, plane(""))
    assert lengths.values == {"y": 2.0, "x": 3.0}
    assert lengths.units == {"y": "1", "x": "1"}
    assert messages("5 km", plane(""))[0] == "length along 'y' is in km, the axis is in 1"


def test_numeric_time_takes_numbers() -> None:
    obs = xr.DataArray(np.zeros(3), dims="time", coords={"time": [0.0, 1.0, 2.0]})
    grid = make_grid(obs, find_axes(obs))
    assert parse_length({"time": 3.0}, grid).units == {"time": "1"}
    assert messages({"time": "7D"}, grid) == ["length along 'time' is in day, the axis is in 1"]
    assert "is a duration" in messages({"time": timedelta(7)}, grid)[0]


@pytest.mark.parametrize("bad", [0, -1.0, np.nan, np.inf, "-3 km", "0 km", "nan"])
def test_lengths_are_positive_and_finite(degrees: Grid, bad: Any) -> None:
    assert f"length along 'lat' is {bad!r}" in messages({"time": "7D", "lat": bad}, degrees)


@pytest.mark.parametrize("bad", ["-7D", "0D", "NaT", "nan D"])
def test_durations_are_positive_and_finite(degrees: Grid, bad: str) -> None:
    assert len(messages({"time": bad, "lat": 1.0}, degrees)) == 1


def test_km_and_degrees_do_not_mix(degrees: Grid) -> None:
    assert messages({"time": "7D", "lat": "100 km", "lon": 1.0}, degrees) == [
        "length mixes km and degrees"
    ]
    assert messages({"time": "7D", "lat": "100 km", "lon": "50 km"}, degrees) == [
        "length in km differs between y (100) and x (50)"
    ]


def test_all_problems_at_once(degrees: Grid) -> None:
    assert messages({"time": "a week", "lat": "1 parsec", "lon": 0.0}, degrees) == [
        "length along 'time' is no duration: 'a week'",
        "length along 'lat' is no length: '1 parsec'",
        "length along 'lon' is 0.0",
    ]


def test_unknown_key(degrees: Grid) -> None:
    assert messages({"depth": 1.0}, degrees) == ["length: 'depth' is not an axis of the data"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("degrees_north", ("degree", 1.0)),
        ("degrees East", ("degree", 1.0)),
        ("degreesE", ("degree", 1.0)),
        ("degree", ("degree", 1.0)),
        ("metre", ("m", 1.0)),
        ("s", ("day", 1 / 86400)),
        ("degree Celsius", None),
        ("", None),
    ],
)
def test_axis_unit(text: str, expected: object) -> None:
    assert axis_unit(text) == expected


def test_an_axis_of_one_point_needs_no_length(make_obs: MakeObs) -> None:
    """There is nothing to correlate along it; a length that is given counts, and is checked."""
    obs = make_obs().isel(time=[0])
    grid = make_grid(obs, find_axes(obs))
    assert parse_length({"lat": 1.0}, grid).values == {"y": 1.0, "x": 1.0}
    assert parse_length("100 km", grid).values == {"y": 100.0, "x": 100.0}
    assert parse_length({"time": "7D", "lat": 1.0}, grid).values["time"] == 7.0
    assert messages({"time": 7, "lat": 1.0}, grid) == ["length along 'time' has no unit: 7"]
    column = make_obs().isel(lat=[0], lon=[0])
    grid = make_grid(column, find_axes(column))
    assert parse_length({"time": "7D"}, grid).values == {"time": 7.0}


def test_an_axis_may_be_called_by_its_coordinate() -> None:
    dates = pd.date_range("2001", periods=3)
    obs = xr.DataArray(np.zeros(3), dims="Time", coords={"XTIME": ("Time", dates)})
    grid = make_grid(obs, find_axes(obs))
    for name in ("XTIME", "Time", "time"):
        assert parse_length({name: "7D"}, grid).values == {"time": 7.0}
