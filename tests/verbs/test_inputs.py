"""What every verb does first: labels off, and all that is wrong said at once."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xr4dvar.errors import InputError, Problems
from xr4dvar.testing import raise_if_dask_computes
from xr4dvar.verbs._inputs import Inputs, check_numbers, is_dask, read_inputs


def read(
    obs: xr.DataArray | xr.Dataset, *, mask: xr.DataArray | None = None, **others: xr.DataArray
) -> tuple[Inputs, dict[str, list[np.ndarray]]]:
    return read_inputs(obs, dict(others), mask=mask, dims=None, periodic=())


def test_numbers_come_in_canonical_order(obs: xr.DataArray) -> None:
    turned = obs.isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")
    inputs, extra = read(turned, target=(turned + 1).transpose("lat", "lon", "time"))
    assert (inputs.names, inputs.shape, inputs.grid.roles) == (
        ["ssh"], (24, 12, 14), ("time", "y", "x")
    )  # fmt: skip
    np.testing.assert_array_equal(inputs.fields[0], obs)
    np.testing.assert_array_equal(extra["target"][0], obs + 1)


def test_numbers_in_memory_are_not_copied(obs: xr.DataArray) -> None:
    inputs, _ = read(obs)
    assert np.shares_memory(inputs.fields[0], obs.values)


def test_variables_of_the_target_follow_those_of_obs(obs: xr.DataArray) -> None:
    both = xr.Dataset({"u": obs, "v": obs + 1})
    target = xr.Dataset({"w": obs + 9, "v": obs + 5, "u": obs + 4})
    inputs, extra = read_inputs(both, {"target": target}, mask=None, dims=None, periodic=())
    assert inputs.names == ["u", "v"]
    np.testing.assert_array_equal(extra["target"], np.stack([obs + 4, obs + 5]))


def test_mask_takes_off_what_is_outside(obs: xr.DataArray, waves: xr.DataArray) -> None:
    sea = (obs.lat > 34).rename("sea")
    inputs, extra = read(obs, mask=sea, target=waves)
    np.testing.assert_array_equal(inputs.fields[0], obs.where(sea))
    np.testing.assert_array_equal(extra["target"][0], waves.where(sea))
    assert inputs.fields[0].dtype == "float32"
    assert obs.notnull().values[:, :5].any()  # the user's own array is as it was
    with raise_if_dask_computes():
        lazy, lazy_extra = read(obs.chunk(time=5), mask=sea.chunk(), target=waves)
    assert is_dask(lazy.fields)
    assert lazy.fields[0].chunks == obs.chunk(time=5).chunks
    np.testing.assert_array_equal(lazy.fields[0].compute(), obs.where(sea))
    np.testing.assert_array_equal(lazy_extra["target"][0], waves.where(sea))


def test_all_that_is_wrong_is_said_at_once(obs: xr.DataArray) -> None:
    """Problems of the labels come with those found before, and stop the work."""
    problems = Problems()
    problems.add("hidden is 3", "use less")
    with pytest.raises(InputError) as caught:
        read_inputs(
            obs.isel(time=[0, 2, 1]),
            {"target": obs.isel(lat=slice(5))},
            mask=xr.DataArray(np.ones(3), dims="depth"),
            dims=None,
            periodic=(),
            problems=problems,
        )
    told = "\n".join(what for what, _ in caught.value.problems)
    for words in ("hidden is 3", "'time' neither", "target: 'lat' has 5", "mask: has a dimension"):
        assert words in told
    # what was found before is left to the caller, who may find more
    read_inputs(obs, {}, mask=None, dims=None, periodic=(), problems=problems)


def test_numbers_in_memory_are_looked_at_and_dask_is_not(obs: xr.DataArray) -> None:
    bad = xr.Dataset({"gone": obs * np.nan, "inf": obs.where(obs < 0.1, np.inf), "good": obs})
    problems = Problems()
    check_numbers(read(bad)[0], problems)
    count = int(np.isinf(bad.inf).sum())
    assert [what for what, _ in problems.found] == [
        "'gone' has no value, all is missing",
        f"'inf' has {count} infinite values",
    ]
    with raise_if_dask_computes():
        check_numbers(read(bad.chunk())[0], problems)
    series = Problems()
    check_numbers(read(obs[:, 0, 0].drop_vars(["lat", "lon"]) * np.nan)[0], series)
    assert len(series.found) == 1
