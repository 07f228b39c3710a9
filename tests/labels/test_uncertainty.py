"""A map and its error in one Dataset."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels import check_error_names, with_errors


def field(name, **attrs):
    return xr.DataArray(np.ones((2, 3)), dims=("lat", "lon"), name=name, attrs=attrs)


def test_an_error_is_tied_to_its_map():
    attrs = {"units": "K", "standard_name": "sea_surface_temperature", "valid_max": 300.0}
    both = with_errors(field("sst", **attrs), field("sst", **attrs))
    assert list(both.data_vars) == ["sst", "sst_error"]
    assert both.sst.attrs == {**attrs, "ancillary_variables": "sst_error"}
    assert both.sst_error.attrs == {
        "units": "K",
        "standard_name": "sea_surface_temperature standard_error",
        "long_name": "standard deviation of the error of sst",
    }


def test_without_a_standard_name_none_is_made_up():
    error = with_errors(field(None, long_name="Chlorophyll"), field(None)).variable_error
    assert error.attrs == {"long_name": "standard deviation of the error of Chlorophyll"}


def test_every_variable_of_a_dataset_has_its_own():
    maps = xr.Dataset({"u": field("u"), "v": 2 * field("v")}, attrs={"title": "currents"})
    both = with_errors(maps, 0.1 * maps)
    assert both.attrs == {"title": "currents"}
    assert float(both.v_error[0, 0]) == pytest.approx(0.2)
    assert both.u.attrs["ancillary_variables"] == "u_error"


def test_the_dataset_says_how_it_was_made():
    made = field("ssh", history="mapped", xr4dvar_method="OI", units="m")
    assert with_errors(made, made).attrs == {"history": "mapped", "xr4dvar_method": "OI"}


@pytest.mark.parametrize(
    "obs",
    [
        xr.Dataset({"u": field("u"), "u_error": field("u")}),
        field("u").assign_coords(u_error=("lat", [1.0, 2.0])),
    ],
)
def test_a_taken_name_is_a_problem(obs):
    problems = Problems()
    check_error_names(obs, problems)
    assert ["u_error" in what for what, _ in problems.found] == [True]
