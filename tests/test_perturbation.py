"""Members of any method: its maps of observations with noise added to them."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.inputs import read_inputs
from xr4dvar.methods import Parameters
from xr4dvar.perturbation import observation_variance

OI = xv.OptimalInterpolation(
    length={"time": 3.0, "x": 2.0}, variance=2.0, error_variance=0.5, mean=0.0
)


@pytest.fixture
def obs():
    values = np.random.default_rng(3).normal(size=(12, 10))
    values[:, ::2] = np.nan
    values[4:8] = np.nan
    coords = {"time": np.arange(12.0), "x": np.arange(10.0)}
    return xr.DataArray(values, dims=("time", "x"), coords=coords, name="v")


def gain(obs, method):
    """The matrix from the observations of a linear method to its map, by unit observations."""
    observed = np.argwhere(obs.notnull().values)
    units = np.stack([xr.where(obs.notnull(), 0.0, np.nan)] * len(observed))
    units[np.arange(len(observed)), *observed.T] = 1.0
    each = xr.DataArray(units, dims=("unit", *obs.dims), coords=obs.coords, name=obs.name)
    maps = each.fourdvar.reconstruct(method, dims={"time": "time", "x": "x"})
    return maps.values.reshape(len(observed), -1).T


def test_the_spread_of_a_linear_method_is_that_of_its_gain(obs):
    members = obs.fourdvar.reconstruct(OI, ensemble=400)
    k = gain(obs, OI)
    expected = np.sqrt(0.5 * np.diag(k @ k.T))
    spread = members.std("member", ddof=1).values.ravel()
    # relative standard error of a standard deviation: 1 / sqrt(2 M)
    np.testing.assert_allclose(spread, expected, rtol=5 / (2 * 400) ** 0.5)
    off = (members.mean("member") - obs.fourdvar.reconstruct(OI)).values.ravel()
    np.testing.assert_array_less(np.abs(off), 5 * expected / 400**0.5)


def test_variances_may_differ_between_observations(obs):
    variance = xr.where(obs.x < 5, 0.01, 4.0).broadcast_like(obs).transpose(*obs.dims)
    members = obs.fourdvar.reconstruct(
        xv.LinearInterpolation(), ensemble=500, error_variance=variance
    )
    seen = members.where(obs.notnull()).std("member", ddof=1)
    expected = np.sqrt(variance).where(obs.notnull())
    np.testing.assert_allclose(seen, expected, rtol=5 / (2 * 500) ** 0.5)


def test_members_follow_from_the_seed_whatever_the_chunks(obs):
    members = obs.fourdvar.reconstruct(OI, ensemble=3, seed=4)
    for chunks in ({"time": 5, "x": 3}, {"time": -1, "x": 4}):
        lazy = obs.chunk(chunks).fourdvar.reconstruct(OI, ensemble=3, seed=4)
        assert lazy.chunks is not None
        xr.testing.assert_allclose(lazy.compute(), members, rtol=1e-4, atol=1e-4)
    assert members.dims == ("member", "time", "x")
    others = [obs.fourdvar.reconstruct(OI, ensemble=2, seed=seed) for seed in (4, 5)]
    xr.testing.assert_equal(others[0], members[:2])
    assert float(abs(others[1] - others[0]).min("member").max()) > 0.1
    assert float(abs(members[1] - members[0]).max()) > 0.1


def test_variances_may_be_in_chunks_where_observations_are_not(obs):
    variance = xr.full_like(obs, 0.3)
    lazy = obs.fourdvar.reconstruct(OI, ensemble=2, error_variance=variance.chunk(time=5))
    here = obs.fourdvar.reconstruct(OI, ensemble=2, error_variance=variance)
    xr.testing.assert_allclose(lazy.compute(), here, rtol=1e-4, atol=1e-4)


def test_the_background_of_a_network_sees_the_same_noise(obs):
    method = xv.FourDVarNet(
        background=OI,
        patch={"time": 12, "x": 10},
        error_variance=0.5,
        iterations=1,
        widths=(4,),
        training=xv.Training(steps=1, batch_size=2),
    )
    model = obs.fourdvar.fit(method)
    member = obs.fourdvar.reconstruct(model, ensemble=1, seed=1)[0]
    # a network that has learned nothing yet gives its background back, but for a little
    background = obs.fourdvar.reconstruct(OI, ensemble=1, seed=1)[0]
    assert float(abs(member - background).max()) < 0.1
    unperturbed = obs.fourdvar.reconstruct(model)
    assert float(abs(member - unperturbed).max()) > 0.3


def test_each_variable_has_noise_of_its_own(obs):
    ds = xr.Dataset({"a": obs, "b": obs})
    members = ds.fourdvar.reconstruct(OI, ensemble=2)
    assert float(abs(members.a - members.b).max()) > 0.3
    errors = xr.Dataset({"a": xr.full_like(obs, 1e-12), "b": xr.full_like(obs, 1.0)})
    line = xv.LinearInterpolation()
    members = ds.fourdvar.reconstruct(line, ensemble=2, error_variance=errors)
    spread = members.std("member").where(obs.notnull()).max()
    assert float(spread.a) < 1e-5
    assert float(spread.b) > 0.3


@pytest.mark.parametrize(
    ("given", "expected"),
    [(2.0, 2.0), ([1.0, 2.0], [[[1]], [[2]]]), (range(1, 7), [[[1, 2, 3]], [[4, 5, 6]]])],
)
def test_methods_give_one_variance_or_one_of_each_variable_or_component(given, expected):
    obs = xv.datasets.lorenz63(windows=2, steps=20, first=0, last=20).obs
    ds = xr.Dataset({"a": obs, "b": obs})
    inputs, _ = read_inputs(ds, {}, mask=None, dims=None, periodic=())
    method = SimpleNamespace(error_variance=given)
    model = SimpleNamespace(method=method, parameters=Parameters())
    variances = observation_variance(model, inputs)
    fields = [np.broadcast_to(variance, (2, 20, 3)) for variance in variances]
    for field, numbers in zip(fields, np.broadcast_to(expected, (2, 1, 3)), strict=True):
        np.testing.assert_array_equal(field, np.broadcast_to(numbers, field.shape))


def test_what_is_missing_or_wrong_is_said(obs):
    with pytest.raises(xv.InputError, match="LinearInterpolation does not hold; fix: give error_v"):
        obs.fourdvar.reconstruct(xv.LinearInterpolation(), ensemble=2)
    bad = xr.full_like(obs, 1.0)
    bad[0, 1] = 0.0
    for variance in (bad, bad.chunk(time=5)):
        with pytest.raises(xv.InputError, match="error_variance of 'v' is 0 at 1 observations"):
            obs.fourdvar.reconstruct(
                xv.LinearInterpolation(), ensemble=2, error_variance=variance
            ).compute()
    with pytest.raises(xv.InputError, match="of no use"):
        obs.fourdvar.reconstruct(xv.LinearInterpolation(), error_variance=bad)
