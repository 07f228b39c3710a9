"""Degrees alone are neither latitude nor longitude."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid, find_axes, make_grid, parse_length
from xr4dvar.labels.angles import check_latitudes, degrees_factor, satellite_height_km
from xr4dvar.labels.evidence import sphere_name

#: Of GOES-16 (product user guide, 5.1.2): metres above the ellipsoid.
HEIGHT = 35786023.0
MAPPING = {"grid_mapping_name": "geostationary", "perspective_point_height": HEIGHT}


def image(
    units: str = "rad", step: float = 5.6e-5, standard_name: str = "projection_{}_coordinate"
) -> xr.DataArray:
    """Four by five scan angles of a geostationary image, y from north to south."""
    attrs = {d: {"units": units, "standard_name": standard_name.format(d)} for d in "yx"}
    coords = {
        "y": ("y", step * (40 - np.arange(4.0)), attrs["y"]),
        "x": ("x", step * np.arange(-30.0, -25.0), attrs["x"]),
    }
    return xr.DataArray(np.zeros((4, 5)), dims=("y", "x"), coords=coords)


def grid_of(obs: xr.DataArray, periodic: Any = ()) -> Grid:
    return make_grid(obs, find_axes(obs), periodic)


def messages(length: Any, grid: Grid) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        parse_length(length, grid)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("attrs", "name", "role", "expected"),
    [
        ({"standard_name": "latitude"}, "j", "y", "latitude"),
        ({"standard_name": "grid_latitude", "units": "degrees"}, "rlat", "y", "grid_latitude"),
        ({"standard_name": "projection_y_coordinate", "units": "rad"}, "lat", "y", None),
        ({"units": "degrees_north"}, "j", "y", "latitude"),
        ({"units": "degrees_east"}, "i", "x", "longitude"),
        ({"units": "degrees_east"}, "j", "y", None),
        ({"units": "degrees"}, "y", "y", None),
        ({"units": "rad"}, "x", "x", None),
        ({}, "nav_lon", "x", "longitude"),
        ({}, "rlon", "x", "grid_longitude"),
        ({"standard_name": "latitude"}, "lat", "x", None),
    ],
)
def test_what_a_coordinate_is(attrs: Any, name: str, role: Any, expected: str | None) -> None:
    coordinate = xr.DataArray([0.0], dims="p", name=name, attrs=attrs)
    assert sphere_name(role, coordinate) == expected


@pytest.mark.parametrize("units", ["rad", "degree"])
@pytest.mark.parametrize("name", ["projection_{}_coordinate", "projection_{}_angular_coordinate"])
def test_scan_angles_are_not_on_the_sphere(units: str, name: str) -> None:
    grid = grid_of(image(units, standard_name=name))
    assert not grid.geographic
    (first, fix), (second, _) = messages("100 km", grid)
    assert first == "length along 'y' is in km, the axis is in degree"
    assert second == "length along 'x' is in km, the axis is in degree"
    assert "decode_coords='all'" in fix


def test_scan_angles_are_km_by_the_height_of_the_satellite(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """CF, appendix F: the distance is the angle in radians times the height."""
    obs = image().assign_coords(goes_imager_projection=((), 0, MAPPING))
    grid = grid_of(obs)
    assert "km right below the satellite, 35786 km high" in caplog.text
    assert [grid[role].units for role in ("y", "x")] == ["km", "km"]
    np.testing.assert_allclose(grid["x"].spacing, 5.6e-5 * HEIGHT / 1000)
    np.testing.assert_allclose(grid["x"].values, obs.x * HEIGHT / 1000)
    assert grid["y"].descending
    lengths = parse_length("20 km", grid)
    assert (lengths.values, lengths.metric) == ({"y": 20.0, "x": 20.0}, False)
    in_degrees = image("degree", 5.6e-5 * 180 / np.pi).assign_coords(crs=((), 0, MAPPING))
    np.testing.assert_allclose(grid_of(in_degrees)["y"].values, grid["y"].values)


@pytest.mark.parametrize(
    "mapping",
    [
        {"grid_mapping_name": "geostationary"},
        MAPPING | {"perspective_point_height": "high"},
        MAPPING | {"perspective_point_height": -1.0},
        MAPPING | {"grid_mapping_name": "stereographic"},
    ],
)
def test_no_height_no_km(mapping: dict[str, Any]) -> None:
    obs = image().assign_coords(crs=((), 0, mapping))
    assert satellite_height_km(obs.coords, obs.y) is None
    assert grid_of(obs)["y"].units == "degree"


def test_two_satellites_no_km() -> None:
    other = MAPPING | {"perspective_point_height": 36e6}
    obs = image().assign_coords(a=((), 0, MAPPING), b=((), 0, other))
    assert satellite_height_km(obs.coords, obs.y) is None


def test_lengths_along_scan_angles_are_angles() -> None:
    lengths = parse_length({"y": "0.01 degree", "x": "0.0002 rad"}, grid_of(image()))
    assert lengths.values["y"] == 0.01
    np.testing.assert_allclose(lengths.values["x"], 0.0002 * 180 / np.pi)


def test_a_bare_number_of_radians_or_degrees_is_ambiguous() -> None:
    """The package counts in degrees: 0.01 along radians would be 57 times shorter than meant."""
    assert messages(0.01, grid_of(image()))[0][0] == "length along 'y' has no unit: 0.01"
    assert parse_length(0.01, grid_of(image("degree"))).values == {"y": 0.01, "x": 0.01}
    attrs = {"units": "radian", "standard_name": "latitude"}
    obs = xr.DataArray(np.zeros(3), dims="clat", coords={"clat": ("clat", [0.1, 0.2, 0.3], attrs)})
    grid = grid_of(obs)
    assert grid["y"].sphere == "latitude"
    assert messages(0.01, grid)[0][0] == "length along 'clat' has no unit: 0.01"


def test_2d_latitudes_go_before_scan_angles() -> None:
    lat, lon = np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")
    places = {"latitude": (("y", "x"), lat), "longitude": (("y", "x"), lon)}
    axes = find_axes(image().assign_coords(places))
    assert axes.coordinates == {"y": "latitude", "x": "longitude"}


def test_a_rotated_pole_is_on_the_sphere() -> None:
    coords = {
        "rlat": ("rlat", [0.0, 1.0], {"standard_name": "grid_latitude", "units": "degrees"}),
        "rlon": ("rlon", [0.0, 1.0], {"standard_name": "grid_longitude", "units": "degrees"}),
    }
    grid = grid_of(xr.DataArray(np.zeros((2, 2)), dims=("rlat", "rlon"), coords=coords))
    assert grid.geographic
    assert parse_length("100 km", grid).metric


def test_other_angles_are_neither_bounded_nor_unwrapped_nor_closed_at_360() -> None:
    attrs = {"units": "degree"}
    azimuth = xr.DataArray(
        np.zeros((3, 4)), dims=("y", "x"),
        coords={"y": ("y", [80.0, 100.0, 120.0], attrs), "x": ("x", np.arange(4) * 2.0, attrs)},
    )  # fmt: skip
    grid = grid_of(azimuth, periodic=("y", "x"))
    assert (grid["y"].period, grid["x"].period) == (60.0, 8.0)
    turned = azimuth.assign_coords(x=("x", [356.0, 358.0, 0.0, 2.0], attrs))
    with pytest.raises(InputError, match="'x' neither ascends nor descends"):
        grid_of(turned)


@pytest.mark.parametrize(
    ("units", "expected"),
    [("", 1.0), ("1", 1.0), ("degrees_north", 1.0), ("decimal degrees", 1.0), ("°N", 1.0),
     ("radians", 180 / np.pi), ("furlong", None), ("days", None)],
)  # fmt: skip
def test_units_of_latitudes(units: str, expected: float | None) -> None:
    problems = Problems()
    lat = xr.DataArray([1.0], dims="lat", name="lat", attrs={"units": units})
    assert degrees_factor(lat, problems) == expected
    assert bool(problems.found) == (expected is None)


def test_latitudes_in_other_units_are_refused() -> None:
    lat = ("lat", [1.0, 2.0], {"units": "arc_minute"})
    with pytest.raises(InputError, match="'lat' holds latitudes or longitudes in 'arc_minute'"):
        grid_of(xr.DataArray(np.zeros(2), dims="lat", coords={"lat": lat}))


@pytest.mark.parametrize(
    ("values", "good"), [([-90.0, 90.0], True), ([np.nan, 90.005], True), ([0.0, -95.0], False)]
)
def test_poles(values: list[float], good: bool) -> None:
    problems = Problems()
    assert check_latitudes("lat", np.array(values), problems, "mend") == good
    assert [what for what, _ in problems.found] == (
        [] if good else ["'lat' has latitude -95, outside -90 to 90"]
    )
