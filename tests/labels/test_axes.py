from __future__ import annotations

import itertools
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.labels import Axes, find_axes


def zeros(*dims: str, **coords: object) -> xr.DataArray:
    sizes = range(3, 3 + len(dims))
    return xr.DataArray(np.zeros(tuple(sizes)), dims=dims, coords=coords)


def found(axes: Axes) -> tuple[str | None, str | None, str | None, tuple[str, ...]]:
    return axes.time, axes.y, axes.x, axes.batch


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        (("time", "lat", "lon"), ("time", "lat", "lon", ())),
        (("lon", "lat", "time"), ("time", "lat", "lon", ())),
        (("latitude", "longitude"), (None, "latitude", "longitude", ())),
        (("t", "y", "x"), ("t", "y", "x", ())),
        (("T", "Y", "X"), ("T", "Y", "X", ())),
        (("time_counter", "j", "i"), ("time_counter", "j", "i", ())),
        (("ocean_time", "eta_rho", "xi_rho"), ("ocean_time", "eta_rho", "xi_rho", ())),
        (("time", "south_north", "west_east"), ("time", "south_north", "west_east", ())),
        (("time", "rlat", "rlon"), ("time", "rlat", "rlon", ())),
        (("northing", "easting"), (None, "northing", "easting", ())),
        (("time", "row", "col"), ("time", "row", "col", ())),
        (("time",), ("time", None, None, ())),
        (("member", "time", "lat", "lon"), ("time", "lat", "lon", ("member",))),
        (("lat", "member", "lon", "window"), (None, "lat", "lon", ("member", "window"))),
        (("time", "depth", "lat", "lon"), ("time", "lat", "lon", ("depth",))),
        # with all three axes known, any other name can only be an independent dimension
        (("tracer", "time", "lat", "lon"), ("time", "lat", "lon", ("tracer",))),
        (("window", "time", "component"), ("time", None, None, ("window", "component"))),
    ],
)
def test_names_alone(dims: tuple[str, ...], expected: tuple[object, ...]) -> None:
    axes = find_axes(zeros(*dims))
    assert found(axes) == expected
    assert set(axes.how.values()) == {"guess"}
    assert axes.coordinates == {}


def test_guess_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="xr4dvar"):
        find_axes(zeros("lat", "lon"))
    assert "y axis: dimension 'lat', guessed" in caplog.text


def test_cf_attributes_alone() -> None:
    obs = zeros(
        "a",
        "b",
        "c",
        a=("a", np.arange(3.0), {"axis": "X"}),
        b=("b", np.arange(4.0), {"standard_name": "time"}),
        c=("c", np.arange(5.0), {"units": "degrees_north"}),
    )
    axes = find_axes(obs)
    assert found(axes) == ("b", "c", "a", ())
    assert axes.how == {"time": "cf", "y": "cf", "x": "cf"}
    assert list(axes.how) == ["time", "y", "x"]
    assert axes.dims == ("b", "c", "a")
    assert axes.coordinates == {"time": "b", "y": "c", "x": "a"}


def test_cf_goes_before_names() -> None:
    # "y" would be guessed to be the y axis, CF says that "lat" is
    obs = zeros("y", "lat", "lon", lat=("lat", np.arange(4.0), {"standard_name": "latitude"}))
    assert found(find_axes(obs, dims={"lon": "lon"})) == (None, "lat", "lon", ("y",))


def test_projected_axes_with_2d_latitude() -> None:
    metres = {"units": "m", "standard_name": "projection_y_coordinate"}
    obs = zeros("y", "x", y=("y", np.arange(3.0), metres), x=("x", np.arange(4.0), {"axis": "X"}))
    flat = ("y", "x"), np.zeros((3, 4))
    obs = obs.assign_coords(
        lat=(*flat, {"standard_name": "latitude"}), lon=(*flat, {"standard_name": "longitude"})
    )
    axes = find_axes(obs)
    assert found(axes) == (None, "y", "x", ())
    assert axes.coordinates == {"y": "y", "x": "x"}


