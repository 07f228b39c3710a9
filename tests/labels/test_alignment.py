from __future__ import annotations

from collections.abc import Callable

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xr4dvar.errors import Problems
from xr4dvar.labels import check_aligned, check_places
from xr4dvar.testing import raise_if_dask_computes

MakeObs = Callable[..., xr.DataArray]
Found = list[tuple[str, str]]


def check(
    obs: xr.DataArray | xr.Dataset, target: xr.DataArray | xr.Dataset, *, subset: bool = False
) -> Found:
    problems = Problems()
    check_aligned(obs, {"target": target}, problems, subset=subset)
    return problems.found


def mend(fix: str, obs: xr.DataArray, target: xr.DataArray) -> xr.DataArray:
    """Run the line that a message says to paste."""
    return eval(fix, {"obs": obs, "target": target})  # type: ignore[no-any-return]


def test_equal_in_any_order_and_dtype_is_aligned(make_obs: MakeObs) -> None:
    obs = make_obs()
    assert check(obs, obs.transpose("lon", "time", "lat").astype("f4").rename("other")) == []


def test_time_units_do_not_matter(make_obs: MakeObs) -> None:
    obs = make_obs()
    seconds = obs.assign_coords(time=obs.time.values.astype("M8[s]"))
    assert check(obs, seconds) == []


def test_finer_target_is_interpolated(make_obs: MakeObs) -> None:
    obs = make_obs()
    target = obs.interp(lat=np.linspace(40.0, 43.0, 7))
    ((what, fix),) = check(obs, target.assign_coords(lat=target.lat + 0.1))
    assert what == "target: 'lat' has 7 entries, obs has 4"
    assert fix == "target.interp_like(obs)"


def test_larger_target_is_selected(make_obs: MakeObs) -> None:
    obs = make_obs()
    ((_, fix),) = check(obs.isel(lat=slice(1, 3)), obs)
    assert fix == "target.sel(lat=obs['lat'])"
    assert check(obs.isel(lat=[1, 2]), mend(fix, obs.isel(lat=[1, 2]), obs)) == []


def test_turned_round_target_is_selected(make_obs: MakeObs) -> None:
    obs = make_obs()
    target = obs.isel(lat=slice(None, None, -1))
    ((what, fix),) = check(obs, target)
    assert what == "target: 'lat' differs from obs, first at entry 0: 43.0, obs has 40.0"
    xr.testing.assert_identical(mend(fix, obs, target), obs)


@pytest.mark.parametrize("shift", [9e-5, -1e-9])
def test_rounding_is_told_apart(make_obs: MakeObs, shift: float) -> None:
    obs = make_obs()
    lon = obs.lon.values.copy()
    lon[1] += shift
    target = obs.assign_coords(lon=lon)
    ((what, fix),) = check(obs, target)
    assert what.startswith("target: 'lon' differs from obs by rounding, first at entry 1: -")
    assert check(obs, mend(fix, obs, target)) == []


def test_more_than_rounding(make_obs: MakeObs) -> None:
    obs = make_obs()
    ((what, fix),) = check(obs, obs.assign_coords(lon=obs.lon + 1.1e-4))
    assert "rounding" not in what
    assert fix == "target.interp_like(obs)"


def test_float32_coordinates_differ_by_rounding(make_obs: MakeObs) -> None:
    obs = make_obs(lat=np.linspace(40.01, 40.04, 4))
    ((what, _),) = check(obs, obs.assign_coords(lat=obs.lat.astype("f4")))
    assert "differs from obs by rounding, first at entry 0" in what


def test_fine_grids_far_from_zero_do_not_differ_by_rounding() -> None:
    obs = xr.DataArray(np.zeros(3), dims="x", coords={"x": 5e6 + 0.5 * np.arange(3)})
    ((what, _),) = check(obs, obs.assign_coords(x=obs.x + 0.1))
    assert "rounding" not in what


def test_dates(make_obs: MakeObs) -> None:
    obs = make_obs()
    later = obs.assign_coords(time=obs.time + pd.Timedelta("12h"))
    ((what, fix),) = check(obs, later)
    assert "2001-01-01T12:00:00, obs has 2001-01-01T00:00:00" in what
    assert check(obs.isel(time=[1]), mend(fix, obs.isel(time=[1]), later)) == []


