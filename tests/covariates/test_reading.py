"""Covariates on the grid of the observations: values by label, and one problem for each fault."""

import re

import numpy as np
import pytest
import xarray as xr

from xr4dvar.covariates.reading import read_covariates
from xr4dvar.errors import Problems
from xr4dvar.labels import find_axes, make_grid


def field(name="t", times=3, **changes):
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
        "lat": [3.0, 2.0],
        "lon": [0.0, 1.0, 2.0, 3.0],
    }
    coords |= changes
    shape = [len(c) for c in coords.values()]
    values = np.arange(np.prod(shape), dtype="float64").reshape(shape)
    return xr.DataArray(values, coords, list(coords), name)


OBS = field()


def read(given, obs=OBS):
    problems = Problems()
    found = read_covariates(given, obs, make_grid(obs, find_axes(obs)), problems)
    return found, [what for what, _ in problems.found]


def test_values_come_in_canonical_order():
    sst = field("sst").transpose("lon", "time", "lat").assign_attrs(units="K")
    found, problems = read(sst)
    assert problems == []
    assert found.names == {"sst": "K"}
    np.testing.assert_array_equal(found.fields[0], OBS.values[:, ::-1])  # latitudes ascend


def test_dimensions_that_are_missing_are_those_along_which_it_is_the_same():
    bath, index = OBS[0].drop_vars("time").rename("bath"), OBS[:, 0, 0].rename("index")
    found, problems = read([bath, index.drop_vars(["lat", "lon"])])
    assert problems == []
    np.testing.assert_array_equal(found.fields[0], np.stack(3 * [bath.values[::-1]]))
    want = np.broadcast_to(index.values[:, None, None], OBS.shape)
    np.testing.assert_array_equal(found.fields[1], want)


def test_entries_are_selected_by_their_labels():
    longer = field("sst", times=6, lat=[3.0, 2.5, 2.0]).isel(time=slice(None, None, -1))
    found, problems = read(longer)
    assert problems == []
    want = field("sst", times=6, lat=[3.0, 2.5, 2.0]).sel(time=OBS.time, lat=OBS.lat)
    np.testing.assert_array_equal(found.fields[0], want.values[:, ::-1])


def test_lazy_ones_stay_lazy():
    sst = field("sst", times=5).chunk(time=2)
    found, problems = read([sst, OBS[0].drop_vars("time").rename("bath").chunk()])
    assert problems == []
    assert all(hasattr(one, "dask") for one in found.fields)
    want = field("sst", times=5).values[:3, ::-1]
    np.testing.assert_array_equal(found.fields[0].compute(), want)


def test_whole_numbers_and_flags_are_numbers():
    found, problems = read([(OBS > 3).rename("flag"), OBS.astype("int16").rename("depth")])
    assert problems == []
    assert [one.dtype for one in found.fields] == ["float32", "float32"]


def test_of_several_variables():
    found, problems = read(field("sst"), xr.Dataset({"u": OBS, "v": OBS}))
    assert problems == []
    assert found.fields[0].shape == OBS.shape


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (OBS.rename(None), "has no name"),
        ([field("a"), field("a")], "two covariates are called 'a'"),
        (3, "covariates hold 3"),
        (field("a").expand_dims(member=2), "a: has a dimension 'member' that obs has not"),
        (field("a", lat=[3.0, 2.1]), "a: 'lat' differs from obs"),
        (field("a", times=2), "a: 'time' has 2 entries, obs has 3"),
        (field("a").drop_vars("lat"), "a: 'lat' has no coordinate"),
        (field("a").astype(str), "is <U"),
        (field("a").assign_attrs(_FillValue=0.0), "a: 't' is not decoded|'a' is not decoded"),
    ],
)
def test_what_is_no_covariate_is_told(given, match):
    _, problems = read(given)
    assert len(problems) == 1
    assert re.search(match, problems[0]), problems