@pytest.mark.parametrize("names", [("lat", "lon"), ("nav_lat", "nav_lon"), ("XLAT", "XLONG")])
@pytest.mark.parametrize("dims", [("y", "x"), ("j", "i"), ("line", "pixel")])
def test_2d_coordinates(names: tuple[str, str], dims: tuple[str, str]) -> None:
    obs = zeros("time", *dims)
    flat = xr.Variable(dims, np.zeros((4, 5)))
    axes = find_axes(obs.assign_coords({name: flat for name in names}))
    assert found(axes) == ("time", *dims, ())
    assert axes.coordinates == {"y": names[0], "x": names[1]}


def test_2d_coordinate_stored_the_other_way_round() -> None:
    flat = xr.Variable(("x", "y"), np.zeros((4, 3)))
    axes = find_axes(zeros("y", "x").assign_coords(nav_lat=flat, nav_lon=flat))
    assert found(axes) == (None, "y", "x", ())


def test_counting_coordinates_give_way_to_2d_ones() -> None:
    flat = xr.Variable(("y", "x"), np.zeros((3, 4)))
    obs = zeros("y", "x", y=np.arange(3), x=np.arange(4)).assign_coords(lat=flat, lon=flat)
    assert find_axes(obs).coordinates == {"y": "lat", "x": "lon"}


def test_swath_with_a_date_for_each_line() -> None:
    flat = xr.Variable(("line", "pixel"), np.zeros((3, 4)), {"standard_name": "latitude"})
    obs = zeros("line", "pixel").assign_coords(
        lat=flat,
        lon=flat.copy()._replace(attrs={"standard_name": "longitude"}),
        time=("line", pd.date_range("2001", periods=3), {"standard_name": "time"}),
    )
    assert found(find_axes(obs)) == (None, "line", "pixel", ())


def test_auxiliary_1d_coordinates() -> None:
    obs = zeros("y", "x").assign_coords(lat=("y", np.arange(3.0)), lon=("x", np.arange(4.0)))
    assert find_axes(obs).coordinates == {"y": "lat", "x": "lon"}


def test_1d_coordinates_go_before_2d_ones() -> None:
    flat = xr.Variable(("y", "x"), np.zeros((3, 4)))
    obs = zeros("y", "x").assign_coords(nav_lat=flat, nav_lon=flat)
    obs = obs.assign_coords(lat=("y", np.arange(3.0)), lon=("x", np.arange(4.0)))
    assert find_axes(obs).coordinates == {"y": "lat", "x": "lon"}


def test_2d_latitude_alone_says_both_dimensions() -> None:
    flat = xr.Variable(("line", "pixel"), np.zeros((3, 4)))
    axes = find_axes(zeros("line", "pixel").assign_coords(lat=flat))
    assert found(axes) == (None, "line", "pixel", ())
    assert axes.coordinates == {"y": "lat"}


def test_date_coordinate_beside_a_bare_dimension() -> None:
    obs = zeros("Time", "lat", "lon").assign_coords(
        XTIME=("Time", pd.date_range("2001", periods=3))
    )
    assert find_axes(obs).coordinates["time"] == "XTIME"


def test_dates_are_time_whatever_their_name() -> None:
    obs = zeros("snapshot", "lat", "lon", snapshot=pd.date_range("2001", periods=3))
    assert find_axes(obs).time == "snapshot"
    months = xr.date_range("2001", periods=3, calendar="noleap", use_cftime=True)
    assert find_axes(zeros("snapshot", "lat", "lon", snapshot=months)).time == "snapshot"


def test_position_of_a_buoy_does_not_hide_time() -> None:
    obs = zeros("time", "depth", time=pd.date_range("2001", periods=3)).assign_coords(
        lat=("time", np.arange(3.0)), lon=("time", np.arange(3.0))
    )
    assert found(find_axes(obs)) == ("time", None, None, ("depth",))


