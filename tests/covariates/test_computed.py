"""Covariates that follow from coordinates: values from the calendar and the axes."""

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import find_axes, make_grid


def arrays(part, obs, periodic=()):
    problems = Problems()
    found = part.arrays(obs, make_grid(obs, find_axes(obs), periodic), problems)
    problems.raise_if_any()
    return {name: array.values for name, array in found.items()}


def series(times):
    return xr.DataArray(np.zeros(len(times)), dims="time", coords={"time": times}, name="t")


@pytest.mark.parametrize(
    ("calendar", "year"), [("standard", 365.25), ("noleap", 365.0), ("360_day", 360.0)]
)
def test_season_is_a_circle_of_the_calendar(calendar, year):
    times = xr.date_range(
        "2001-01-01", periods=5, freq="91D", calendar=calendar, use_cftime=calendar != "standard"
    )
    found = arrays(xv.covariates.day_of_year(), series(times))
    angle = 2 * np.pi * np.array([0, 91, 182, 273, 364 % (360 if year == 360 else 365)]) / year
    if year == 365:
        angle[-1] = 2 * np.pi * 364 / 365
    np.testing.assert_allclose(found["day_of_year_sin"], np.sin(angle), atol=1e-12)
    np.testing.assert_allclose(found["day_of_year_cos"], np.cos(angle), atol=1e-12)


def test_hours_count():
    times = np.array(["2001-01-01T00", "2001-01-01T12"], dtype="M8[ns]")
    found = arrays(xv.covariates.day_of_year(), series(times))
    np.testing.assert_allclose(found["day_of_year_sin"][1], np.sin(np.pi / 365.25))


def test_no_dates_no_season():
    with pytest.raises(InputError, match="no dates"):
        arrays(xv.covariates.day_of_year(), series(np.arange(5.0)))


def test_position_is_that_of_the_user_even_where_axes_descend():
    lat = [3.0, 2.0, 1.0]
    obs = xr.DataArray(np.zeros((3, 2)), {"lat": lat, "lon": [5.0, 6.0]}, ("lat", "lon"))
    found = arrays(xv.covariates.position(), obs)
    np.testing.assert_array_equal(found["position_y"], lat)
    np.testing.assert_array_equal(found["position_x"], [5.0, 6.0])


def test_position_on_a_circle_has_no_seam():
    lon = np.arange(0.0, 360.0, 90.0)
    obs = xr.DataArray(np.zeros((2, 4)), {"lat": [0.0, 1.0], "lon": lon}, ("lat", "lon"))
    found = arrays(xv.covariates.position(), obs, ("lon",))
    np.testing.assert_allclose(found["position_x_sin"], [0, 1, 0, -1], atol=1e-12)
    np.testing.assert_allclose(found["position_x_cos"], [1, 0, -1, 0], atol=1e-12)


def test_position_on_a_circle_in_other_units_and_turned():
    lon = np.deg2rad(np.arange(270.0, -1.0, -90.0))
    coords = {"lat": [0.0, 1.0], "lon": ("lon", lon, {"units": "radian"})}
    obs = xr.DataArray(np.zeros((2, 4)), coords, ("lat", "lon"))
    found = arrays(xv.covariates.position(), obs, ("lon",))
    np.testing.assert_allclose(found["position_x_sin"], [-1, 0, 1, 0], atol=1e-12)


def test_position_of_two_dimensions():
    y, x = np.indices((3, 4)).astype(float)
    coords = {"lat": (("j", "i"), 40 + 0.1 * y + 0.01 * x), "lon": (("j", "i"), 0.1 * x)}
    obs = xr.DataArray(np.zeros((3, 4)), dims=("j", "i"), coords=coords)
    found = arrays(xv.covariates.position(), obs)
    np.testing.assert_array_equal(found["position_y"], obs.lat.values)


def test_no_coordinates_no_position():
    with pytest.raises(InputError, match="no coordinates of y or x"):
        arrays(xv.covariates.position(), series(np.arange(5.0)))
