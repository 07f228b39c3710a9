from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels import (
    check_same_grid,
    check_same_variables,
    find_axes,
    make_grid,
    variables_signature,
)

MakeObs = Callable[..., xr.DataArray]


def differences(fitted: xr.DataArray, data: xr.DataArray) -> list[str]:
    signature = json.loads(json.dumps(make_grid(fitted, find_axes(fitted)).signature()))
    problems = Problems()
    check_same_grid(signature, make_grid(data, find_axes(data)), problems)
    return [what for what, _ in problems.found]


def test_same_grid_elsewhere_and_later(make_obs: MakeObs) -> None:
    other = make_obs(
        "lon",
        "lat",
        "time",
        lat=np.linspace(13.0, 10.0, 4),
        lon=100.001 * np.array([1.0, 1.01, 1.02]),
        time=pd.date_range("2010", periods=5),
    )
    assert differences(make_obs(), other) == []


def test_spacing(make_obs: MakeObs) -> None:
    other = make_obs(
        lat=np.linspace(40.0, 41.5, 4), time=pd.date_range("2010", periods=5, freq="h")
    )
    assert differences(make_obs(), other) == [
        "spacing of 'time' is 0.0416667 day, the model knows 1 day",
        "spacing of 'lat' is 0.5 degree, the model knows 1 degree",
    ]


def test_spacing_of_one_percent_is_the_same(make_obs: MakeObs) -> None:
    assert differences(make_obs(), make_obs(lat=1.009 * np.arange(4))) == []
    assert differences(make_obs(), make_obs(lat=1.011 * np.arange(4))) != []


def test_months_are_as_long_as_months(make_obs: MakeObs) -> None:
    year = make_obs(time=pd.date_range("2001-06-01", periods=5, freq="MS"))
    spring = make_obs(time=pd.date_range("2001-02-01", periods=5, freq="MS")).isel(time=slice(3))
    assert differences(year, spring) == []


def test_single_date_fits_any_spacing(make_obs: MakeObs) -> None:
    assert differences(make_obs(), make_obs().isel(time=[0])) == []
    assert differences(make_obs().isel(time=[0]), make_obs()) == []


def test_units(make_obs: MakeObs) -> None:
    plain = xr.DataArray(np.zeros((5, 4, 3)), dims=("time", "y", "x"))
    assert differences(make_obs(), plain) == [
        "'time' is in 1, the model knows day",
        "'y' is in 1, the model knows degree",
        "'x' is in 1, the model knows degree",
    ]


def test_axes(make_obs: MakeObs) -> None:
    assert differences(make_obs(), make_obs("lat", "lon")) == [
        "the model needs a time axis, the data have none"
    ]
    assert differences(make_obs("lat", "lon"), make_obs()) == [
        "the data have a time axis ('time'), the model knows none"
    ]


def variable_differences(fitted: xr.Dataset, data: xr.Dataset | xr.DataArray) -> list[str]:
    problems = Problems()
    check_same_variables(variables_signature(fitted), data, problems)
    return [what for what, _ in problems.found]


def test_variables(make_obs: MakeObs) -> None:
    obs = make_obs()
    two = xr.Dataset({"u": obs.assign_attrs(units="m s-1"), "v": obs.assign_attrs(units="m s-1")})
    assert variable_differences(two, two[["v", "u"]]) == [
        "the model knows the variables in another order, ['u', 'v']"
    ]
    assert variable_differences(two, two[["u"]]) == [
        "the data hold 'u', the model was fitted on 'u', 'v'"
    ]
    knots = two.assign(v=two.v.assign_attrs(units="knot"))
    assert variable_differences(two, knots) == ["'v' is in 'knot', the model knows 'm s-1'"]
    assert variable_differences(two, two.assign(v=two.v.drop_attrs())) == []


def test_unnamed_array_is_the_only_variable(make_obs: MakeObs) -> None:
    obs = make_obs()
    one = obs.to_dataset()
    assert variable_differences(one, obs.rename(None)) == []
    assert variable_differences(one, obs.rename("sst")) == [
        "the data hold 'sst', the model was fitted on 'ssh'"
    ]
    centimetres = obs.rename(None).assign_attrs(units="cm")
    assert variable_differences(one, centimetres) == ["'ssh' is in 'cm', the model knows 'm'"]