def test_scalar_and_text_coordinates_are_no_axes() -> None:
    obs = zeros("lat", "lon").assign_coords(time=pd.Timestamp("2001"), y_label=("lat", list("abc")))
    assert found(find_axes(obs)) == (None, "lat", "lon", ())


@pytest.mark.parametrize("order", list(itertools.permutations(["lead", "a", "b", "c"])))
def test_given_dims_in_any_order(order: tuple[str, ...]) -> None:
    axes = find_axes(zeros(*order), dims={"t": "a", "latitude": "b", "X": "c"})
    assert found(axes) == ("a", "b", "c", ("lead",))
    assert set(axes.how.values()) == {"given"}


def test_given_goes_before_cf() -> None:
    obs = zeros("a", "b", a=("a", np.arange(3.0), {"axis": "X"}))
    assert found(find_axes(obs, dims={"y": "a", "x": "b"})) == (None, "a", "b", ())


def test_given_2d_coordinates() -> None:
    flat = xr.Variable(("p", "q"), np.zeros((3, 4)))
    obs = zeros("p", "q").assign_coords(breite=flat, laenge=flat)
    axes = find_axes(obs, dims={"lat": "breite", "lon": "laenge"})
    assert found(axes) == (None, "p", "q", ())
    assert axes.coordinates == {"y": "breite", "x": "laenge"}


def test_dataset() -> None:
    data = xr.Dataset({"u": zeros("time", "lat", "lon"), "v": zeros("time", "lat", "lon")})
    assert find_axes(data).dims == ("time", "lat", "lon")


def messages(obs: xr.DataArray, dims: dict[str, str] | None = None) -> tuple[tuple[str, str], ...]:
    with pytest.raises(InputError) as caught:
        find_axes(obs, dims=dims)
    return caught.value.problems


def test_ambiguous_names_are_listed_with_the_line_to_paste() -> None:
    ((what, fix),) = messages(zeros("lat", "lat_2", "lon"))
    assert what == "the lat axis is ambiguous: 'lat', 'lat_2'"
    assert 'dims={"lat": "lat"} or dims={"lat": "lat_2"}' in fix


def test_ambiguous_cf() -> None:
    attrs = {"standard_name": "longitude"}
    obs = zeros("p", "q", p=("p", np.arange(3.0), attrs), q=("q", np.arange(4.0), attrs))
    assert messages(obs)[0][0] == "the lon axis is ambiguous: 'p', 'q'"


@pytest.mark.parametrize(
    ("dims", "unknown", "paste"),
    [
        (("a", "b", "c"), "'a', 'b', 'c'", '{"time": "a", "lat": "b", "lon": "c"}'),
        (("a", "b"), "'a', 'b'", '{"lat": "a", "lon": "b"}'),
        (("time", "a", "b"), "'a', 'b'", '{"time": "time", "lat": "a", "lon": "b"}'),
        (("a", "lat", "lon"), "'a'", '{"time": "a", "lat": "lat", "lon": "lon"}'),
    ],
)
def test_unknown_dims(dims: tuple[str, ...], unknown: str, paste: str) -> None:
    ((what, fix),) = messages(zeros(*dims))
    assert unknown in what
    assert f"{dims[0]}: 3" in what
    assert f"dims={paste}" in fix


def test_only_independent_dims() -> None:
    ((what, _),) = messages(zeros("member", "window"))
    assert "cannot tell which axis 'member', 'window'" in what


def test_points_are_not_a_grid() -> None:
    points = {name: ("obs", np.arange(3.0)) for name in ("time", "lat", "lon")}
    ((what, fix),) = messages(zeros("obs", **points))
    assert "along dimension 'obs': these are points" in what
    assert "map them to a grid, obs.fourdvar.map_points(" in fix


def test_all_wrong_dims_at_once() -> None:
    problems = messages(zeros("a", "b"), {"lat": "c", "height": "a", "x": "b", "lon": "a"})
    assert [what for what, _ in problems] == [
        "dims: no dimension 'c'",
        "dims: 'height' is not an axis",
        "dims: 'lon' names the x axis twice",
    ]