def test_other_calendar(make_obs: MakeObs) -> None:
    obs = make_obs()
    model = obs.convert_calendar("noleap")
    ((what, fix),) = check(obs, model)
    assert what == "target: 'time' holds noleap dates, that of obs dates"
    assert ".convert_calendar" in fix
    later = model.assign_coords(time=model.indexes["time"].shift(1, "D"))
    ((what, fix),) = check(model, later)
    assert "first at entry 0: 2001-01-02T00:00:00, obs has 2001-01-01T00:00:00" in what
    assert fix == "target.interp_like(obs)"


def test_texts(make_obs: MakeObs) -> None:
    obs = make_obs(lat=list("abcd"))
    ((what, fix),) = check(obs, obs.assign_coords(lat=list("abce")))
    assert what == "target: 'lat' differs from obs, first at entry 3: 'e', obs has 'd'"
    assert fix == "give target the same 'lat' as obs"


def test_dimensions(make_obs: MakeObs) -> None:
    obs = make_obs()
    assert check(obs, obs.expand_dims(depth=[0, 1])) == [
        (
            "target: has a dimension 'depth' that obs has not",
            "select one entry, target.isel(depth=0, drop=True)",
        )
    ]
    missing = obs.isel(time=0, drop=True)
    ((what, fix),) = check(obs, missing)
    assert what == "target: lacks the dimension 'time' of obs"
    assert check(obs, mend(fix.split(" if ")[0], obs, missing)) == []
    assert check(obs, missing, subset=True) == []


def test_missing_coordinate(make_obs: MakeObs) -> None:
    obs = make_obs()
    bare = obs.drop_vars("lat")
    ((what, fix),) = check(obs, bare)
    assert what == "target: 'lat' has no coordinate, obs has one"
    assert check(obs, mend(fix, obs, bare)) == []
    ((what, _),) = check(bare, obs)
    assert what == "obs: 'lat' has no coordinate, target has one"
    assert check(bare, bare) == []
    assert check(bare, bare.isel(lat=[0]))[0][0] == "target: 'lat' has 1 entries, obs has 4"


def test_every_difference_of_every_array(make_obs: MakeObs) -> None:
    obs = make_obs()
    problems = Problems()
    others = {"target": obs.isel(lat=[0], lon=[1]), "background": obs.isel(time=[0])}
    check_aligned(obs, others, problems)
    assert [what for what, _ in problems.found] == [
        "target: 'lat' has 1 entries, obs has 4",
        "target: 'lon' has 1 entries, obs has 3",
        "background: 'time' has 1 entries, obs has 5",
    ]


def test_2d_coordinates(make_obs: MakeObs) -> None:
    flat = ("y", "x"), np.arange(6.0).reshape(2, 3)
    obs = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"), coords={"lat": flat, "lon": flat})
    assert check(obs, obs.transpose("x", "y")) == []
    gaps = obs.assign_coords(lat=obs.lat.where(obs.lat > 0))
    assert check(gaps, gaps.copy(deep=True)) == []
    moved = obs.assign_coords(lon=obs.lon.where(obs.lon != 4, 4.5))
    assert check(obs, moved)[0][0] == "target: 'lon' differs from obs, first at entry (1, 1)"


def test_lazy(make_obs: MakeObs) -> None:
    obs = make_obs().chunk(time=1)
    flat = xr.Variable(("lat", "lon"), np.zeros((4, 3))).chunk()
    with raise_if_dask_computes():
        check(obs.assign_coords(area=flat), obs.assign_coords(area=flat))


def test_dataset(make_obs: MakeObs) -> None:
    two = xr.Dataset({"u": make_obs(), "v": make_obs()})
    assert check(two, two[["v", "u"]].assign(w=two.u)) == []
    assert check(two, two[["u"]])[0][0] == "target: lacks the variables 'v'"
    assert check(two, two["u"])[0][0] == "target: is a DataArray, obs is a Dataset"
    assert check(two, two["u"], subset=True) == []
    assert check(two["u"], two) == [
        ("target: is a Dataset, obs is a DataArray", "pick the variable, target['u']")
    ]


def along(time: object, **coords: object) -> xr.DataArray:
    """A series on a dimension whose dates have another name, as WRF writes them."""
    return xr.DataArray(np.zeros(3), dims="Time", coords={"XTIME": ("Time", time), **coords})


def places(obs: xr.DataArray, target: xr.DataArray) -> Found:
    problems = Problems()
    check_aligned(obs, {"target": target}, problems)
    check_places(obs, {"target": target}, ["XTIME"], problems)
    return problems.found


