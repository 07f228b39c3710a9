"""What is hidden was observed, is the share asked for, and is hidden by place, not by array."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

import xr4dvar as xv


@pytest.fixture
def obs():
    generator = np.random.default_rng(3)
    values = generator.normal(size=(6, 30, 40)).astype("float32")
    coords = {
        "time": np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]"),
        "lat": np.linspace(40, 43, 30),
        "lon": np.linspace(-10, -6, 40),
    }
    seen = generator.random(values.shape) < 0.6
    return xr.DataArray(
        np.where(seen, values, np.nan),
        coords,
        ("time", "lat", "lon"),
        name="sst",
        attrs={"units": "K", "valid_range": [-9.0, 9.0]},
    )


@pytest.mark.parametrize("shape", ["random", "patches"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_every_observation_is_shown_or_hidden(obs, shape, share):
    shown, hidden = xv.hold_out(obs, share, shape=shape)
    assert not (shown.notnull() & hidden.notnull()).any()
    xr.testing.assert_identical(shown.fillna(hidden), obs)
    assert int(hidden.count()) == round(share * int(obs.count()))


def test_patches_hide_neighbourhoods_and_random_cells_do_not(obs):
    full = xr.ones_like(obs)
    sizes = {}
    for shape in ("random", "patches"):
        hidden = xv.hold_out(full, 0.1, shape=shape)[1].notnull().values
        _, count = ndimage.label(hidden)
        sizes[shape] = hidden.sum() / count
    assert sizes["patches"] > 10 * sizes["random"]


def test_the_seed_decides(obs):
    first, again, other = (xv.hold_out(obs, seed=seed)[1] for seed in (5, 5, 6))
    xr.testing.assert_identical(first, again)
    assert not first.equals(other)


def test_the_same_cells_however_the_array_lies(obs):
    _, hidden = xv.hold_out(obs)
    turned = obs.transpose("lon", "time", "lat").isel(lat=slice(None, None, -1))
    _, other = xv.hold_out(turned)
    assert other.dims == turned.dims
    xr.testing.assert_equal(other.transpose(*obs.dims).sortby("lat"), hidden)


def test_chunked_values_stay_lazy(obs):
    shown, hidden = xv.hold_out(obs.chunk(time=2))
    assert isinstance(shown.data, da.Array)
    assert shown.chunks == hidden.chunks == obs.chunk(time=2).chunks
    xr.testing.assert_identical(shown.compute(), xv.hold_out(obs)[0])


def test_members_and_variables_each_lose_their_share(obs):
    ds = xr.Dataset({"a": obs.expand_dims(member=3), "b": 2 * obs.expand_dims(member=3)})
    shown, hidden = ds.fourdvar.hold_out(0.25)
    for name in ds:
        counts = hidden[name].count(("time", "lat", "lon"))
        np.testing.assert_array_equal(counts, round(0.25 * int(obs.count())))
    xr.testing.assert_identical(shown.fillna(hidden), ds)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"share": 1.5}, "share is 1.5"),
        ({"shape": "clouds"}, "shape is 'clouds'.*'patches'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_arguments_that_cannot_be(obs, arguments, words):
    with pytest.raises(xv.InputError, match=words):
        xv.hold_out(obs, **arguments)