def test_one_dimension_for_two_axes() -> None:
    ((what, _),) = messages(zeros("a"), {"lat": "a", "lon": "a"})
    assert what == "dims: 'a' is given to two axes"


def test_moving_grid() -> None:
    deep = xr.Variable(("Time", "south_north", "west_east"), np.zeros((3, 4, 5)))
    obs = zeros("Time", "south_north", "west_east").assign_coords(XLAT=deep, XLONG=deep)
    (first, second) = messages(obs)
    assert "'XLAT' changes along 3 dimensions" in first[0]
    assert "assign_coords(XLAT=obs['XLAT'].isel(Time=0, drop=True))" in first[1]
    assert "'XLONG'" in second[0]
    fixed = obs.assign_coords({n: obs[n].isel(Time=0, drop=True) for n in ("XLAT", "XLONG")})
    assert find_axes(fixed).coordinates == {"y": "XLAT", "x": "XLONG"}


@pytest.mark.parametrize("obs", [xr.DataArray(1.0), xr.Dataset()])
def test_no_dimensions(obs: xr.DataArray) -> None:
    assert messages(obs)[0][0] == "obs has no dimensions"


def test_empty_dimension() -> None:
    assert messages(zeros("time", "lat").isel(time=slice(0)))[0][0] == (
        "dimension 'time' has no entries"
    )


def test_labels_load_neither_torch_nor_dask() -> None:
    code = (
        "import sys, xr4dvar.labels; "
        "print([m for m in ('torch', 'dask', 'cf_xarray', 'scipy') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


def cells(**coords: object) -> xr.DataArray:
    """Data of an unstructured grid: its places run along one dimension."""
    usual = {
        "time": pd.date_range("2001", periods=3),
        "lat": ("cells", np.array([3.0, 1.0, 2.0, 0.0])),
        "lon": ("cells", np.array([0.0, 2.0, 1.0, 3.0])),
    }
    return zeros("time", "cells", **usual | coords)


def test_cells_of_no_grid_are_told_two_ways_that_work() -> None:
    ((what, fix),) = messages(cells())
    assert what == "y, x all run along dimension 'cells': these are points, no grid"
    assert "obs.fourdvar.map_points(" in fix
    assert fix.endswith('dims={"time": "time"}')
    axes = find_axes(cells(), dims={"time": "time"})
    assert found(axes) == ("time", None, None, ("cells",))


@pytest.mark.parametrize("coords", [{}, {"cells": np.arange(4)}])
def test_cells_that_are_said_to_be_an_axis_are_counted(coords: dict[str, object]) -> None:
    axes = find_axes(cells(**coords), dims={"time": "time", "x": "cells"})
    assert found(axes) == ("time", None, "cells", ())
    assert axes.coordinates == {"time": "time"} | ({"x": "cells"} if coords else {})


def test_the_variable_of_an_odd_dimension_is_named() -> None:
    data = xr.Dataset({"u": zeros("lat", "lon"), "edges": zeros("lat", "corner")})
    with pytest.raises(InputError) as caught:
        find_axes(data)
    ((what, fix),) = caught.value.problems
    assert what == "cannot tell which axis 'corner' of 'edges' is"
    assert fix == "leave 'edges' out, obs.drop_vars(['edges'])"


@pytest.mark.parametrize("attrs", [{"cell_measures": 5}, {"units": 3}, {"standard_name": ["a"]}])
def test_malformed_attributes_do_no_harm(attrs: dict[str, object]) -> None:
    obs = zeros("lat", "lon", lat=("lat", np.arange(3.0), attrs))
    assert found(find_axes(obs)) == (None, "lat", "lon", ())
    assert obs.lat.attrs == attrs
    data = obs.to_dataset(name="a")
    find_axes(data)
    assert data.lat.attrs == attrs
