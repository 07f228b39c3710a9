from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.errors import Problems
from xr4dvar.labels import (
    check_domain,
    domain_field,
    find_axes,
    make_grid,
    mask,
    observed,
    to_fields,
)
from xr4dvar.testing import raise_if_dask_computes

MakeObs = Callable[..., xr.DataArray]


def field(domain: xr.DataArray, obs: xr.DataArray) -> Any:
    return domain_field(domain, obs, make_grid(obs, find_axes(obs)))


def messages(domain: Any, obs: xr.DataArray) -> list[str]:
    problems = Problems()
    check_domain(domain, obs, problems)
    return [what for what, _ in problems.found]


def test_observed_is_lazy_and_keeps_labels(make_obs: MakeObs) -> None:
    obs = make_obs("lon", "time", "lat")
    obs = obs.where(obs > 0)
    with raise_if_dask_computes():
        lazy = observed(obs.chunk(time=2))
    seen = observed(obs)
    assert isinstance(seen, xr.DataArray)
    xr.testing.assert_identical(lazy.compute(), seen)
    np.testing.assert_array_equal(seen, np.isfinite(obs))
    assert (seen.dtype, seen.dims, seen.name) == (bool, obs.dims, "ssh")
    assert seen.attrs == {"long_name": "where ssh is observed"}
    assert obs.attrs == {"units": "m"}


def test_observed_of_a_dataset(make_obs: MakeObs) -> None:
    obs = make_obs()
    seen = observed(xr.Dataset({"u": obs.where(obs > 0), "v": obs}))
    assert isinstance(seen, xr.Dataset)
    assert bool(seen["v"].all())
    assert not bool(seen["u"].all())
    assert seen["u"].attrs == {"long_name": "where u is observed"}


def test_the_old_name_warns_at_the_line_that_uses_it(make_obs: MakeObs) -> None:
    obs = make_obs()
    obs = obs.where(obs > 0)
    calls: list[Callable[[], Any]] = [lambda: mask(obs), lambda: xv.mask(obs), obs.fourdvar.mask]
    for call in calls:
        with pytest.warns(DeprecationWarning, match="observed") as caught:
            found = call()
        xr.testing.assert_identical(found, observed(obs))
        assert [warning.filename for warning in caught] == [__file__]


LINEAR = xv.LinearInterpolation()
TAKES_MASK: dict[str, Callable[[Any, xr.DataArray], Any]] = {
    "fit": lambda obs, mask: obs.fourdvar.fit(LINEAR, mask=mask),
    "reconstruct": lambda obs, mask: obs.fourdvar.reconstruct(LINEAR, mask=mask),
}


@pytest.mark.parametrize("verb", ["fit", "reconstruct"])
@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_the_observed_cells_are_no_mask(make_obs: MakeObs, verb: str, kind: str) -> None:
    """Where a map is wanted just where there are observations, no gap can be filled."""
    obs = make_obs("time", "lat", "lon")
    obs = obs.where(obs > 0)
    data = obs if kind == "DataArray" else xr.Dataset({"u": obs, "v": obs.where(obs > 1)})
    text = f"exactly where {'ssh' if kind == 'DataArray' else 'u'!r} is observed"
    for seen in (observed(obs), observed(obs).transpose("lon", ...).astype("f4")):
        with pytest.warns(UserWarning, match=text) as caught:
            TAKES_MASK[verb](data, seen)
        assert [warning.filename for warning in caught] == [__file__]


def test_other_masks_are_not_warned_of(make_obs: MakeObs) -> None:
    obs = make_obs("time", "lat", "lon")
    gappy = obs.where(obs > 0)
    sea = observed(gappy).any("time")
    TAKES_MASK["reconstruct"](gappy, sea)
    TAKES_MASK["reconstruct"](gappy, ~observed(gappy) | observed(gappy))
    TAKES_MASK["reconstruct"](obs.where(sea), sea)  # all of the sea is observed at all times
    TAKES_MASK["reconstruct"](obs, observed(obs))  # there is no gap
    with raise_if_dask_computes():
        TAKES_MASK["reconstruct"](gappy.chunk(time=2), observed(gappy))


@pytest.mark.parametrize("dims", [("lat", "lon"), ("lon", "lat"), ("lon", "time", "lat")])
@pytest.mark.parametrize("dtype", [bool, "i1", "f4"])
@pytest.mark.parametrize("chunks", [None, {"time": 2, "lat": 3}])
def test_domain_field(
    make_obs: MakeObs, dims: tuple[str, ...], dtype: Any, chunks: dict[str, int] | None
) -> None:
    obs = make_obs("lat", "member", "time", "lon").isel(lat=slice(None, None, -1))
    sea = (make_obs(*dims).isel(lat=slice(None, None, -1)) > 0).astype(dtype)
    if dtype == "f4":
        sea = sea.where(sea == 1)
    expected = (sea == 1).broadcast_like(obs).sortby("lat")
    expected = expected.transpose("member", "time", "lat", "lon")
    obs = obs if chunks is None else obs.chunk(chunks)
    assert messages(sea, obs) == []
    with raise_if_dask_computes():
        keep = field(sea, obs)
        [(_, values)] = to_fields(obs, make_grid(obs, find_axes(obs)))
    np.testing.assert_array_equal(np.asarray(keep), expected.values)
    assert keep.dtype == bool
    assert keep.shape == values.shape
    if chunks is not None:
        assert keep.chunks == values.chunks


def test_domain_field_is_a_view(make_obs: MakeObs) -> None:
    keep = field(make_obs("lat", "lon") > 0, make_obs())
    assert keep.strides[0] == 0


def test_dask_domain_of_numpy_observations(make_obs: MakeObs) -> None:
    sea = make_obs("lat", "lon") > 0
    np.testing.assert_array_equal(field(sea.chunk(2), make_obs()), field(sea, make_obs()))


def test_bad_domains(make_obs: MakeObs) -> None:
    obs = make_obs()
    sea = xr.ones_like(obs.isel(time=0, drop=True))
    assert messages(sea.values, obs) == ["mask: is a ndarray, not a DataArray"]
    assert messages(2 * sea, obs) == ["mask: holds 2.0, not only 0 and 1"]
    assert messages(0 * sea, obs) == ["mask: no cell is wanted"]
    assert messages(sea.astype(str), obs) == ["mask: is <U32"]
    assert messages(sea.isel(lat=[0, 1]), obs) == ["mask: 'lat' has 2 entries, obs has 4"]
    assert messages(sea.expand_dims(depth=2), obs)[0].startswith("mask: has a dimension 'depth'")


def test_domain_of_dask_is_not_looked_at(make_obs: MakeObs) -> None:
    with raise_if_dask_computes():
        assert messages(make_obs("lat", "lon").chunk(), make_obs()) == []
