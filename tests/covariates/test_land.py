"""Distance from the land, against great circles and plain geometry."""

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.errors import InputError
from xr4dvar.labels import great_circle_km


def test_distance_is_that_of_the_nearest_land_cell():
    lat, lon = 50 + 0.5 * np.arange(7), 0.5 * np.arange(9)
    land = np.random.default_rng(0).random((7, 9)) < 0.2
    sea = xr.DataArray(~land, {"lat": lat, "lon": lon}, ("lat", "lon"))
    found = xv.covariates.land_distance(sea)
    y, x = np.meshgrid(lat, lon, indexing="ij")
    each = [great_circle_km(y, x, y[p], x[p]) for p in map(tuple, np.argwhere(land))]
    np.testing.assert_allclose(found, np.min(each, axis=0), atol=1e-6)
    assert found.name == "land_distance"
    assert found.attrs["units"] == "km"


def test_across_the_date_line():
    lon = np.array([178.0, 179.0, 180.0, -179.0])
    sea = xr.DataArray([[True, True, True, False]], {"lat": [0.0], "lon": lon}, ("lat", "lon"))
    found = xv.covariates.land_distance(sea).values[0]
    np.testing.assert_allclose(found, 111.195 * np.array([3, 2, 1, 0]), rtol=1e-4)


@pytest.mark.parametrize("units", ["m", "km"])
def test_plain_coordinates_keep_their_units(units):
    coords = {"y": ("y", [0.0, 3.0], {"units": units}), "x": ("x", [0.0, 4.0], {"units": units})}
    sea = xr.DataArray([[False, True], [True, True]], coords, ("y", "x"))
    found = xv.covariates.land_distance(sea.transpose("x", "y"))
    assert found.dims == ("x", "y")
    np.testing.assert_allclose(found, [[0.0, 3.0], [4.0, 5.0]])
    assert found.attrs["units"] == units


def test_missing_places_have_no_distance():
    y, x = np.indices((3, 4)).astype(float)
    lat = 40 + y
    lat[0, 3] = np.nan
    coords = {"lat": (("j", "i"), lat), "lon": (("j", "i"), x)}
    sea = xr.DataArray(x > 0, dims=("j", "i"), coords=coords)
    found = xv.covariates.land_distance(sea)
    assert bool(found.isnull().sum() == 1)
    assert np.isnan(found.values[0, 3])


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (np.ones((2, 2), bool), "no DataArray of bool"),
        (xr.DataArray(np.ones((2, 2)), dims=("lat", "lon")), "no DataArray of bool"),
        (xr.DataArray(np.zeros((2, 2), bool), dims=("lat", "lon")), "no coordinates"),
        (xr.DataArray(np.ones((2, 2), bool), {"lat": [0.0, 1.0], "lon": [0.0, 1.0]}), "no land"),
        (
            xr.DataArray(np.ones((1, 2, 2), bool), dims=("time", "lat", "lon")),
            "not on y and x alone",
        ),
    ],
)
def test_bad_masks(mask, match):
    with pytest.raises(InputError, match=match):
        xv.covariates.land_distance(mask)
