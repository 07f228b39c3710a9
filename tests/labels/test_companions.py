"""Variables that CF names as companions of others."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr4dvar.labels import put_back, without_companions


def model_output() -> xr.Dataset:
    """With a companion of each kind."""
    time = ("time", [0.0, 1.0], {"bounds": "time_bnds"})
    lat = ("lat", [0.0, 1.0, 2.0], {"bounds": "lat_bnds"})
    attrs = {
        "grid_mapping": "crs: lat", "ancillary_variables": "flag", "cell_measures": "area: cells"
    }  # fmt: skip
    return xr.Dataset(
        {
            "sst": (("time", "lat"), np.ones((2, 3)), attrs),
            "time_bnds": (("time", "nv"), np.zeros((2, 2))),
            "lat_bnds": (("lat", "nv"), np.zeros((3, 2))),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
            "flag": (("time", "lat"), np.zeros((2, 3))),
            "cells": ("lat", np.ones(3)),
        },
        coords={"time": time, "lat": lat},
    )


def test_what_cf_names_is_left_alone() -> None:
    given = model_output()
    data, companions = without_companions(given)
    assert list(data.data_vars) == ["sst"]
    assert set(data.coords) == {"time", "lat", "crs"}
    assert set(companions) == {"time_bnds", "lat_bnds", "crs", "cells"}
    assert given.identical(model_output())


def test_it_is_put_back_unchanged_but_for_the_quality_of_the_data() -> None:
    given = model_output()
    data, companions = without_companions(given)
    assert isinstance(data, xr.Dataset)
    result = put_back(data, companions)
    xr.testing.assert_identical(result, given.drop_vars("flag"))


def test_bounds_among_the_coordinates() -> None:
    given = model_output().set_coords(["time_bnds", "lat_bnds", "crs"])
    data, companions = without_companions(given)
    assert set(data.variables) == {"sst", "time", "lat", "crs"}
    xr.testing.assert_identical(put_back(data, companions), given.drop_vars("flag"))


def test_names_that_xarray_put_into_the_encoding() -> None:
    given = model_output()
    given.sst.encoding["grid_mapping"] = given.sst.attrs.pop("grid_mapping")
    data, _ = without_companions(given)
    assert list(data.data_vars) == ["sst"]


def test_nothing_is_taken_where_nothing_is_named() -> None:
    given = model_output().drop_attrs()
    data, companions = without_companions(given)
    assert data is given
    assert not companions.variables
    array = model_output().sst
    assert without_companions(array)[0] is array


def test_variables_that_name_each_other_are_data() -> None:
    both = xr.Dataset(
        {
            "u": ("x", [1.0], {"ancillary_variables": "v"}),
            "v": ("x", [1.0], {"ancillary_variables": "u"}),
        }
    )
    assert list(without_companions(both)[0]) == ["u", "v"]


def test_a_grid_of_coordinates_alone_has_companions_too() -> None:
    grid = model_output()[["time_bnds", "lat_bnds"]]
    data, _ = without_companions(grid)
    assert dict(data.sizes) == {"time": 2, "lat": 3}
