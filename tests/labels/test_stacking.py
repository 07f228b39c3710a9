from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xr4dvar.errors import InputError
from xr4dvar.labels import find_axes, from_fields, make_grid, to_fields
from xr4dvar.testing import raise_if_dask_computes

MakeObs = Callable[..., xr.DataArray]
Obs = xr.DataArray | xr.Dataset


def there(obs: Obs) -> list[tuple[str, Any]]:
    return to_fields(obs, make_grid(obs, find_axes(obs)))


def there_and_back(obs: Obs) -> Obs:
    grid = make_grid(obs, find_axes(obs))
    return from_fields([field for _, field in to_fields(obs, grid)], obs, grid)


@given(
    dims=st.permutations(["member", "time", "lat", "lon"]).flatmap(
        lambda dims: st.integers(1, 4).map(lambda n: dims[:n])
    ),
    descending=st.sets(st.sampled_from(["time", "lat", "lon"])),
    lazy=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_round_trip(dims: list[str], descending: set[str], lazy: bool, dtype: str) -> None:
    if dims == ["member"]:
        return
    shape = [2 + i for i in range(len(dims))]
    values = np.random.default_rng(1).normal(size=shape).astype(dtype)
    coords = {
        dim: np.arange(float(n))[:: -1 if dim in descending else 1]
        for dim, n in zip(dims, shape, strict=True)
    }
    obs = xr.DataArray(values, dims=dims, coords=coords, name="ssh")
    obs = obs.chunk(2) if lazy else obs
    [(name, field)] = there(obs)
    expected = obs.sortby([dim for dim in dims if dim != "member"])
    expected = expected.transpose("member", "time", "lat", "lon", missing_dims="ignore")
    np.testing.assert_array_equal(np.asarray(field), expected.values)
    back = there_and_back(obs)
    xr.testing.assert_identical(back, obs)
    assert back.dtype == dtype
    assert back.chunks == obs.chunks
    assert name == "ssh"


@pytest.mark.parametrize("dims", list(itertools.permutations(["time", "lat", "lon"])))
def test_numpy_comes_and_goes_as_a_view(make_obs: MakeObs, dims: tuple[str, ...]) -> None:
    obs = make_obs(*dims).isel(lat=slice(None, None, -1))
    [(_, field)] = there(obs)
    assert np.shares_memory(field, obs.values)
    assert field.shape == (5, 4, 3)
    assert np.shares_memory(there_and_back(obs).values, obs.values)


def test_dask_stays_lazy_with_its_chunks(make_obs: MakeObs) -> None:
    obs = make_obs("lat", "time", "lon").isel(lat=slice(None, None, -1)).chunk(lat=3, time=2)
    with raise_if_dask_computes():
        [(_, field)] = there(obs)
        back = there_and_back(obs)
    assert field.chunks == ((2, 2, 1), (1, 3), (3,))
    assert back.chunks == obs.chunks


def test_everything_a_user_put_on_stays(make_obs: MakeObs) -> None:
    obs = make_obs("lon", "lat", "time").assign_attrs(standard_name="ssh", cell_methods="x: mean")
    obs = obs.assign_coords(
        depth=0.5,
        crs=0,
        area=(("lat", "lon"), np.ones((4, 3)), {"units": "m2"}),
        season=("time", list("abcde")),
    )
    obs.time.encoding["units"] = "days since 1950-01-01"
    obs.lat.attrs["units"] = "degrees_north"
    back = there_and_back(obs)
    xr.testing.assert_identical(back, obs)
    assert back.dims == ("lon", "lat", "time")
    assert back.time.encoding["units"] == "days since 1950-01-01"
    assert set(back.xindexes) == set(obs.xindexes)


def test_unnamed(make_obs: MakeObs) -> None:
    obs = make_obs().rename(None)
    assert there(obs)[0][0] == "variable"
    assert there_and_back(obs).name is None  # type: ignore[union-attr]


def test_attributes_of_the_old_values_go(make_obs: MakeObs) -> None:
    stale = ["valid_min", "valid_max", "valid_range", "actual_range", "missing_value"]
    stale += ["ancillary_variables", "flag_values", "flag_masks", "flag_meanings"]
    obs = make_obs().assign_attrs(dict.fromkeys(stale, "old"), long_name="height")
    assert there_and_back(obs).attrs == {"units": "m", "long_name": "height"}
    assert "valid_min" in obs.attrs


def test_encoding_of_the_old_values_goes(make_obs: MakeObs) -> None:
    obs = make_obs()
    obs.encoding = {
        "dtype": np.dtype("i2"),
        "scale_factor": 0.001,
        "_FillValue": np.int16(-1),
        "chunksizes": (1, 4, 3),
        "grid_mapping": "crs",
        "source": "a.nc",
    }
    assert there_and_back(obs).encoding == {"grid_mapping": "crs"}
    obs.encoding["_FillValue"] = np.float32(1e20)
    assert there_and_back(obs).encoding["_FillValue"] == pytest.approx(1e20)


def test_packed_file_is_not_packed_again(tmp_path: Path, make_obs: MakeObs) -> None:
    packed = {"ssh": {"dtype": "i2", "scale_factor": 0.1, "_FillValue": -32767}}
    make_obs().to_netcdf(tmp_path / "obs.nc", encoding=packed)
    with xr.open_dataarray(tmp_path / "obs.nc") as obs:
        there_and_back(obs + 0.0123).to_netcdf(tmp_path / "result.nc")
        grid = make_grid(obs, find_axes(obs))
        from_fields([np.full((5, 4, 3), 0.0123)], obs, grid).to_netcdf(tmp_path / "new.nc")
    with xr.open_dataarray(tmp_path / "new.nc") as result:
        assert result.dtype == np.float64
        np.testing.assert_array_equal(result, 0.0123)


@pytest.mark.parametrize(
    ("dtype", "result"), [("f2", "f4"), (">f4", "f4"), (">f8", "f8"), ("f4", "f4")]
)
@pytest.mark.parametrize("lazy", [False, True])
def test_floats_become_native(make_obs: MakeObs, dtype: str, result: str, lazy: bool) -> None:
    obs = make_obs().astype(dtype)
    [(_, field)] = there(obs.chunk() if lazy else obs)
    assert field.dtype == np.dtype(result)
    assert field.dtype.isnative
    np.testing.assert_array_equal(np.asarray(field), obs.values)


def test_result_of_another_dtype_is_cast(make_obs: MakeObs) -> None:
    obs = make_obs().astype("f4")
    grid = make_grid(obs, find_axes(obs))
    assert from_fields([np.zeros((5, 4, 3))], obs, grid).dtype == np.float32  # type: ignore[union-attr]


def test_dataset(make_obs: MakeObs) -> None:
    obs = make_obs().isel(lat=slice(None, None, -1))
    data = xr.Dataset(
        {"u": obs, "v": (2 * obs).transpose("lat", "lon", "time").astype("f4")},
        attrs={"title": "currents"},
    )
    fields = there(data)
    assert [name for name, _ in fields] == ["u", "v"]
    np.testing.assert_allclose(fields[1][1], 2 * fields[0][1], rtol=1e-6)
    back = there_and_back(data)
    xr.testing.assert_identical(back, data)
    assert back["v"].dims == ("lat", "lon", "time")


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        ("i2", "int16, which has no value for missing cells"),
        ("u1", "uint8, which has no value"),
        ("?", "bool, which has no value"),
        ("O", "object, not real numbers"),
        ("c16", "complex128, not real numbers"),
        ("U3", "<U3, not real numbers"),
    ],
)
def test_types_that_cannot_be_used(make_obs: MakeObs, dtype: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        there(make_obs().astype(dtype))
    ((what, fix),) = caught.value.problems
    assert what == f"'ssh' is {words}" or what.startswith(f"'ssh' is {words}")
    assert 'astype("float32")' in fix


def test_every_variable_that_cannot_be_used(make_obs: MakeObs) -> None:
    obs = make_obs()
    data = xr.Dataset({"a": obs.astype("i4"), "b": obs, "c": obs.isel(time=0, drop=True)})
    with pytest.raises(InputError) as caught:
        there(data)
    assert [what for what, _ in caught.value.problems] == [
        "'a' is int32, which has no value for missing cells",
        "'c' is on (lat, lon), not on (time, lat, lon)",
    ]


def test_number_of_arrays_must_fit(make_obs: MakeObs) -> None:
    obs = make_obs()
    with pytest.raises(ValueError, match="zip"):
        from_fields([obs.values, obs.values], obs, make_grid(obs, find_axes(obs)))


def test_file_is_read_once_and_late(tmp_path: Path, make_obs: MakeObs) -> None:
    make_obs().to_netcdf(tmp_path / "obs.nc")
    with xr.open_dataarray(tmp_path / "obs.nc", chunks={"time": 2}) as obs:
        with raise_if_dask_computes():
            [(_, field)] = there(obs)
        np.testing.assert_array_equal(field, make_obs().values)


def test_other_kinds_of_array(make_obs: MakeObs) -> None:
    class Foreign(np.lib.mixins.NDArrayOperatorsMixin):
        """As little as xarray wants of an array that is neither numpy nor dask."""

        dtype, shape, ndim = np.dtype("f8"), (3,), 1

        def __getitem__(self, key: Any) -> Foreign:
            return self

        def __array_function__(self, *args: Any) -> Any:
            return self

        def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
            return self

    with pytest.raises(InputError, match="'variable' holds a Foreign, neither numpy nor dask"):
        there(xr.DataArray(Foreign(), dims="lat"))


def test_the_odd_variable_is_named_not_the_data(make_obs: MakeObs) -> None:
    """Bounds that nobody names bring a dimension that the others lack."""
    odd = xr.DataArray(np.zeros((5, 2)), dims=("time", "edge"))
    data = xr.Dataset({"u": make_obs(), "edges": odd, "v": make_obs()})
    with pytest.raises(InputError) as caught:
        there(data)
    ((what, fix),) = caught.value.problems
    assert what == "'edges' is on (time, edge), not on (time, lat, lon)"
    assert "obs.drop_vars('edges')" in fix
    assert len(there(data.drop_vars("edges"))) == 2


def test_the_odd_one_of_several_with_all_axes(make_obs: MakeObs) -> None:
    deep = make_obs().expand_dims(depth=2)
    with pytest.raises(InputError) as caught:
        there(xr.Dataset({"w": deep, "u": make_obs(), "v": make_obs()}))
    ((what, _),) = caught.value.problems
    assert what == "'w' is on (depth, time, lat, lon), not on (time, lat, lon)"
