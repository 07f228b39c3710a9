from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid, find_axes, great_circle_km, make_grid


def grid_of(obs: xr.DataArray | xr.Dataset, periodic: Any = (), **dims: str) -> Grid:
    return make_grid(obs, find_axes(obs, dims), periodic)


def messages(obs: xr.DataArray, periodic: Any = (), **dims: str) -> tuple[tuple[str, str], ...]:
    axes = find_axes(obs, dims)
    with pytest.raises(InputError) as caught:
        make_grid(obs, axes, periodic)
    return caught.value.problems


def curvilinear(transposed: bool = False) -> xr.DataArray:
    """A regular grid turned by 30 degrees about (40 N, 5 E), 4 km along y and 2 km along x."""
    j, i = np.meshgrid(4.0 * np.arange(6), 2.0 * np.arange(9), indexing="ij")
    north = j * np.cos(np.pi / 6) + i * np.sin(np.pi / 6)
    east = i * np.cos(np.pi / 6) - j * np.sin(np.pi / 6)
    degree = np.pi * 6371.0 / 180
    lat = 40 + north / degree
    lon = 5 + east / degree / np.cos(np.radians(lat))
    dims = ("y", "x")
    obs = xr.DataArray(
        np.zeros((6, 9)), dims=dims, coords={"nav_lat": (dims, lat), "nav_lon": (dims, lon)}
    )
    if transposed:
        obs = obs.assign_coords(nav_lat=obs.nav_lat.T, nav_lon=obs.nav_lon.T)
    return obs


@pytest.mark.parametrize("transposed", [False, True])
def test_curvilinear_distances(transposed: bool) -> None:
    grid = grid_of(curvilinear(transposed))
    np.testing.assert_allclose(grid["y"].values, 4.0 * np.arange(6), rtol=2e-3)
    np.testing.assert_allclose(grid["x"].values, 2.0 * np.arange(9), rtol=2e-3)
    assert (grid["y"].units, grid["y"].name, grid.geographic) == ("km", "nav_lat", False)
    assert grid.shape == (6, 9)


def test_curvilinear_gaps_away_from_one_line_are_no_problem() -> None:
    obs = curvilinear()
    obs.nav_lat[:5, :] = obs.nav_lat[:5, :].where(obs.x != 0)
    obs.nav_lat[3, 1:4] = np.nan
    grid = grid_of(obs)
    np.testing.assert_allclose(grid["x"].spacing, 2.0, rtol=2e-3)


def test_curvilinear_takes_the_middle_row_and_column() -> None:
    # meridians: columns of equal length, rows that shrink towards the pole
    lat, lon = np.meshgrid([0.0, 30.0, 60.0], [0.0, 1.0, 3.0], indexing="ij")
    flat = ("y", "x")
    obs = xr.DataArray(np.zeros((3, 3)), dims=flat, coords={"lat": (flat, lat), "lon": (flat, lon)})
    degree = np.pi * 6371.0 / 180
    grid = grid_of(obs)
    np.testing.assert_allclose(grid["y"].values, degree * np.array([0.0, 30.0, 60.0]))
    # a great circle is a little shorter than the parallel
    parallel = degree * np.cos(np.pi / 6) * np.array([0.0, 1.0, 3.0])
    np.testing.assert_allclose(grid["x"].values, parallel, rtol=1e-4)


def test_curvilinear_problems() -> None:
    obs = curvilinear()
    assert (
        "gaps in every line along 'y'"
        in messages(obs.where(False).assign_coords(nav_lat=obs.nav_lat.where(obs.y != 2)))[0][0]
    )
    assert "no 2-D longitude" in messages(obs.drop_vars("nav_lon"))[0][0]


def test_curvilinear_dask_coordinates_are_read_once() -> None:
    from xr4dvar.testing import raise_if_dask_computes

    obs = curvilinear()
    lazy = obs.chunk().assign_coords(nav_lat=obs.nav_lat.chunk(3), nav_lon=obs.nav_lon.chunk(3))
    with raise_if_dask_computes(max_computes=1):
        grid = grid_of(lazy)
    np.testing.assert_array_equal(grid["y"].values, grid_of(obs)["y"].values)


def test_great_circle() -> None:
    # a quarter of a meridian, one degree of the equator, antipodes
    distance = great_circle_km(
        [0.0, 0.0, 10.0], [0.0, 0.0, 20.0], [90.0, 0.0, -10.0], [7.0, 1.0, 200]
    )
    half = np.pi * 6371.0
    np.testing.assert_allclose(distance, [half / 2, half / 180, half], rtol=1e-7)


def test_latitudes_in_radians() -> None:
    """As ICON has them: the same distances as in degrees."""
    degrees = curvilinear()
    radians = degrees.assign_coords(
        {
            name: np.deg2rad(degrees[name]).assign_attrs(units="radian")
            for name in ("nav_lat", "nav_lon")
        }
    )
    for role in ("y", "x"):
        np.testing.assert_allclose(
            grid_of(radians)[role].values, grid_of(degrees)[role].values, atol=1e-6
        )


def test_latitudes_beyond_the_poles() -> None:
    obs = curvilinear()
    bad = obs.assign_coords(nav_lat=obs.nav_lat + 60)
    ((what, fix),) = messages(bad)
    assert what.startswith("'nav_lat' has latitude 100")
    # what is missing along the edge leaves complete rows and columns
    edge = obs.assign_coords(nav_lat=obs.nav_lat.where(obs.nav_lat < obs.nav_lat.max(), 95.0))
    ((what, fix),) = messages(edge)
    mended = eval(fix.removeprefix("mark them as missing, "), {"obs": edge})
    np.testing.assert_allclose(grid_of(mended)["y"].values, grid_of(obs)["y"].values)


def test_2d_coordinates_in_metres_are_no_latitudes() -> None:
    obs = curvilinear()
    metres = obs.assign_coords(nav_lat=(obs.nav_lat * 0).assign_attrs(units="m"))
    ((what, _),) = messages(metres)
    assert what == "'nav_lat' holds latitudes or longitudes in 'm'"


def test_coordinates_may_be_named_like_dimensions_of_others() -> None:
    obs = curvilinear().rename(y="lat", x="lon")
    np.testing.assert_allclose(grid_of(obs)["y"].spacing, 4.0, rtol=1e-3)
