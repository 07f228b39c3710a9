"""Members of any method: its maps of observations with noise added to them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import xr4dvar as xv
from xr4dvar.errors import Problems
from xr4dvar.methods import Parameters
from xr4dvar.verbs._inputs import as_variances, read_inputs
from xr4dvar.verbs._perturbation import observation_variance

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
        steps=1,
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
    with pytest.raises(xv.InputError, match=r"of no use to this model; fix: .* ensemble=20"):
        obs.fourdvar.reconstruct(xv.LinearInterpolation(), error_variance=bad)


def test_one_number_is_the_variance_of_all_observations(obs):
    """The same as a field of it, and as a method whose own it is, wherever one may be given."""
    fourdvar = xv.FourDVar(
        xv.DiscreteModel(lambda x: 0.9 * x, dt=1.0), error_variance=1.0, starts=1,
        background_state=[0.0] * 10, background_error_variance=1.0,
    )  # fmt: skip
    both = xr.Dataset({"v": obs, "w": 2 * obs})
    points = obs.stack(place=("time", "x")).dropna("place").reset_index("place")
    grid = obs.isel(time=slice(2))
    own = own_variance(0.3)
    for given, verb, method in [
        (obs, lambda a, **r: xv.reconstruct(a, OI, **r), lambda a: xv.reconstruct(a, own)),
        (both, lambda a, **r: xv.reconstruct(a, OI, **r), lambda a: xv.reconstruct(a, own)),
        (obs.chunk(time=5), lambda a, **r: xv.reconstruct(a, OI, **r), None),
        (obs, lambda a, **r: xv.reconstruct(a, xv.LinearInterpolation(), ensemble=2, **r), None),
        (both, lambda a, **r: xv.reconstruct(a, OI, ensemble=2, **r), None),
        (obs, lambda a, **r: xv.cost_curve(a, fourdvar, **r), None),
        (obs, lambda a, **r: xv.forecast(a, fourdvar, 2, **r), None),
        (
            points,
            lambda a, **r: xv.map_points(a, OI, grid, error=True, **r),
            lambda a: xv.map_points(a, own, grid, error=True),
        ),
    ]:
        field = xr.full_like(given, 0.3)
        found = verb(given, error_variance=0.3)
        xr.testing.assert_identical(plain(found), plain(verb(given, error_variance=field)))
        if method is not None:
            xr.testing.assert_allclose(plain(found), plain(method(given)), rtol=1e-4)
        assert found.chunks == given.chunks or given.chunks is None


def own_variance(error_variance):
    return replace(OI, error_variance=error_variance)


def plain(maps):
    """Values without what tells how they were made."""
    return maps.drop_attrs().compute()


def test_one_number_has_no_units_and_takes_no_memory(obs):
    problems = Problems()
    metres = obs.assign_attrs(units="m")
    field = as_variances(0.3, metres, problems)
    assert field.attrs == {}
    assert field.data.strides == (0, 0)
    assert as_variances(0.3, metres.chunk(time=5), problems).chunks == metres.chunk(time=5).chunks
    assert as_variances(np.float32(0.5), xr.Dataset({"a": metres}), problems).a.dtype == "float64"
    assert as_variances(metres, metres, problems) is metres
    assert problems.found == []


def test_the_fix_for_a_method_without_errors_works(obs):
    """`error=True` of a network, then what each error says to do: the second call works."""
    training = xv.Training(steps=1, batch_size=2)
    method = xv.FourDVarNet(
        background=OI, patch={"time": 12, "x": 10}, steps=1, widths=(4,), training=training
    )
    model = obs.fourdvar.fit(method)
    advice = r"fix: draw members, .*ensemble=20, error_variance=\.\.\., a number or a field in"
    with pytest.raises(xv.InputError, match=f"FourDVarNet does not know the error.*{advice}"):
        obs.fourdvar.reconstruct(model, error=True)
    with pytest.raises(xv.InputError, match=r"fix: give error_variance=\.\.\., a number"):
        obs.fourdvar.reconstruct(model, ensemble=3)
    members = obs.fourdvar.reconstruct(model, ensemble=3, error_variance=0.5)
    assert members.sizes["member"] == 3
    ahead = obs.fourdvar.forecast(model, 2, ensemble=3, error_variance=xr.full_like(obs, 0.5))
    assert ahead.dims == ("member", "time", "x")
    assert bool(ahead.notnull().all())
    known = replace(model, method=replace(method, error_variance=0.5))
    with pytest.raises(xv.InputError, match=r"draw members, reconstruct\(model, ensemble=20\)"):
        obs.fourdvar.reconstruct(known, error=True)
    assert obs.fourdvar.reconstruct(known, ensemble=3).sizes["member"] == 3


def test_members_of_a_method_whose_variance_is_a_matrix():
    obs = xv.datasets.lorenz63(windows=1, steps=30, first=0, last=29).obs
    method = xv.FourDVar(xv.Lorenz63(), error_variance=np.eye(3), starts=1, climate=50)
    cycled = xv.CycledFourDVar(method, window=20, shift=5)
    with pytest.raises(
        xv.InputError, match="which CycledFourDVar holds as a matrix; fix: give error_var"
    ):
        obs.fourdvar.reconstruct(cycled, ensemble=2)


def test_members_of_what_is_in_memory_are_in_memory(obs):
    """Also where the method tells the variance of the errors, and not the call."""
    axes = {"time": "time", "x": "x"}
    members = obs.fourdvar.reconstruct(OI, ensemble=2, dims=axes)
    assert members.chunks is None
    told = obs.fourdvar.reconstruct(OI, ensemble=2, dims=axes, error_variance=0.5)
    xr.testing.assert_equal(members.drop_attrs(), told.drop_attrs())