@pytest.mark.parametrize("shift", ["1D", "12h", "365D"])
def test_coordinates_that_are_no_index_are_compared(shift: str) -> None:
    dates = pd.date_range("2001", periods=3)
    obs = along(dates)
    assert places(obs, obs.copy()) == []
    ((what, fix),) = places(obs, along(dates + pd.Timedelta(shift)))
    assert what.startswith("target: 'XTIME' differs from obs, first at entry 0: 200")
    assert fix == "give target the entries of obs along 'Time', or correct its 'XTIME'"


def test_the_fixes_of_coordinates_that_are_no_index() -> None:
    dates = pd.date_range("2001", periods=3)
    obs = along(dates)
    turned = obs.isel(Time=slice(None, None, -1))
    ((_, fix),) = places(obs, turned)
    assert places(obs, mend(fix, obs, turned)) == []
    rounded = along(dates + pd.Timedelta("1us"))
    ((_, fix),) = places(obs, rounded)
    assert places(obs, mend(fix, obs, rounded)) == []
    bare = obs.drop_vars("XTIME")
    ((what, fix),) = places(obs, bare)
    assert what == "target: has no coordinate 'XTIME' along 'Time', obs has one"
    assert places(obs, mend(fix, obs, bare)) == []
    assert places(obs, along(dates, Time=[0, 1, 2]).isel(Time=[0])) != []


def test_dates_that_are_whole_days_off_are_not_off_by_rounding(make_obs: MakeObs) -> None:
    obs = make_obs()
    ((what, fix),) = check(obs, obs.assign_coords(time=obs.time + pd.Timedelta("1D")))
    assert "rounding" not in what
    assert fix == "target.interp_like(obs)"


def with_index(lat_shift: float = 0.0) -> xr.DataArray:
    """A curvilinear grid with an index of the nearest points, which pandas has none of."""
    lat, lon = np.meshgrid(np.arange(3.0), np.arange(4.0), indexing="ij")
    places = {"lat": (("y", "x"), lat + lat_shift), "lon": (("y", "x"), lon)}
    obs = xr.DataArray(np.zeros((2, 3, 4)), dims=("time", "y", "x"), coords=places)
    return obs.assign_coords(time=[0, 1]).set_xindex(["lat", "lon"], xr.indexes.NDPointIndex)


@pytest.mark.skipif(
    not hasattr(getattr(xr, "indexes", None), "NDPointIndex"), reason="of a later xarray"
)
def test_indexes_that_are_not_of_pandas() -> None:
    obs = with_index()
    assert check(obs, with_index()) == []
    assert check(obs, obs.drop_indexes(["lat", "lon"])) == []
    assert check(obs, obs.isel(time=[1]))[0][0] == "target: 'time' has 1 entries, obs has 2"
    assert "'lat' differs from obs" in check(obs, with_index(0.5))[0][0]


class _ReferenceSystem(xr.Index):
    """Of a scalar coordinate, as that of a CRS."""

    @classmethod
    def from_variables(cls, variables, *, options):  # type: ignore[no-untyped-def]
        return cls()


class _Spaced(xr.Index):
    """Of a dimension, but not of pandas, as that of a raster."""

    @classmethod
    def from_variables(cls, variables, *, options):  # type: ignore[no-untyped-def]
        return cls()


def test_indexes_of_a_reference_system_and_of_a_raster() -> None:
    bare = xr.DataArray(np.zeros(3), dims="x", coords={"x": [0.0, 1.0, 2.0], "crs": 0})
    crs = bare.set_xindex("crs", _ReferenceSystem)
    assert check(crs, crs) == check(bare, crs) == []
    raster = bare.drop_indexes("x").set_xindex("x", _Spaced)
    assert check(raster, bare) == []
    moved = bare.assign_coords(x=[0.0, 1.0, 2.5])
    ((what, _),) = check(raster, moved)
    assert what == "target: 'x' differs from obs, first at entry 2: 2.5, obs has 2.0"


def test_dimensions_of_bounds_are_not_of_the_data() -> None:
    bounds = ("lat", "edge"), np.zeros((2, 2))
    obs = xr.Dataset({"u": ("lat", [0.0, 1.0])}, coords={"lat_bnds": bounds})
    assert check(obs, obs.drop_vars("lat_bnds")) == []
    assert check(obs.drop_vars("lat_bnds"), obs) == []


def test_dates_of_several_calendars_cannot_be_compared_and_do_no_harm() -> None:
    """That they are no axis is said where the axes are read."""
    first = cftime.DatetimeNoLeap(2001, 1, 1)
    dates = np.array([first, *(cftime.Datetime360Day(2001, 1, day) for day in (2, 3))], object)
    obs = xr.DataArray(np.zeros(3), dims="time", coords={"time": dates})
    assert check(obs, obs) == []
